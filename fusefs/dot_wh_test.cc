// Writing to a branch whose whiteouts are `.wh.` files beside what they hide.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/fs.h>

#include "fusefs/stack_scene.h"

namespace acetate::fusefs {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class DotWhTest : public ::testing::Test {
 protected:
  // What the writable branch holds, after a look at whether another reader sees the same union.
  std::vector<std::string> Held() {
    EXPECT_EQ(scene_.Tree(), StackScene::Tree(*scene_.Reader()));
    EXPECT_TRUE(scene_.WorkIsClean());
    return scene_.Held(0);
  }

  StackScene scene_{{"rw+dotwh", "ro+wh"}};
};

TEST_F(DotWhTest, RemovalLeavesAMarkWhereSomethingIsBelow) {
  scene_.Put("1/low", "");
  scene_.Put("1/d/f", "");
  scene_.Start();
  EXPECT_EQ(scene_.Create("own"), 0);
  EXPECT_EQ(scene_.Unlink("own"), 0);
  EXPECT_EQ(scene_.Unlink("low"), 0);
  EXPECT_EQ(scene_.Unlink("d/f"), 0);
  EXPECT_EQ(scene_.RmDir("d"), 0);
  EXPECT_THAT(Held(), ElementsAre(".wh.d", ".wh.low"));
  EXPECT_THAT(scene_.Tree(), IsEmpty());
}

TEST_F(DotWhTest, ANewObjectTakesTheMarkAway) {
  scene_.Put("1/f", "old");
  scene_.Put("1/d/inner", "");
  scene_.Start();
  EXPECT_EQ(scene_.Unlink("f"), 0);
  EXPECT_EQ(scene_.Create("f", "new"), 0);
  EXPECT_EQ(scene_.Unlink("d/inner"), 0);
  EXPECT_EQ(scene_.RmDir("d"), 0);
  EXPECT_EQ(scene_.MkDir("d"), 0);
  // The directory hides by itself what was in the other.
  EXPECT_THAT(Held(), ElementsAre("d/", "d/.wh..wh..opq", "f"));
  EXPECT_EQ(scene_.Contents("f"), "new");
  EXPECT_EQ(scene_.Tree().count("d/inner"), 0u);
}

TEST_F(DotWhTest, RenamesLeaveAndReplaceMarks) {
  scene_.Put("1/a", "a");
  scene_.Put("1/b", "b");
  scene_.Start();
  EXPECT_EQ(scene_.Rename("a", "c"), 0);
  EXPECT_THAT(Held(), ElementsAre(".wh.a", "c"));
  EXPECT_EQ(scene_.Rename("b", "a"), 0);
  EXPECT_THAT(Held(), ElementsAre(".wh.b", "a", "c"));
  EXPECT_EQ(scene_.Rename("a", "c", RENAME_EXCHANGE), 0);
  EXPECT_EQ(scene_.Contents("a") + scene_.Contents("c"), "ab");
}

TEST_F(DotWhTest, ALowerDirectoryIsRenamedWithItsContents) {
  scene_.Put("1/d/f", "low");
  scene_.Start();
  EXPECT_EQ(scene_.Rename("d", "e"), 0);
  EXPECT_EQ(scene_.Contents("e/f"), "low");
  EXPECT_THAT(Held(), ElementsAre(".wh.d", "e/"));
  // And back, onto its mark.
  EXPECT_EQ(scene_.Rename("e", "d"), 0);
  EXPECT_EQ(scene_.Contents("d/f"), "low");
  EXPECT_EQ(Held().size(), 1u);
}

TEST_F(DotWhTest, ADirectoryReplacesAnEmptiedOne) {
  scene_.Put("1/d/f", "");
  scene_.Start();
  EXPECT_EQ(scene_.Unlink("d/f"), 0);
  EXPECT_EQ(scene_.MkDir("new"), 0);
  EXPECT_EQ(scene_.Create("new/g", "g"), 0);
  EXPECT_EQ(scene_.Rename("new", "d"), 0);
  EXPECT_EQ(scene_.Contents("d/g"), "g");
  EXPECT_EQ(scene_.Tree().count("d/f"), 0u);
  Held();
}

TEST_F(DotWhTest, AnObjectOfSuchANameBelowStaysThere) {
  scene_.Put("1/.wh.f", "a file to its layer");
  scene_.Put("1/.wh.d/g", "");
  scene_.Put("1/f", "");
  scene_.Start();
  EXPECT_EQ(scene_.Chmod(".wh.f", 0600), EROFS);
  EXPECT_EQ(scene_.Write(".wh.f", "x"), EROFS);
  EXPECT_EQ(scene_.Unlink(".wh.f"), EROFS);
  EXPECT_EQ(scene_.Create(".wh.d/h"), EROFS);
  EXPECT_EQ(scene_.Rename(".wh.f", "h"), EPERM);
  EXPECT_THAT(Held(), IsEmpty());
  EXPECT_EQ(scene_.Tree().count("f"), 1u);
}

TEST_F(DotWhTest, NamesOfMarksCannotBeMade) {
  scene_.Put("1/f", "");
  scene_.Start();
  EXPECT_EQ(scene_.Create(".wh.f"), EPERM);
  EXPECT_EQ(scene_.MkDir(".wh..wh..opq"), EPERM);
  EXPECT_EQ(scene_.Rename("f", ".wh.g"), EPERM);
  EXPECT_EQ(scene_.fs_->Link(scene_.Node("f"), kRootId, ".wh.g").error(), EPERM);
  EXPECT_EQ(scene_.Tree().size(), 1u);
}

}  // namespace
}  // namespace acetate::fusefs
