#include <dirent.h>
#include <gtest/gtest.h>
#include <linux/fs.h>
#include <unistd.h>

#include "fusefs/union_fs_fixture.h"

namespace acetate::fusefs {
namespace {

using Strings = std::vector<std::string>;

class RenameTest : public UnionFsTest {
 protected:
  Errno Rename(const std::string& from, const std::string& to, unsigned flags = 0) {
    return fs_->Rename(kRootId, from, kRootId, to, flags);
  }
};

TEST_F(RenameTest, LowerFileMovesAndLeavesAWhiteout) {
  WriteFile(*this / "lower/a", "data");
  Start();
  EXPECT_TRUE(Rename("a", "b").ok());
  EXPECT_EQ(Upper(), (Strings{"a (whiteout)", "b"}));
  EXPECT_EQ(Contents("b"), "data");
  EXPECT_EQ(LookupError("a"), ENOENT);
  EXPECT_TRUE(WorkIsClean());
}

TEST_F(RenameTest, UpperFileOverNothingLeavesNothing) {
  WriteFile(*this / "upper/a", "data");
  Start();
  EXPECT_TRUE(Rename("a", "b").ok());
  EXPECT_EQ(Upper(), Strings{"b"});
}

TEST_F(RenameTest, ReplacedFileIsReadOn) {
  WriteFile(*this / "upper/a", "new");
  WriteFile(*this / "lower/b", "old");
  Start();
  NodeId replaced = Node("b");
  EXPECT_TRUE(Rename("a", "b").ok());
  EXPECT_EQ(Contents("b"), "new");
  char buffer[8] = {};
  ASSERT_TRUE(fs_->Read(replaced, buffer, sizeof(buffer), 0).ok());
  EXPECT_STREQ(buffer, "old");
  EXPECT_EQ(Upper(), Strings{"b"});
}

TEST_F(RenameTest, WhiteoutAtTheTargetMovesToTheSource) {
  WriteFile(*this / "lower/a", "data");
  WriteFile(*this / "lower/b", "hidden");
  PutWhiteout("upper/b");
  Start();
  EXPECT_TRUE(Rename("a", "b").ok());
  EXPECT_EQ(Upper(), (Strings{"a (whiteout)", "b"}));
  Restart();
  EXPECT_EQ(Contents("b"), "data");
  EXPECT_EQ(LookupError("a"), ENOENT);
}

TEST_F(RenameTest, DirectoryOverAWhiteoutHidesWhatWasThere) {
  MakeDirs(*this / "upper/d");
  WriteFile(*this / "upper/d/mine", "");
  MakeDirs(*this / "lower/e");
  WriteFile(*this / "lower/e/theirs", "");
  PutWhiteout("upper/e");
  Start();
  EXPECT_TRUE(Rename("d", "e").ok());
  EXPECT_EQ(Upper(), (Strings{"e/", "e/mine"}));
  Restart();
  EXPECT_EQ(List("e"), (std::map<std::string, unsigned char>{{"mine", DT_REG}}));
}

TEST_F(RenameTest, DirectoryOverAnEmptyMergedOne) {
  MakeDirs(*this / "upper/d");
  WriteFile(*this / "upper/d/mine", "");
  MakeDirs(*this / "lower/e");
  WriteFile(*this / "lower/e/theirs", "");
  Start();
  EXPECT_EQ(Rename("d", "e"), ENOTEMPTY);
  EXPECT_TRUE(fs_->Unlink(Node("e"), "theirs").ok());
  EXPECT_TRUE(Rename("d", "e").ok());
  EXPECT_EQ(Upper(), (Strings{"e/", "e/mine"}));
  EXPECT_TRUE(IsOpaqueInUpper("e"));
  EXPECT_TRUE(WorkIsClean());
  EXPECT_TRUE(Rename("e", "f").ok());
  EXPECT_EQ(Upper(), (Strings{"e (whiteout)", "f/", "f/mine"}));
}

TEST_F(RenameTest, DirectoryWithLowerContentStaysWithoutRedirects) {
  options_.write_redirects = false;
  MakeDirs(*this / "lower/d");
  Start();
  EXPECT_EQ(Rename("d", "e"), EXDEV);
  EXPECT_EQ(Upper(), Strings{});
}

TEST_F(RenameTest, ChildrenFollowTheirDirectory) {
  MakeDirs(*this / "upper/d/sub");
  WriteFile(*this / "upper/d/sub/file", "data");
  Start();
  NodeId file = Node("d/sub/file");
  EXPECT_TRUE(Rename("d", "e").ok());
  EXPECT_EQ(fs_->Write(file, "DATA", 4, 0)->size, 4u);
  EXPECT_EQ(Node("e/sub/file"), file);
  EXPECT_EQ(ReadFile(*this / "upper/e/sub/file"), "DATA");
}

TEST_F(RenameTest, ExchangeOfLowerFiles) {
  WriteFile(*this / "lower/a", "a");
  WriteFile(*this / "lower/b", "b");
  Start();
  NodeId a = Node("a");
  EXPECT_TRUE(Rename("a", "b", RENAME_EXCHANGE).ok());
  EXPECT_EQ(Contents("a"), "b");
  EXPECT_EQ(Contents("b"), "a");
  EXPECT_EQ(Node("b"), a);
  EXPECT_EQ(Upper(), (Strings{"a", "b"}));
}

TEST_F(RenameTest, ExchangeOfDirectoryAndFile) {
  MakeDirs(*this / "upper/d");
  WriteFile(*this / "upper/d/x", "x");
  WriteFile(*this / "lower/f", "f");
  Start();
  EXPECT_TRUE(Rename("d", "f", RENAME_EXCHANGE).ok());
  EXPECT_EQ(Contents("d"), "f");
  EXPECT_EQ(Contents("f/x"), "x");
}

TEST_F(RenameTest, NoReplaceRefusesALowerTarget) {
  WriteFile(*this / "upper/a", "a");
  WriteFile(*this / "lower/b", "b");
  Start();
  EXPECT_EQ(Rename("a", "b", RENAME_NOREPLACE), EEXIST);
  EXPECT_EQ(Contents("b"), "b");
}

TEST_F(RenameTest, TwoNamesOfOneFileBothStay) {
  WriteFile(*this / "upper/a", "data");
  ASSERT_EQ(link((*this / "upper/a").c_str(), (*this / "upper/b").c_str()), 0);
  Start();
  EXPECT_TRUE(Rename("a", "b").ok());
  EXPECT_EQ(Upper(), (Strings{"a", "b"}));
}

TEST_F(RenameTest, FailureLeavesBothNames) {
  WriteFile(*this / "lower/a", "a");
  WriteFile(*this / "upper/b", "b");
  Start();
  upper_branch_->failing = "rename";
  upper_branch_->error = ENOSPC;
  EXPECT_EQ(Rename("a", "b"), ENOSPC);
  upper_branch_->failing.clear();
  EXPECT_EQ(Contents("a"), "a");
  EXPECT_EQ(Contents("b"), "b");
  EXPECT_TRUE(WorkIsClean());
}

TEST_F(RenameTest, XattrWhiteoutsAreLeftInTwoSteps) {
  options_.write_whiteouts = WhiteoutEncoding::kXattr;
  WriteFile(*this / "lower/a", "data");
  Start();
  EXPECT_TRUE(Rename("a", "b").ok());
  Restart();
  EXPECT_EQ(LookupError("a"), ENOENT);
  EXPECT_EQ(Contents("b"), "data");
  EXPECT_EQ(Attr("b").st_nlink, 1u);
}

TEST_F(RenameTest, AtNoMomentHasAFileNeitherName) {
  for (WhiteoutEncoding encoding : {WhiteoutEncoding::kCharDevice, WhiteoutEncoding::kXattr}) {
    options_.write_whiteouts = encoding;
    for (const char* layer : {"upper/", "lower/"}) WriteFile(*this / (std::string(layer) + "a"), layer);
    Start();
    int moments = 0;
    upper_branch_->before = [&] {
      ++moments;
      EXPECT_TRUE(ReadFile(*this / "upper/a") == "upper/" || ReadFile(*this / "upper/b") == "upper/");
    };
    EXPECT_TRUE(Rename("a", "b").ok());
    EXPECT_GT(moments, 0);
    EXPECT_EQ(Contents("b"), "upper/");
    fs_.reset();
    for (const char* name : {"upper/a", "upper/b"}) ASSERT_EQ(unlink((*this / name).c_str()), 0);
  }
}

}  // namespace
}  // namespace acetate::fusefs
