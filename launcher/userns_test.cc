#include "launcher/userns.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace acetate::launcher {
namespace {

using ::testing::HasSubstr;
using Method = Identity::Method;
using Mode = UsernsSpec::Mode;

IdentitySources User(uint32_t uid) {
  IdentitySources sources;
  sources.uid = uid;
  sources.gid = uid;
  sources.user_name = "me";
  sources.newuidmap = "/usr/bin/newuidmap";
  sources.newgidmap = "/usr/bin/newgidmap";
  return sources;
}

IdentitySources WithRanges(uint32_t uid, const std::string& ranges) {
  IdentitySources sources = User(uid);
  sources.subuid = sources.subgid = ranges;
  return sources;
}

IdentitySources Root(const std::string& ranges) {
  IdentitySources sources;
  sources.may_map_any = true;
  sources.own_uid_map = sources.own_gid_map = "0 0 4294967295\n";
  sources.own_setgroups = "allow\n";
  sources.user_name = "root";
  sources.subuid = sources.subgid = ranges;
  return sources;
}

Identity Choose(Mode mode, const IdentitySources& sources, const std::vector<IdSlice>& taken = {}, uint32_t size = 10) {
  Identity identity = *ChooseIdentity(sources);
  EXPECT_TRUE(ChooseUserns({mode, size}, sources, taken, &identity).ok());
  return identity;
}

std::string Refusal(Mode mode, const IdentitySources& sources, const std::vector<IdSlice>& taken = {}) {
  Identity identity = *ChooseIdentity(sources);
  return std::string(ChooseUserns({mode, 10}, sources, taken, &identity).message());
}

std::string OnHost(const Identity& identity) { return FormatMapping(Compose(identity.inner_uids, identity.uids)); }

TEST(UsernsTest, PrivateIsWhatTheHelperHas) {
  const Identity identity = Choose(Mode::kPrivate, WithRanges(1000, "me:100000:65536\n"));
  EXPECT_FALSE(identity.has_inner());
  EXPECT_TRUE(identity.MapsUid(65536));
}

TEST(UsernsTest, TheKeptIdIsTheUsersAndTheOthersLieAroundIt) {
  const Identity identity = Choose(Mode::kKeepId, WithRanges(1000, "me:100000:65536\n"));
  EXPECT_EQ(OnHost(identity), "0:100000:1000:1000:1000:1:1001:101000:64536");
  EXPECT_TRUE(identity.MapsUid(65536));
  EXPECT_FALSE(identity.MapsUid(65537));
  EXPECT_EQ(FormatMapping(identity.inner_uids), "0:1:1000:1000:0:1:1001:1001:64536");
}

TEST(UsernsTest, AnIdAboveAllOthersIsKeptToo) {
  EXPECT_EQ(OnHost(Choose(Mode::kKeepId, WithRanges(70000, "me:100000:10\n"))), "0:100000:10:70000:70000:1");
  EXPECT_EQ(OnHost(Choose(Mode::kKeepId, WithRanges(10, "me:100000:10\n"))), "0:100000:10:10:10:1");
  EXPECT_EQ(OnHost(Choose(Mode::kKeepId, WithRanges(9, "me:100000:10\n"))), "0:100000:9:9:9:1:10:100009:1");
}

TEST(UsernsTest, ASingleIdIsKeptAlone) {
  const Identity identity = Choose(Mode::kKeepId, User(1000));
  EXPECT_EQ(OnHost(identity), "1000:1000:1");
  EXPECT_FALSE(identity.MapsUid(0));
}

TEST(UsernsTest, RootsIdsAreKeptAsTheyAre) { EXPECT_FALSE(Choose(Mode::kKeepId, Root("")).has_inner()); }

TEST(UsernsTest, EachContainerGetsIdsThatNoOtherHas) {
  const IdentitySources user = WithRanges(1000, "me:100000:15\nme:200000:15\n");
  EXPECT_EQ(OnHost(Choose(Mode::kAuto, user)), "0:100000:10");
  const Identity second = Choose(Mode::kAuto, user, {{0, 10}});
  EXPECT_EQ(OnHost(second), "0:100010:5:5:200000:5");
  EXPECT_EQ(second.slice->first, 10u);
  EXPECT_EQ(OnHost(Choose(Mode::kAuto, user, {{10, 10}})), "0:100000:10");
  EXPECT_EQ(OnHost(Choose(Mode::kAuto, user, {{20, 10}, {0, 10}})), "0:100010:5:5:200000:5");
  EXPECT_THAT(Refusal(Mode::kAuto, user, {{5, 10}, {19, 10}}), HasSubstr("of the 30 subordinate ids"));
  // The user is in none of them.
  EXPECT_FALSE(second.MapsUid(10));
}

TEST(UsernsTest, RootsContainersGetRootsSubordinateIds) {
  const Identity identity = Choose(Mode::kAuto, Root("root:500000:20\n"), {{0, 5}});
  EXPECT_EQ(OnHost(identity), "0:500005:10");
  EXPECT_TRUE(identity.may_set_groups);
}

TEST(UsernsTest, WhatCannotBeIsSaid) {
  EXPECT_THAT(Refusal(Mode::kAuto, User(1000)), HasSubstr("needs subordinate ids, and /etc/subuid"));
  EXPECT_THAT(Refusal(Mode::kAuto, Root("")), HasSubstr("give root none"));
  EXPECT_THAT(Refusal(Mode::kHost, User(1000)), HasSubstr("--userns host is for root"));
  EXPECT_EQ(Choose(Mode::kHost, Root("")).method, Method::kHost);
}

TEST(UsernsTest, SlicesAreFoundBetweenOthers) {
  EXPECT_EQ(FirstFree({}, 10, 10)->first, 0u);
  EXPECT_FALSE(FirstFree({}, 10, 11).has_value());
  EXPECT_EQ(FirstFree({{0, 3}, {5, 5}}, 10, 2)->first, 3u);
  EXPECT_FALSE(FirstFree({{0, 3}, {5, 5}}, 10, 3).has_value());
  EXPECT_EQ(FirstFree({{0, 8}, {2, 2}}, 10, 2)->first, 8u);
}

}  // namespace
}  // namespace acetate::launcher
