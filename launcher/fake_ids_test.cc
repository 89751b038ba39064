#include "launcher/fake_ids.h"

#include <gtest/gtest.h>

#include <cerrno>

namespace acetate::launcher {
namespace {

constexpr uint32_t kKeep = kUnchangedId;

// apt's way of dropping root, after which it tries whether it gets back.
TEST(FakeIdsTest, WhoDropsRootDoesNotGetItBack) {
  FakeIdSet ids;
  EXPECT_TRUE(SetAllThree(100, 100, 100, true, &ids).ok());
  EXPECT_EQ(ids, (FakeIdSet{100, 100, 100, 100}));
  EXPECT_EQ(SetId(0, false, &ids), EPERM);
  EXPECT_EQ(SetAllThree(kKeep, 0, kKeep, false, &ids), EPERM);
  EXPECT_EQ(SetRealAndEffective(0, kKeep, false, &ids), EPERM);
  EXPECT_EQ(SetFilesystemId(0, false, &ids), 100u);
  EXPECT_EQ(ids, (FakeIdSet{100, 100, 100, 100}));
}

TEST(FakeIdsTest, WhoKeepsRootSavedGetsItBack) {
  FakeIdSet ids;
  EXPECT_TRUE(SetAllThree(kKeep, 33, kKeep, true, &ids).ok());  // seteuid()
  EXPECT_EQ(ids, (FakeIdSet{0, 33, 0, 33}));
  EXPECT_TRUE(SetAllThree(kKeep, 0, kKeep, false, &ids).ok());
  EXPECT_EQ(ids, FakeIdSet());
}

TEST(FakeIdsTest, SetuidOfRootSetsAllAndOfOthersTheEffective) {
  FakeIdSet ids;
  EXPECT_TRUE(SetId(7, true, &ids).ok());
  EXPECT_EQ(ids, (FakeIdSet{7, 7, 7, 7}));
  ids = {7, 8, 9, 8};
  EXPECT_TRUE(SetId(9, false, &ids).ok());
  EXPECT_EQ(ids, (FakeIdSet{7, 9, 9, 9}));
  EXPECT_EQ(SetId(8, false, &ids), EPERM);
  EXPECT_EQ(SetId(kKeep, true, &ids), EINVAL);
}

TEST(FakeIdsTest, SetreuidSavesTheEffectiveWhenTheRealIsSet) {
  FakeIdSet ids = {5, 6, 6, 6};
  EXPECT_TRUE(SetRealAndEffective(6, 5, false, &ids).ok());
  EXPECT_EQ(ids, (FakeIdSet{6, 5, 5, 5}));
  ids = {5, 6, 6, 6};
  EXPECT_TRUE(SetRealAndEffective(kKeep, 5, false, &ids).ok());
  EXPECT_EQ(ids, (FakeIdSet{5, 5, 6, 5}));
  EXPECT_EQ(SetRealAndEffective(6, kKeep, false, &ids), EPERM);  // the saved one is none to become the real one
}

TEST(FakeIdsTest, TheFilesystemsIdFollowsAndMayBeAnyThatIsHeld) {
  FakeIdSet ids = {1, 2, 3, 2};
  EXPECT_EQ(SetFilesystemId(3, false, &ids), 2u);
  EXPECT_EQ(SetFilesystemId(kKeep, false, &ids), 3u);
  EXPECT_EQ(ids.filesystem, 3u);
}

// setpriv's way: first the user, then the groups.
TEST(FakeIdsTest, WhoKeepsRootsCapabilitiesGoesOnChangingIds) {
  for (bool keeps : {false, true}) {
    FakeIds ids;
    ids.keeps_capabilities = keeps;
    ASSERT_TRUE(SetAllThree(5, 5, 5, ids.is_root(), &ids.user).ok());
    ids.UserChanged(true);
    EXPECT_EQ(ids.is_root(), keeps);
    EXPECT_EQ(SetAllThree(6, 6, 6, ids.is_root(), &ids.group).ok(), keeps);
  }
  FakeIds ids;
  ids.keeps_capabilities = true;
  ids.user = {0, 5, 0, 5};  // by seteuid(): the effective ones are lost, whatever was asked
  ids.UserChanged(true);
  EXPECT_FALSE(ids.is_root());
}

TEST(FakeIdsTest, OnlyRootGivesFilesAway) {
  FakeIds ids;
  EXPECT_TRUE(MayGive(ids, 5, 6, 7));
  ids.user = {5, 5, 5, 5};
  ids.group = {8, 8, 8, 8};
  ids.groups = {7};
  EXPECT_FALSE(MayGive(ids, 5, 6, kKeep));
  EXPECT_FALSE(MayGive(ids, 6, 5, kKeep));
  EXPECT_TRUE(MayGive(ids, 5, 5, 7));
  EXPECT_TRUE(MayGive(ids, 5, kKeep, 8));
  EXPECT_FALSE(MayGive(ids, 5, kKeep, 9));
}

}  // namespace
}  // namespace acetate::launcher
