#include "fusefs/rename_plan.h"

#include <gtest/gtest.h>
#include <linux/fs.h>

namespace acetate::fusefs {
namespace {

RenameSide Nothing() { return {}; }
RenameSide Whiteout(bool below) { return {.whiteout = true, .below = below}; }
RenameSide UpperFile(bool below = false) { return {.exists = true, .in_upper = true, .below = below}; }
RenameSide LowerFile() { return {.exists = true, .below = true}; }
RenameSide UpperDir(bool below = false) { return {.exists = true, .is_dir = true, .in_upper = true, .below = below}; }
RenameSide LowerDir() { return {.exists = true, .is_dir = true, .below = true}; }
RenameSide MergedDir() { return {.exists = true, .is_dir = true, .in_upper = true, .merged = true, .below = true}; }

RenamePlan Plan(const RenameSide& source, const RenameSide& target, unsigned flags = 0) {
  ErrnoOr<RenamePlan> plan = PlanRename(source, target, flags, true);
  EXPECT_TRUE(plan.ok()) << plan.error().value();
  return plan.ok() ? *plan : RenamePlan{};
}

Errno Error(const RenameSide& source, const RenameSide& target, unsigned flags = 0, bool redirects = true) {
  return PlanRename(source, target, flags, redirects).error();
}

TEST(RenamePlanTest, UpperFileToNewNameIsPlain) {
  RenamePlan plan = Plan(UpperFile(), Nothing());
  EXPECT_FALSE(plan.copy_up_source || plan.exchange || plan.leave_whiteout || plan.make_source_opaque);
}

TEST(RenamePlanTest, LowerFileIsCopiedUpAndLeavesWhiteout) {
  RenamePlan plan = Plan(LowerFile(), Nothing());
  EXPECT_TRUE(plan.copy_up_source);
  EXPECT_TRUE(plan.leave_whiteout);
}

TEST(RenamePlanTest, WhiteoutAtTheTargetIsUsedAtTheSource) {
  RenamePlan plan = Plan(LowerFile(), Whiteout(true));
  EXPECT_TRUE(plan.exchange);
  EXPECT_FALSE(plan.leave_whiteout || plan.drop_old_whiteout);
}

TEST(RenamePlanTest, FileReplacesWhiteoutByPlainRename) {
  RenamePlan plan = Plan(UpperFile(), Whiteout(true));
  EXPECT_FALSE(plan.exchange || plan.leave_whiteout);
}

TEST(RenamePlanTest, DirectoryOverWhiteoutIsOpaqueAndTakesItsPlace) {
  RenamePlan plan = Plan(UpperDir(), Whiteout(true));
  EXPECT_TRUE(plan.exchange && plan.drop_old_whiteout && plan.make_source_opaque);
}

TEST(RenamePlanTest, DirectoryOverEmptyMergedDirectory) {
  RenamePlan plan = Plan(UpperDir(), MergedDir());
  EXPECT_TRUE(plan.check_target_empty && plan.clear_target && plan.make_source_opaque);
}

TEST(RenamePlanTest, DirectoryOverLowerDirectoryHasNothingToClear) {
  RenamePlan plan = Plan(UpperDir(), LowerDir());
  EXPECT_TRUE(plan.check_target_empty && plan.make_source_opaque);
  EXPECT_FALSE(plan.clear_target);
}

TEST(RenamePlanTest, DirectoryWithLowerPartNeedsARedirect) {
  RenamePlan plan = Plan(LowerDir(), Nothing());
  EXPECT_TRUE(plan.copy_up_source && plan.redirect_source && plan.leave_whiteout);
  plan = Plan(MergedDir(), Whiteout(true));
  EXPECT_TRUE(plan.redirect_source && plan.exchange);
  EXPECT_FALSE(plan.make_source_opaque || plan.copy_up_source);
  plan = Plan(UpperDir(true), LowerDir(), RENAME_EXCHANGE);
  EXPECT_TRUE(plan.redirect_target && plan.copy_up_target && plan.make_source_opaque);
  EXPECT_FALSE(plan.redirect_source || plan.make_target_opaque);
  EXPECT_EQ(Error(LowerDir(), Nothing(), 0, false), EXDEV);
  EXPECT_EQ(Error(MergedDir(), Nothing(), 0, false), EXDEV);
  EXPECT_EQ(Error(UpperDir(), LowerDir(), RENAME_EXCHANGE, false), EXDEV);
}

TEST(RenamePlanTest, OpaqueDirectoryOverLowerOneLeavesWhiteout) {
  RenamePlan plan = Plan(UpperDir(true), Nothing());
  EXPECT_TRUE(plan.leave_whiteout);
}

TEST(RenamePlanTest, KindsMustAgree) {
  EXPECT_EQ(Error(UpperDir(), UpperFile()), ENOTDIR);
  EXPECT_EQ(Error(UpperFile(), LowerDir()), EISDIR);
}

TEST(RenamePlanTest, Flags) {
  EXPECT_EQ(Error(UpperFile(), LowerFile(), RENAME_NOREPLACE), EEXIST);
  EXPECT_EQ(Error(UpperFile(), Nothing(), RENAME_EXCHANGE), ENOENT);
  EXPECT_EQ(Error(UpperFile(), UpperFile(), RENAME_EXCHANGE | RENAME_NOREPLACE), EINVAL);
  EXPECT_EQ(Error(UpperFile(), Nothing(), RENAME_WHITEOUT), EINVAL);
  EXPECT_EQ(Error(Nothing(), UpperFile()), ENOENT);
}

TEST(RenamePlanTest, ExchangeCopiesBothUp) {
  RenamePlan plan = Plan(LowerFile(), LowerFile(), RENAME_EXCHANGE);
  EXPECT_TRUE(plan.copy_up_source && plan.copy_up_target && plan.exchange);
}

TEST(RenamePlanTest, ExchangeOfDirectoryWithLowerFileMakesItOpaque) {
  RenamePlan plan = Plan(UpperDir(), LowerFile(), RENAME_EXCHANGE);
  EXPECT_TRUE(plan.make_source_opaque);
  EXPECT_FALSE(plan.make_target_opaque);
}

TEST(RenamePlanTest, TwoNamesOfOneObjectStay) {
  RenameSide same = UpperFile();
  same.same_object = true;
  EXPECT_TRUE(Plan(UpperFile(), same).nothing_to_do);
}

}  // namespace
}  // namespace acetate::fusefs
