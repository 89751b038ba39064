#include "launcher/identity.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace acetate::launcher {
namespace {

using ::testing::HasSubstr;
using Method = Identity::Method;

IdentitySources PlainUser() {
  IdentitySources sources;
  sources.uid = 1000;
  sources.gid = 100;
  sources.user_name = "me";
  sources.newuidmap = "/usr/bin/newuidmap";
  sources.newgidmap = "/usr/bin/newgidmap";
  return sources;
}

TEST(IdentityTest, WithoutRangesOneIdIsMapped) {
  Identity identity = *ChooseIdentity(PlainUser());
  EXPECT_EQ(identity.method, Method::kSingle);
  EXPECT_FALSE(identity.may_set_groups);
  EXPECT_TRUE(identity.MapsUid(0));
  EXPECT_FALSE(identity.MapsUid(1));
  EXPECT_EQ(identity.uids[0].outside, 1000u);
  EXPECT_EQ(identity.gids[0].outside, 100u);
}

TEST(IdentityTest, RangesAreStackedAboveRoot) {
  IdentitySources sources = PlainUser();
  sources.subuid = "you:1:1\nme:100000:65536\n1000:300000:10\n";
  sources.subgid = "me:200000:65536\n";
  Identity identity = *ChooseIdentity(sources);
  EXPECT_EQ(identity.method, Method::kSubordinate);
  ASSERT_EQ(identity.uids.size(), 3u);
  EXPECT_EQ(identity.uids[1].inside, 1u);
  EXPECT_EQ(identity.uids[1].outside, 100000u);
  EXPECT_EQ(identity.uids[2].inside, 65537u);
  EXPECT_TRUE(identity.MapsUid(65546));
  EXPECT_FALSE(identity.MapsUid(65547));
  EXPECT_TRUE(identity.MapsGid(65536));
  EXPECT_FALSE(identity.MapsGid(65537));
  EXPECT_TRUE(identity.may_set_groups);
}

TEST(IdentityTest, RangesInOnlyOneFileAreNoUse) {
  IdentitySources sources = PlainUser();
  sources.subuid = "me:100000:65536\n";
  EXPECT_EQ(ChooseIdentity(sources)->method, Method::kSingle);
}

TEST(IdentityTest, RangesWithoutTheHelpersAreAnErrorThatNamesThePackage) {
  IdentitySources sources = PlainUser();
  sources.subuid = sources.subgid = "me:100000:65536\n";
  sources.newgidmap = "";
  std::string message(ChooseIdentity(sources).status().message());
  EXPECT_THAT(message, HasSubstr("newgidmap is not in your PATH"));
  EXPECT_THAT(message, HasSubstr("package uidmap"));
}

TEST(IdentityTest, RootMirrorsWhatItHas) {
  IdentitySources sources;
  sources.may_map_any = true;
  sources.own_uid_map = "         0          0 4294967295\n";
  sources.own_gid_map = "         0       1000          1\n         1     100000      65536\n";
  sources.own_setgroups = "allow\n";
  Identity identity = *ChooseIdentity(sources);
  EXPECT_EQ(identity.method, Method::kMirror);
  EXPECT_TRUE(identity.MapsUid(4294967294u));
  ASSERT_EQ(identity.gids.size(), 2u);
  EXPECT_EQ(identity.gids[0].outside, 0u);
  EXPECT_EQ(identity.gids[1].outside, 1u);
  EXPECT_TRUE(identity.may_set_groups);
  sources.own_setgroups = "deny\n";
  EXPECT_FALSE(ChooseIdentity(sources)->may_set_groups);
}

TEST(IdentityTest, MalformedLinesAreNoRanges) {
  EXPECT_TRUE(ParseSubordinate("me\nme:x:1\nme:1\nme:1:x\nme:1:0\n:1:1\n# me:1:1\n", "me", 1000).empty());
  EXPECT_TRUE(ParseSubordinate(":1:1\n", "", 1000).empty());
  EXPECT_TRUE(ParseIdMap("0 0\nx y z\n").empty());
}

}  // namespace
}  // namespace acetate::launcher
