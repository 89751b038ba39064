#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "fusefs/union_fs_fixture.h"

namespace acetate::fusefs {
namespace {

using Strings = std::vector<std::string>;
using RemoveTest = UnionFsTest;

TEST_F(RemoveTest, LowerFileLeavesAWhiteout) {
  WriteFile(*this / "lower/a", "a");
  Start();
  EXPECT_TRUE(fs_->Unlink(kRootId, "a").ok());
  EXPECT_EQ(Upper(), Strings{"a (whiteout)"});
  EXPECT_EQ(LookupError("a"), ENOENT);
  Restart();
  EXPECT_EQ(LookupError("a"), ENOENT);
  EXPECT_TRUE(List("").empty());
}

TEST_F(RemoveTest, UpperFileOverNothingLeavesNothing) {
  WriteFile(*this / "upper/a", "a");
  Start();
  EXPECT_TRUE(fs_->Unlink(kRootId, "a").ok());
  EXPECT_EQ(Upper(), Strings{});
}

TEST_F(RemoveTest, UpperFileOverALowerOneBecomesAWhiteout) {
  WriteFile(*this / "upper/a", "new");
  WriteFile(*this / "bottom/a", "old");
  Start();
  EXPECT_TRUE(fs_->Unlink(kRootId, "a").ok());
  EXPECT_EQ(Upper(), Strings{"a (whiteout)"});
  EXPECT_TRUE(WorkIsClean());
}

TEST_F(RemoveTest, NothingIsHiddenInAnOpaqueDirectory) {
  MakeDirs(*this / "lower/d");
  WriteFile(*this / "lower/d/a", "old");
  MakeDirs(*this / "upper/d");
  WriteFile(*this / "upper/d/a", "new");
  ASSERT_EQ(setxattr((*this / "upper/d").c_str(), "user.overlay.opaque", "y", 1, 0), 0);
  Start();
  EXPECT_TRUE(fs_->Unlink(Node("d"), "a").ok());
  EXPECT_EQ(Upper(), Strings{"d/"});
}

TEST_F(RemoveTest, XattrWhiteoutsWhereAskedFor) {
  options_.write_whiteouts = WhiteoutEncoding::kXattr;
  WriteFile(*this / "lower/a", "a");
  MakeDirs(*this / "lower/d");
  Start();
  EXPECT_TRUE(fs_->Unlink(kRootId, "a").ok());
  EXPECT_TRUE(fs_->RmDir(kRootId, "d").ok());
  EXPECT_EQ(Upper(), (Strings{"a", "d"}));
  EXPECT_GE(getxattr((*this / "upper/a").c_str(), "user.overlay.whiteout", nullptr, 0), 0);
  Restart();
  EXPECT_TRUE(List("").empty());
}

TEST_F(RemoveTest, RmdirOfAMergedDirectory) {
  MakeDirs(*this / "lower/d");
  MakeDirs(*this / "upper/d");
  Start();
  EXPECT_TRUE(fs_->RmDir(kRootId, "d").ok());
  EXPECT_EQ(Upper(), Strings{"d (whiteout)"});
  EXPECT_TRUE(WorkIsClean());
}

TEST_F(RemoveTest, RmdirOfADirectoryThatHoldsOnlyWhiteouts) {
  MakeDirs(*this / "lower/d");
  WriteFile(*this / "lower/d/a", "a");
  Start();
  EXPECT_EQ(fs_->RmDir(kRootId, "d"), ENOTEMPTY);
  EXPECT_TRUE(fs_->Unlink(Node("d"), "a").ok());
  EXPECT_TRUE(fs_->RmDir(kRootId, "d").ok());
  EXPECT_EQ(Upper(), Strings{"d (whiteout)"});
  EXPECT_TRUE(WorkIsClean());
}

TEST_F(RemoveTest, RmdirOfAnUpperDirectoryWithANeedlessWhiteout) {
  MakeDirs(*this / "upper/d");
  PutWhiteout("upper/d/nothing");
  Start();
  EXPECT_TRUE(fs_->RmDir(kRootId, "d").ok());
  EXPECT_EQ(Upper(), Strings{});
  EXPECT_TRUE(WorkIsClean());
}

TEST_F(RemoveTest, RmdirOfALowerDirectoryWithChildrenIsRefused) {
  MakeDirs(*this / "lower/d");
  WriteFile(*this / "lower/d/a", "a");
  Start();
  EXPECT_EQ(fs_->RmDir(kRootId, "d"), ENOTEMPTY);
  EXPECT_EQ(Upper(), Strings{});
}

TEST_F(RemoveTest, KindsMustAgree) {
  MakeDirs(*this / "lower/d");
  WriteFile(*this / "lower/a", "a");
  Start();
  EXPECT_EQ(fs_->Unlink(kRootId, "d"), EISDIR);
  EXPECT_EQ(fs_->RmDir(kRootId, "a"), ENOTDIR);
}

TEST_F(RemoveTest, UpperFileInUseGoesOn) {
  WriteFile(*this / "upper/a", "data");
  Start();
  NodeId node = Node("a");
  EXPECT_TRUE(fs_->Unlink(kRootId, "a").ok());
  char buffer[8] = {};
  EXPECT_EQ(*fs_->Read(node, buffer, sizeof(buffer), 0), 4u);
  EXPECT_EQ(fs_->Write(node, "DATAS", 5, 0)->size, 5u);
  ErrnoOr<struct stat> st = fs_->GetAttr(node);
  ASSERT_TRUE(st.ok());
  EXPECT_EQ(st->st_nlink, 0u);
  EXPECT_EQ(st->st_size, 5);
}

TEST_F(RemoveTest, MoreFilesInUseThanFdsGoOn) {
  struct rlimit old, few = {64, 64};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &old), 0);
  few.rlim_max = old.rlim_max;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
  for (int i = 0; i < 200; ++i) WriteFile(*this / absl::StrCat("upper/f", i), absl::StrCat("data", i));
  WriteFile(*this / "upper/other", "other");
  Start();
  std::vector<NodeId> nodes;
  for (int i = 0; i < 200; ++i) {
    nodes.push_back(Node(absl::StrCat("f", i)));
    ASSERT_TRUE(fs_->Unlink(kRootId, absl::StrCat("f", i)).ok()) << i;
  }
  for (int i = 0; i < 200; ++i) {
    char buffer[8] = {};
    ErrnoOr<size_t> read = fs_->Read(nodes[i], buffer, sizeof(buffer), 0);
    ASSERT_TRUE(read.ok()) << i << ": errno " << read.error().value();
    EXPECT_EQ(buffer, absl::StrCat("data", i));
    EXPECT_EQ(fs_->GetAttr(nodes[i])->st_nlink, 0u);
  }
  EXPECT_EQ(Contents("other"), "other");
  EXPECT_FALSE(WorkIsClean());
  for (size_t i = 0; i + 20 < nodes.size(); ++i) fs_->Forget(nodes[i], 1);
  EXPECT_FALSE(WorkIsClean());
  fs_.reset();  // a forced unmount forgets nothing
  EXPECT_TRUE(WorkIsClean());
  EXPECT_EQ(Upper(), Strings{"other"});
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &old), 0);
}

