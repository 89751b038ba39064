// Files that have several names in a lower layer.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/fs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <filesystem>

#include "fusefs/union_fs_fixture.h"

namespace acetate::fusefs {
namespace {

using Strings = std::vector<std::string>;

class HardLinksTest : public UnionFsTest {
 protected:
  // One lower file called a, b and d/c.
  void PutThreeNames(const std::string& contents) {
    Put("lower/a", contents);
    MakeDirs(*this / "lower/d");
    ASSERT_EQ(link((*this / "lower/a").c_str(), (*this / "lower/b").c_str()), 0);
    ASSERT_EQ(link((*this / "lower/a").c_str(), (*this / "lower/d/c").c_str()), 0);
  }
  void Chmod(const std::string& path, mode_t mode) { ASSERT_TRUE(SetMode(path, mode).ok()) << path; }
  size_t IndexEntries() {
    if (!std::filesystem::exists(*this / "work/index")) return 0;
    const std::filesystem::directory_iterator entries(*this / "work/index");
    return static_cast<size_t>(std::distance(begin(entries), end(entries)));
  }
  void ExpectAll(const Strings& paths, const std::string& contents, nlink_t nlink) {
    for (const std::string& path : paths) {
      EXPECT_EQ(Contents(path), contents) << path;
      EXPECT_EQ(Attr(path).st_nlink, nlink) << path;
      EXPECT_EQ(Attr(path).st_ino, Attr(paths.front()).st_ino) << path;
    }
  }
};

TEST_F(HardLinksTest, AWriteShowsUnderAllNames) {
  PutThreeNames("data");
  Start();
  EXPECT_EQ(Node("a"), Node("b"));
  const uint64_t ino = Attr("a").st_ino;
  WriteTo("a", "DATA");
  EXPECT_EQ(IndexEntries(), 1u);
  for (int mounts = 0; mounts < 3; ++mounts) {
    ExpectAll({"d/c", "a", "b"}, "DATA", 3);
    EXPECT_EQ(Attr("d/c").st_ino, ino);
    Restart();
  }
  // Names that were in use are links, the others are found by the index.
  EXPECT_EQ(Upper(), (Strings{"a", "b"}));
  EXPECT_EQ(ReadFile(*this / "lower/a"), "data");
  EXPECT_TRUE(WorkIsClean());
}

TEST_F(HardLinksTest, SoDoesAChangeOfAttributesWithoutTheContents) {
  PutThreeNames("data");
  Start();
  Chmod("d/c", 0600);
  EXPECT_EQ(stats_.gauge(Gauge::kBytesCopiedUp), 0);
  for (int mounts = 0; mounts < 2; ++mounts) {
    ExpectAll({"a", "b", "d/c"}, "data", 3);
    EXPECT_EQ(Attr("a").st_mode & 07777, 0600u);
    Restart();
  }
  WriteTo("b", "DATA");
  Restart();
  ExpectAll({"a", "b", "d/c"}, "DATA", 3);
}

TEST_F(HardLinksTest, RemovedNamesAreCounted) {
  PutThreeNames("data");
  Start();
  ASSERT_TRUE(fs_->Unlink(kRootId, "b").ok());
  for (int mounts = 0; mounts < 2; ++mounts) {
    ExpectAll({"d/c", "a"}, "data", 2);
    EXPECT_EQ(LookupError("b"), ENOENT);
    Restart();
  }
  ASSERT_TRUE(fs_->Unlink(Node("d"), "c").ok());
  ExpectAll({"a"}, "data", 1);
  const NodeId open = Node("a");
  ASSERT_TRUE(fs_->Unlink(kRootId, "a").ok());
  EXPECT_EQ(IndexEntries(), 0u);
  EXPECT_EQ(fs_->GetAttr(open)->st_nlink, 0u);
  char buffer[8] = {};
  EXPECT_EQ(*fs_->Read(open, buffer, sizeof(buffer), 0), 4u);
  Restart();
  EXPECT_EQ(List("").size(), 1u);
}

TEST_F(HardLinksTest, MovedAndNewNamesAreNamesToo) {
  PutThreeNames("data");
  Start();
  ASSERT_TRUE(fs_->Rename(kRootId, "a", Node("d"), "x", 0).ok());
  ASSERT_TRUE(fs_->Link(Node("b"), kRootId, "y").ok());
  for (int mounts = 0; mounts < 2; ++mounts) {
    EXPECT_EQ(LookupError("a"), ENOENT);
    ExpectAll({"b", "d/c", "d/x", "y"}, "data", 4);
    Restart();
  }
  WriteTo("d/x", "DATA");
  ExpectAll({"b", "d/c", "d/x", "y"}, "DATA", 4);
}

TEST_F(HardLinksTest, AFileTakesOneOfTheNames) {
  PutThreeNames("data");
  Put("lower/other", "other");
  Start();
  ASSERT_TRUE(fs_->Rename(kRootId, "other", kRootId, "b", 0).ok());
  for (int mounts = 0; mounts < 2; ++mounts) {
    EXPECT_EQ(Contents("b"), "other");
    ExpectAll({"a", "d/c"}, "data", 2);
    Restart();
  }
}

TEST_F(HardLinksTest, TwoNamesOfOneFileDoNotReplaceEachOther) {
  PutThreeNames("data");
  Start();
  EXPECT_TRUE(fs_->Rename(kRootId, "a", kRootId, "b", 0).ok());
  ExpectAll({"a", "b", "d/c"}, "data", 3);
  EXPECT_EQ(Upper(), Strings{});
}

TEST_F(HardLinksTest, TwoNamesTradePlacesWithOthers) {
  PutThreeNames("data");
  Put("lower/other", "other");
  Start();
  ASSERT_TRUE(fs_->Rename(kRootId, "other", kRootId, "b", RENAME_EXCHANGE).ok());
  for (int mounts = 0; mounts < 2; ++mounts) {
    EXPECT_EQ(Contents("b"), "other");
    ExpectAll({"a", "d/c", "other"}, "data", 3);
    Restart();
  }
}

TEST_F(HardLinksTest, InAMovedDirectory) {
  PutThreeNames("data");
  Start();
  Chmod("d/c", 0600);
  ASSERT_TRUE(fs_->Rename(kRootId, "d", kRootId, "e", 0).ok());
  for (int mounts = 0; mounts < 2; ++mounts) {
    ExpectAll({"a", "b", "e/c"}, "data", 3);
    Restart();
  }
}

TEST_F(HardLinksTest, WithoutAnIndexNamesPartAtCopyUp) {
  options_.index = false;
  PutThreeNames("data");
  Start();
  WriteTo("a", "DATA");
  EXPECT_EQ(Contents("b"), "data");
  EXPECT_NE(Node("a"), Node("b"));
  Restart();
  EXPECT_NE(Attr("a").st_ino, Attr("b").st_ino);
}

TEST_F(HardLinksTest, TheUpperMayHaveBeenWrittenWithoutAnIndex) {
  PutThreeNames("data");
  options_.index = false;
  Start();
  WriteTo("a", "DATA");
  options_.index = true;
  Restart();
  EXPECT_EQ(Contents("a"), "DATA");
  ExpectAll({"b", "d/c"}, "data", 3);
  WriteTo("b", "more");
  EXPECT_EQ(Contents("d/c"), "more");
  EXPECT_EQ(Contents("a"), "DATA");
}

TEST_F(HardLinksTest, AFailedCopyLeavesNothing) {
  PutThreeNames("data");
  Start();
  upper_branch_->failing = "rename";
  upper_branch_->error = EIO;
  EXPECT_EQ(fs_->Write(Node("a"), "DATA", 4, 0).error(), EIO);
  upper_branch_->failing.clear();
  ExpectAll({"a", "b", "d/c"}, "data", 3);
  EXPECT_EQ(IndexEntries(), 0u);
  EXPECT_EQ(Upper(), Strings{});
  EXPECT_TRUE(WorkIsClean());
}

}  // namespace
}  // namespace acetate::fusefs
