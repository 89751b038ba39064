#include "fusefs/branch_list.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace acetate::fusefs {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(BranchListTest, SplitsAtUnescapedSeparatorsOnly) {
  EXPECT_THAT(SplitEscaped(R"(a:b\:c:\\:d)", ':'), ElementsAre("a", R"(b\:c)", R"(\\)", "d"));
  EXPECT_THAT(SplitEscaped("", ':'), ElementsAre(""));
  EXPECT_THAT(SplitEscaped("a:", ':'), ElementsAre("a", ""));
  EXPECT_EQ(Unescape(R"(b\:c\\d\)"), R"(b:c\d\)");
}

TEST(BranchListTest, LowerDirsAreReadOnlyAndTheirWhiteoutsCount) {
  auto branches = ParseLowerDirs(R"(/a:/b\:c:/d\,e)", WhiteoutFormat::kDotWh);
  ASSERT_TRUE(branches.ok()) << branches.status();
  ASSERT_EQ(branches->size(), 3u);
  EXPECT_EQ((*branches)[0].path, "/a");
  EXPECT_EQ((*branches)[1].path, "/b:c");
  EXPECT_EQ((*branches)[2].path, "/d,e");
  EXPECT_EQ((*branches)[1].mode, BranchMode::kReadOnly);
  EXPECT_TRUE((*branches)[1].count_whiteouts);
  EXPECT_EQ((*branches)[1].format, WhiteoutFormat::kDotWh);
}

TEST(BranchListTest, EmptyEntriesAreErrors) {
  for (const char* text : {"", ":", "/a::/b", "/a:"}) {
    EXPECT_THAT(ParseLowerDirs(text, WhiteoutFormat::kOverlay).status().message(), HasSubstr("empty entry")) << text;
  }
  for (const char* text : {"", "/a=rw:", "=rw", "/a=rw::/b=ro"}) {
    EXPECT_THAT(ParseBranches(text).status().message(), HasSubstr("empty entry")) << text;
  }
}

TEST(BranchListTest, ModesOfBranches) {
  auto branches = ParseBranches("/u=rw:/a=ro:/b=ro+wh:/c=ro+dotwh:/d=RO:/e");
  ASSERT_TRUE(branches.ok()) << branches.status();
  ASSERT_EQ(branches->size(), 6u);
  const BranchSpec& upper = (*branches)[0];
  EXPECT_EQ(upper.path, "/u");
  EXPECT_EQ(upper.mode, BranchMode::kReadWrite);
  EXPECT_TRUE(upper.count_whiteouts);
  EXPECT_FALSE((*branches)[1].count_whiteouts);
  EXPECT_TRUE((*branches)[2].count_whiteouts);
  EXPECT_EQ((*branches)[2].format, WhiteoutFormat::kOverlay);
  EXPECT_TRUE((*branches)[3].count_whiteouts);
  EXPECT_EQ((*branches)[3].format, WhiteoutFormat::kDotWh);
  EXPECT_EQ((*branches)[4].mode, BranchMode::kReadOnly);
  EXPECT_EQ((*branches)[5].mode, BranchMode::kReadOnly);
  EXPECT_FALSE((*branches)[5].count_whiteouts);
}

TEST(BranchListTest, WithoutModesTheFirstIsWritable) {
  auto branches = ParseBranches("/u:/a");
  ASSERT_TRUE(branches.ok()) << branches.status();
  EXPECT_EQ((*branches)[0].mode, BranchMode::kReadWrite);
  EXPECT_EQ((*branches)[1].mode, BranchMode::kReadOnly);
}

TEST(BranchListTest, TheLastEqualsSignSeparatesTheMode) {
  auto branches = ParseBranches(R"(/a=b=rw:/c\:d=ro)");
  ASSERT_TRUE(branches.ok()) << branches.status();
  EXPECT_EQ((*branches)[0].path, "/a=b");
  EXPECT_EQ((*branches)[1].path, "/c:d");
  EXPECT_THAT(ParseBranches("/a=b").status().message(), HasSubstr("'b' in '/a=b' is not a mode"));
  EXPECT_THAT(ParseBranches("/a=rw+x").status().message(), HasSubstr("'rw+x'"));
}

TEST(BranchListTest, WritableBranchesAnywhere) {
  auto branches = ParseBranches("/a=ro:/b=rw:/c=ro:/d=rw+dotwh");
  ASSERT_TRUE(branches.ok()) << branches.status();
  EXPECT_EQ((*branches)[0].mode, BranchMode::kReadOnly);
  EXPECT_EQ((*branches)[1].mode, BranchMode::kReadWrite);
  EXPECT_EQ((*branches)[3].mode, BranchMode::kReadWrite);
  EXPECT_EQ((*branches)[3].format, WhiteoutFormat::kDotWh);
}

TEST(BranchListTest, WorkDirectoryBesideTheBranch) {
  EXPECT_EQ(SiblingWorkDir("/srv/upper"), "/srv/.upper.work");
  EXPECT_EQ(SiblingWorkDir("/srv/upper//"), "/srv/.upper.work");
  EXPECT_EQ(SiblingWorkDir("upper"), ".upper.work");
  EXPECT_EQ(SiblingWorkDir("../upper"), "../.upper.work");
  EXPECT_EQ(SiblingWorkDir("/upper"), "/.upper.work");
  for (const char* path : {"/", ".", "..", "/a/.", "/a/../", "//"}) EXPECT_EQ(SiblingWorkDir(path), "") << path;
}

}  // namespace
}  // namespace acetate::fusefs
