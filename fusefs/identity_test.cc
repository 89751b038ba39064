#include "fusefs/identity.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/temp_dir.h"
#include "common/unique_fd.h"

namespace acetate::fusefs {
namespace {

struct stat Created(const TempDir& temp, const std::string& name) {
  UniqueFd fd(open((temp / name).c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600));
  struct stat st = {};
  EXPECT_EQ(fstat(fd.get(), &st), 0);
  return st;
}

OwnerRules Shifted() {
  OwnerRules rules;
  EXPECT_TRUE(rules.uids.Add("0:1000:100").ok());
  EXPECT_TRUE(rules.gids.Add("0:2000:100").ok());
  return rules;
}

TEST(IdentityTest, WhatIsCreatedBelongsToTheCaller) {
  const Identity identity = Identity::OfProcess();
  if (!identity.can_switch()) GTEST_SKIP() << "needs root";
  TempDir temp;
  {
    CallerScope scope(identity, {33, 44, 0});
    const struct stat st = Created(temp, "callers");
    EXPECT_EQ(st.st_uid, 33u);
    EXPECT_EQ(st.st_gid, 44u);
  }
  EXPECT_EQ(Created(temp, "own").st_uid, geteuid());
}

TEST(IdentityTest, ACallersIdsAreStoredAsTheRulesSay) {
  Identity identity = Identity::OfProcess();
  identity.Follow(Shifted());
  EXPECT_EQ(CallerScope::Current(), nullptr);
  {
    CallerScope scope(identity, {1033, 2044, 0});
    EXPECT_EQ(CallerScope::Current()->uid, 33u);
    EXPECT_EQ(CallerScope::Current()->gid, 44u);
    if (identity.can_switch()) {
      TempDir temp;
      EXPECT_EQ(Created(temp, "callers").st_gid, 44u);
    }
  }
  EXPECT_EQ(CallerScope::Current(), nullptr);
  CallerScope scope(identity, {1001, 5, 0});
  EXPECT_EQ(CallerScope::Current()->uid, 1u);
  EXPECT_EQ(CallerScope::Current()->gid, std::nullopt);
}

TEST(IdentityTest, TheDaemonsUserActsForRootWhereItHasNoIdOfItsOwn) {
  Identity identity = Identity::OfProcess();
  identity.Follow(Shifted());
  CallerScope scope(identity, {geteuid(), getegid(), 0});
  EXPECT_EQ(CallerScope::Current()->uid, 0u);
  EXPECT_EQ(CallerScope::Current()->gid, 0u);
}

TEST(IdentityTest, KeepingItsOwnTheDaemonCreatesForItself) {
  Identity identity = Identity::OfProcess();
  identity.KeepOwn();
  EXPECT_FALSE(identity.can_switch());
  TempDir temp;
  CallerScope scope(identity, {33, 44, 0});
  EXPECT_EQ(Created(temp, "file").st_uid, geteuid());
  EXPECT_EQ(CallerScope::Current()->uid, 33u);
}

}  // namespace
}  // namespace acetate::fusefs
