// Files that were copied up without their contents.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "fusefs/union_fs_fixture.h"

namespace acetate::fusefs {
namespace {

using Strings = std::vector<std::string>;

class MetacopyTest : public UnionFsTest {
 protected:
  void Chmod(const std::string& path, mode_t mode) { ASSERT_TRUE(SetMode(path, mode).ok()); }
  bool IsMetacopy(const std::string& path) {
    return lgetxattr((*this / path).c_str(), "user.overlay.metacopy", nullptr, 0) >= 0;
  }
  void MakeMetacopy(const std::string& path, off_t size) {
    Put(path, "");
    ASSERT_EQ(truncate((*this / path).c_str(), size), 0);
    ASSERT_EQ(setxattr((*this / path).c_str(), "user.overlay.metacopy", "", 0, 0), 0);
  }
};

TEST_F(MetacopyTest, AttributesChangeWithoutTheContents) {
  Put("lower/a", std::string(100000, 'x'), 0600);
  Start();
  const blkcnt_t blocks = Attr("a").st_blocks;
  Chmod("a", 0644);
  EXPECT_EQ(stats_.gauge(Gauge::kBytesCopiedUp), 0);
  EXPECT_TRUE(IsMetacopy("upper/a"));
  for (int mounts = 0; mounts < 2; ++mounts) {
    struct stat st = Attr("a");
    EXPECT_EQ(st.st_mode & 07777, 0644u);
    EXPECT_EQ(st.st_size, 100000);
    EXPECT_EQ(st.st_blocks, blocks);
    EXPECT_EQ(Contents("a"), std::string(100000, 'x'));
    Restart();
  }
}

TEST_F(MetacopyTest, AWriteFetchesThem) {
  Put("lower/a", "lower data");
  Start();
  Chmod("a", 0644);
  EXPECT_EQ(Contents("a"), "lower data");
  WriteTo("a", "UPPER");
  EXPECT_FALSE(IsMetacopy("upper/a"));
  EXPECT_EQ(Contents("a"), "UPPER data");
  Restart();
  EXPECT_EQ(Contents("a"), "UPPER data");
  EXPECT_EQ(ReadFile(*this / "upper/a"), "UPPER data");
}

TEST_F(MetacopyTest, SoDoesATruncationForWhatStays) {
  Put("lower/a", std::string(100000, 'x'));
  Start();
  Chmod("a", 0644);
  EXPECT_EQ(SetSize("a", 10)->st_size, 10);
  EXPECT_EQ(stats_.gauge(Gauge::kBytesCopiedUp), 10);
  EXPECT_EQ(SetSize("a", 20)->st_size, 20);
  EXPECT_EQ(Contents("a"), std::string(10, 'x') + std::string(10, '\0'));
  EXPECT_FALSE(IsMetacopy("upper/a"));
}

TEST_F(MetacopyTest, ItsContentsAreFoundUnderAnotherName) {
  Put("lower/d/a", "data");
  Start();
  Chmod("d/a", 0644);
  ASSERT_TRUE(fs_->Rename(Node("d"), "a", kRootId, "b", 0).ok());
  ASSERT_TRUE(fs_->Link(Node("b"), kRootId, "c").ok());
  for (int mounts = 0; mounts < 2; ++mounts) {
    EXPECT_EQ(Contents("b"), "data");
    EXPECT_EQ(Contents("c"), "data");
    EXPECT_TRUE(IsMetacopy("upper/b"));
    Restart();
  }
  WriteTo("c", "DATA");
  EXPECT_EQ(Contents("b"), "DATA");
}

TEST_F(MetacopyTest, ARenameCopiesNoContents) {
  Put("lower/a", std::string(100000, 'x'));
  Start();
  const uint64_t ino = Attr("a").st_ino;
  ASSERT_TRUE(fs_->Rename(kRootId, "a", kRootId, "b", 0).ok());
  EXPECT_EQ(stats_.gauge(Gauge::kBytesCopiedUp), 0);
  Restart();
  EXPECT_EQ(Contents("b"), std::string(100000, 'x'));
  EXPECT_EQ(Attr("b").st_ino, ino);
  EXPECT_EQ(Upper(), (Strings{"a (whiteout)", "b"}));
}

TEST_F(MetacopyTest, InAMovedDirectory) {
  Put("lower/d/a", "data");
  Start();
  Chmod("d/a", 0644);
  ASSERT_TRUE(fs_->Rename(kRootId, "d", kRootId, "e", 0).ok());
  ASSERT_TRUE(fs_->Rename(Node("e"), "a", Node("e"), "b", 0).ok());
  for (int mounts = 0; mounts < 2; ++mounts) {
    EXPECT_EQ(Contents("e/b"), "data");
    Restart();
  }
}

TEST_F(MetacopyTest, RemovedWhileInUse) {
  Put("lower/a", "data");
  Start();
  Chmod("a", 0644);
  Restart();
  NodeId node = Node("a");
  ASSERT_TRUE(fs_->Unlink(kRootId, "a").ok());
  char buffer[8] = {};
  EXPECT_EQ(*fs_->Read(node, buffer, sizeof(buffer), 0), 4u);
  EXPECT_STREQ(buffer, "data");
  EXPECT_TRUE(fs_->Write(node, "DATA!", 5, 0).ok());
  EXPECT_EQ(*fs_->Read(node, buffer, sizeof(buffer), 0), 5u);
  EXPECT_STREQ(buffer, "DATA!");
}

TEST_F(MetacopyTest, LowerLayersMayHoldThemToo) {
  MakeMetacopy("lower/a", 4);
  ASSERT_EQ(setxattr((*this / "lower/a").c_str(), "user.overlay.redirect", "/b", 2, 0), 0);
  Put("bottom/b", "data");
  Start();
  EXPECT_EQ(Contents("a"), "data");
  Chmod("a", 0600);
  EXPECT_TRUE(IsMetacopy("upper/a"));
  for (int mounts = 0; mounts < 2; ++mounts) {
    EXPECT_EQ(Contents("a"), "data");
    Restart();
  }
  WriteTo("a", "DATA");
  Restart();
  EXPECT_EQ(Contents("a"), "DATA");
  EXPECT_EQ(Contents("b"), "data");
}

TEST_F(MetacopyTest, WithoutContentsItIsEio) {
  MakeMetacopy("upper/a", 5);
  MakeMetacopy("upper/b", 5);
  MakeDirs(*this / "lower/b");
  MakeMetacopy("upper/c", 5);
  PutWhiteout("lower/c");
  Put("bottom/c", "older");
  Put("lower/fine", "fine");
  Start();
  for (const char* name : {"a", "b", "c"}) EXPECT_EQ(LookupError(name), EIO) << name;
  EXPECT_EQ(Contents("fine"), "fine");
  EXPECT_EQ(List("").size(), 4u);
}

// What a truncation leaves that was killed before it had fetched what stays.
TEST_F(MetacopyTest, ShorterThanItsContents) {
  MakeMetacopy("upper/a", 4);
  Put("lower/a", "data and more");
  Start();
  EXPECT_EQ(Contents("a"), "data");
  EXPECT_EQ(*fs_->LSeek(Node("a"), 0, SEEK_HOLE), 4);
  EXPECT_EQ(fs_->LSeek(Node("a"), 4, SEEK_DATA).error(), ENXIO);
  const ErrnoOr<FileRange> range = fs_->RangeToRead(Node("a"), 100000, 1);
  ASSERT_TRUE(range.ok());
  EXPECT_EQ(range->size, Contents("a").size() - 1);
  EXPECT_EQ(SetSize("a", 6)->st_size, 6);
  EXPECT_EQ(Contents("a"), std::string("data\0\0", 6));
}

TEST_F(MetacopyTest, EmptyFilesAndOtherKindsHaveNothingToLeaveBelow) {
  Put("lower/a", "");
  Start();
  Chmod("a", 0600);
  EXPECT_FALSE(IsMetacopy("upper/a"));
}

TEST_F(MetacopyTest, OffMeansWholeCopies) {
  options_.metacopy = false;
  Put("lower/a", "data");
  Start();
  Chmod("a", 0600);
  EXPECT_FALSE(IsMetacopy("upper/a"));
  EXPECT_EQ(ReadFile(*this / "upper/a"), "data");
}

TEST_F(MetacopyTest, AFailedFetchLeavesIt) {
  Put("lower/a", "data");
  Start();
  Chmod("a", 0644);
  upper_branch_->failing = "removexattr";
  upper_branch_->error = EIO;
  EXPECT_EQ(fs_->Write(Node("a"), "DATA", 4, 0).error(), EIO);
  upper_branch_->failing.clear();
  EXPECT_EQ(Contents("a"), "data");
  Restart();
  EXPECT_EQ(Contents("a"), "data");
}

}  // namespace
}  // namespace acetate::fusefs
