#include "launcher/undo_list.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "common/temp_dir.h"

namespace acetate::launcher {
namespace {

using Kind = UndoList::Kind;
using When = UndoList::When;

bool Exists(const std::string& path) {
  struct stat st;
  return lstat(path.c_str(), &st) == 0;
}

class UndoListTest : public ::testing::Test {
 protected:
  UndoListTest() {
    MakeDirs(dir_ / "tree/below");
    MakeDirs(dir_ / "outer/inner");
    WriteFile(dir_ / "file", "");
  }
  TempDir dir_;
  UndoList undo_;
};

TEST_F(UndoListTest, UndoesInReverse) {
  undo_.Add(Kind::kEmptyDirectory, When::kAlways, dir_ / "outer");
  undo_.Add(Kind::kEmptyDirectory, When::kAlways, dir_ / "outer/inner");
  undo_.Add(Kind::kTree, When::kAlways, dir_ / "tree");
  undo_.Add(Kind::kFile, When::kAlways, dir_ / "file");
  EXPECT_TRUE(undo_.Run(false).ok());
  for (const char* name : {"outer", "tree", "file"}) EXPECT_FALSE(Exists(dir_ / name)) << name;
}

TEST_F(UndoListTest, LeavesWhatBelongsToAKeptContainer) {
  undo_.Add(Kind::kTree, When::kWithContainer, dir_ / "tree");
  undo_.Add(Kind::kFile, When::kAlways, dir_ / "file");
  EXPECT_TRUE(undo_.Run(true).ok());
  EXPECT_TRUE(Exists(dir_ / "tree"));
  EXPECT_FALSE(Exists(dir_ / "file"));
}

TEST_F(UndoListTest, WhatIsGoneIsNoErrorAndOneFailureStopsNothing) {
  undo_.Add(Kind::kTree, When::kAlways, dir_ / "tree");
  undo_.Add(Kind::kFile, When::kAlways, dir_ / "outer");  // a directory: cannot be unlinked
  undo_.Add(Kind::kFile, When::kAlways, dir_ / "none");
  EXPECT_FALSE(undo_.Run(false).ok());
  EXPECT_FALSE(Exists(dir_ / "tree"));
}

}  // namespace
}  // namespace acetate::launcher
