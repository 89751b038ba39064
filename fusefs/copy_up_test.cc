#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <thread>

#include "fusefs/union_fs_fixture.h"

namespace acetate::fusefs {
namespace {

using Strings = std::vector<std::string>;

using CopyUpTest = UnionFsTest;

TEST_F(CopyUpTest, CarriesOverAllThatAFileHas) {
  WriteFile(*this / "lower/a", "data", 0640);
  ASSERT_EQ(setxattr((*this / "lower/a").c_str(), "user.color", "red", 3, 0), 0);
  const struct timespec times[2] = {{1000, 1}, {2000, 2}};
  ASSERT_EQ(utimensat(AT_FDCWD, (*this / "lower/a").c_str(), times, 0), 0);
  Start();
  uint64_t ino = Attr("a").st_ino;
  EXPECT_TRUE(SetMode("a", 0600).ok());
  EXPECT_EQ(Upper(), Strings{"a"});
  struct stat st = Attr("a");
  EXPECT_EQ(st.st_mode & 07777, 0600u);
  EXPECT_EQ(st.st_mtim.tv_sec, 2000);
  EXPECT_EQ(st.st_mtim.tv_nsec, 2);
  EXPECT_EQ(st.st_ino, ino);
  EXPECT_EQ(*fs_->GetXattr(Node("a"), "user.color", 16), "red");
  EXPECT_EQ(Contents("a"), "data");
  Restart();
  EXPECT_EQ(Attr("a").st_ino, ino);
  EXPECT_EQ(Contents("a"), "data");
}

TEST_F(CopyUpTest, EveryBitOfTheModeIsKept) {
  Put("lower/a", "data");
  ASSERT_EQ(chmod((*this / "lower/a").c_str(), 07153), 0);
  MakeDirs(*this / "lower/d");
  ASSERT_EQ(chmod((*this / "lower/d").c_str(), 03725), 0);
  Start();
  for (const char* name : {"a", "d"}) EXPECT_TRUE(fs_->SetXattr(Node(name), "user.color", "red", 0).ok());
  EXPECT_EQ(Attr("a").st_mode & 07777, 07153u);
  EXPECT_EQ(Attr("d").st_mode & 07777, 03725u);
}

TEST_F(CopyUpTest, ReadingCopiesNothing) {
  WriteFile(*this / "lower/a", "data");
  Start();
  EXPECT_EQ(Contents("a"), "data");
  EXPECT_EQ(fs_->RemoveXattr(Node("a"), "user.none"), ENODATA);
  EXPECT_EQ(fs_->SetXattr(Node("a"), "user.none", "v", XATTR_REPLACE), ENODATA);
  EXPECT_TRUE(fs_->FSync(Node("a"), false).ok());
  EXPECT_EQ(Upper(), Strings{});
}

TEST_F(CopyUpTest, TruncationCopiesOnlyWhatStays) {
  WriteFile(*this / "lower/a", std::string(100000, 'x'));
  Start();
  EXPECT_EQ(SetSize("a", 10)->st_size, 10);
  EXPECT_EQ(Contents("a"), std::string(10, 'x'));
  EXPECT_EQ(stats_.gauge(Gauge::kBytesCopiedUp), 10);
}

TEST_F(CopyUpTest, SymlinkItselfIsCopied) {
  ASSERT_EQ(symlink("nowhere", (*this / "lower/l").c_str()), 0);
  Start();
  AttrChange change;
  change.set_times = true;
  change.times[0] = {5, 0};
  change.times[1] = {6, 0};
  EXPECT_TRUE(fs_->SetAttr(Node("l"), change).ok());
  EXPECT_EQ(Upper(), Strings{"l -> nowhere"});
  EXPECT_EQ(Attr("l").st_mtim.tv_sec, 6);
}

TEST_F(CopyUpTest, CallsOnASymlinkLeaveItsTargetAlone) {
  Put("outside", "");
  ASSERT_EQ(symlink((*this / "outside").c_str(), (*this / "lower/l").c_str()), 0);
  Start();
  EXPECT_EQ(fs_->SetXattr(Node("l"), "user.color", "red", 0), EPERM);
  EXPECT_LT(getxattr((*this / "outside").c_str(), "user.color", nullptr, 0), 0);
  AttrChange change;
  change.set_times = true;
  change.times[0] = change.times[1] = {6, 0};
  EXPECT_TRUE(fs_->SetAttr(Node("l"), change).ok());
  struct stat st;
  ASSERT_EQ(stat((*this / "outside").c_str(), &st), 0);
  EXPECT_NE(st.st_mtim.tv_sec, 6);
  EXPECT_EQ(Attr("l").st_mtim.tv_sec, 6);
}

TEST_F(CopyUpTest, OwnXattrsAreInvisibleAndEscaped) {
  MakeDirs(*this / "lower/d");
  ASSERT_EQ(setxattr((*this / "lower/d").c_str(), "user.overlay.opaque", "y", 1, 0), 0);
  Start();
  EXPECT_EQ(*fs_->ListXattr(Node("d"), Caller{}), "");
  EXPECT_EQ(fs_->GetXattr(Node("d"), "user.overlay.opaque", 8).error(), ENODATA);
  EXPECT_TRUE(fs_->SetXattr(Node("d"), "user.overlay.opaque", "mine", 0).ok());
  EXPECT_EQ(*fs_->GetXattr(Node("d"), "user.overlay.opaque", 8), "mine");
  EXPECT_EQ(*fs_->ListXattr(Node("d"), Caller{}), std::string("user.overlay.opaque\0", 20));
  char value[8];
  EXPECT_EQ(getxattr((*this / "upper/d").c_str(), "user.overlay.overlay.opaque", value, sizeof(value)), 4);
  EXPECT_LT(getxattr((*this / "upper/d").c_str(), "user.overlay.opaque", value, sizeof(value)), 0);
}

TEST_F(CopyUpTest, FailureLeavesTheLowerFileShown) {
  WriteFile(*this / "lower/a", "data", 0644);
  Start();
  for (const char* call : {"rename", "utimens"}) {
    upper_branch_->failing = call;
    upper_branch_->error = ENOSPC;
    EXPECT_EQ(SetMode("a", 0600).error(), ENOSPC) << call;
    EXPECT_EQ(fs_->Write(Node("a"), "X", 1, 0).error(), ENOSPC) << call;
    EXPECT_EQ(Contents("a"), "data");
    EXPECT_EQ(Upper(), Strings{});
    EXPECT_TRUE(WorkIsClean()) << call;
  }
  upper_branch_->failing.clear();
  WriteTo("a", "DATA");
  EXPECT_EQ(Contents("a"), "DATA");
}

TEST_F(CopyUpTest, DirectoriesAboveOneAtATime) {
  MakeDirs(*this / "lower/1/2/3");
  WriteFile(*this / "bottom/file", "");
  WriteFile(*this / "lower/1/2/3/a", "data");
  Start();
  WriteTo("1/2/3/a", "DATA");
  EXPECT_EQ(Upper(), (Strings{"1/", "1/2/", "1/2/3/", "1/2/3/a"}));
}

TEST_F(CopyUpTest, ReadOnlyUnionRefuses) {
  WriteFile(*this / "lower/a", "data");
  Start(/*writable=*/false);
  EXPECT_EQ(SetMode("a", 0600).error(), EROFS);
  EXPECT_EQ(fs_->Write(Node("a"), "X", 1, 0).error(), EROFS);
}

TEST_F(CopyUpTest, WorkLeftByACrashIsRemovedAtTheNextStart) {
  MakeDirs(*this / "work/work/#1/deep/er");
  WriteFile(*this / "work/work/#1/deep/er/file", "half");
  WriteFile(*this / "work/work/#2", "half");
  Start();
  EXPECT_TRUE(WorkIsClean());
}

TEST_F(CopyUpTest, WritersOfOneFileAtOnceCopyItOnce) {
  WriteFile(*this / "lower/a", std::string(8 << 20, 'x'));
  Start();
  NodeId node = Node("a");
  std::thread threads[4];
  for (int i = 0; i < 4; ++i) {
    threads[i] = std::thread([this, node, i] {
      std::string mark(1, static_cast<char>('0' + i));
      EXPECT_EQ(fs_->Write(node, mark.data(), 1, i)->size, 1u);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(Contents("a").substr(0, 5), "0123x");
  EXPECT_EQ(stats_.gauge(Gauge::kCopyUps), 1);
  EXPECT_TRUE(WorkIsClean());
}

TEST_F(CopyUpTest, FileRemovedWhileItIsCopiedKeepsItsWriter) {
  WriteFile(*this / "lower/a", std::string(32 << 20, 'x'));
  Start();
  NodeId node = Node("a");
  std::thread writer([&] { EXPECT_EQ(fs_->Write(node, "Y", 1, 0)->size, 1u); });
  EXPECT_TRUE(fs_->Unlink(kRootId, "a").ok());
  writer.join();
  char byte = 0;
  ASSERT_TRUE(fs_->Read(node, &byte, 1, 0).ok());
  EXPECT_EQ(byte, 'Y');
  EXPECT_EQ(fs_->GetAttr(node)->st_nlink, 0u);
  EXPECT_EQ(Upper(), Strings{"a (whiteout)"});
  EXPECT_TRUE(WorkIsClean());
}

}  // namespace
}  // namespace acetate::fusefs