TEST_F(RemoveTest, LowerFileInUseIsReadAndWrittenOn) {
  WriteFile(*this / "lower/a", "data");
  Start();
  NodeId node = Node("a");
  EXPECT_TRUE(fs_->Unlink(kRootId, "a").ok());
  char buffer[8] = {};
  EXPECT_EQ(*fs_->Read(node, buffer, sizeof(buffer), 0), 4u);
  EXPECT_EQ(fs_->GetAttr(node)->st_nlink, 0u);
  EXPECT_EQ(fs_->Write(node, "DATAS", 5, 0)->size, 5u);
  EXPECT_EQ(fs_->GetAttr(node)->st_size, 5);
  EXPECT_EQ(fs_->GetAttr(node)->st_nlink, 0u);
  EXPECT_EQ(ReadFile(*this / "lower/a"), "data");
  EXPECT_EQ(Upper(), Strings{"a (whiteout)"});
  EXPECT_TRUE(WorkIsClean());
}

TEST_F(RemoveTest, DirectoryInUseKeepsItsMode) {
  Put("lower/d/a", "a");
  ASSERT_EQ(chmod((*this / "lower/d").c_str(), 0755), 0);
  Start();
  NodeId node = Node("d");
  ASSERT_TRUE(fs_->Rename(kRootId, "d", kRootId, "e", 0).ok());
  EXPECT_TRUE(fs_->Unlink(node, "a").ok());
  EXPECT_TRUE(fs_->RmDir(kRootId, "e").ok());
  EXPECT_EQ(fs_->GetAttr(node)->st_mode & 07777, 0755u);
}

TEST_F(RemoveTest, DirectoryInUseIsEmptyAndTakesNothing) {
  MakeDirs(*this / "upper/d");
  Start();
  NodeId node = Node("d");
  EXPECT_TRUE(fs_->RmDir(kRootId, "d").ok());
  EXPECT_EQ(fs_->GetAttr(node)->st_nlink, 0u);
  EXPECT_EQ(fs_->Lookup(node, "x").error(), ENOENT);
  EXPECT_EQ(fs_->MkDir(node, "x", 0755, Caller{}).error(), ENOENT);
}

TEST_F(RemoveTest, FailureLeavesTheFile) {
  WriteFile(*this / "upper/a", "new");
  WriteFile(*this / "lower/a", "old");
  Start();
  upper_branch_->failing = "rename";
  upper_branch_->error = EIO;
  EXPECT_EQ(fs_->Unlink(kRootId, "a"), EIO);
  EXPECT_EQ(Upper(), Strings{"a"});
  EXPECT_EQ(Contents("a"), "new");
  EXPECT_TRUE(WorkIsClean());
}

TEST_F(RemoveTest, OneNameOfTwoLeavesTheOther) {
  WriteFile(*this / "upper/a", "data");
  ASSERT_EQ(link((*this / "upper/a").c_str(), (*this / "upper/b").c_str()), 0);
  Start();
  NodeId node = Node("a");
  EXPECT_TRUE(fs_->Unlink(kRootId, "a").ok());
  EXPECT_EQ(fs_->GetAttr(node)->st_nlink, 1u);
  EXPECT_EQ(Node("b"), node);
}

}  // namespace
}  // namespace acetate::fusefs
