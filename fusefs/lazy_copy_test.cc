// Large files, written while they are copied.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <thread>

#include "absl/strings/str_cat.h"
#include "fusefs/union_fs_fixture.h"

namespace acetate::fusefs {
namespace {

constexpr size_t kSize = 700000;

class LazyCopyTest : public UnionFsTest {
 protected:
  LazyCopyTest() { options_.lazy_copy_up_min = 100000; }

  bool Has(const std::string& path, const std::string& key) {
    return lgetxattr((*this / path).c_str(), ("user.overlay." + key).c_str(), nullptr, 0) >= 0;
  }
  // What a daemon leaves that was killed in the middle: two pieces of its own, the rest below.
  void PutPartial(const std::string& path, const std::string& own, size_t at, size_t size, size_t floor) {
    Put(path, "");
    ASSERT_EQ(truncate((*this / path).c_str(), static_cast<off_t>(size)), 0);
    UniqueFd fd(open((*this / path).c_str(), O_WRONLY));
    ASSERT_EQ(pwrite(fd.get(), own.data(), own.size(), static_cast<off_t>(at)), static_cast<ssize_t>(own.size()));
    ASSERT_EQ(setxattr((*this / path).c_str(), "user.overlay.metacopy", "", 0, 0), 0);
    const std::string value = absl::StrCat(floor);
    ASSERT_EQ(setxattr((*this / path).c_str(), "user.overlay.partial", value.data(), value.size(), 0), 0);
  }
  void WriteAt(const std::string& path, const std::string& data, off_t offset) {
    ErrnoOr<Written> written = fs_->Write(Node(path), data.data(), data.size(), offset);
    ASSERT_TRUE(written.ok()) << written.error().value();
  }
  off_t Truncate(const std::string& path, off_t size) {
    ErrnoOr<struct stat> st = SetSize(path, size);
    return st.ok() ? st->st_size : -st.error().value();
  }
};

TEST_F(LazyCopyTest, IsWholeWhenTheUnionEnds) {
  std::string expected(kSize, 'x');
  Put("lower/a", expected, 0640);
  Start();
  WriteAt("a", "HERE", 300000);
  expected.replace(300000, 4, "HERE");
  EXPECT_TRUE(Contents("a") == expected);
  EXPECT_EQ(Attr("a").st_size, static_cast<off_t>(kSize));
  fs_.reset();
  EXPECT_TRUE(ReadFile(*this / "upper/a") == expected);
  EXPECT_FALSE(Has("upper/a", "metacopy") || Has("upper/a", "partial"));
  EXPECT_EQ(ReadFile(*this / "lower/a"), std::string(kSize, 'x'));
  Start();
  EXPECT_TRUE(Contents("a") == expected);
  EXPECT_EQ(Attr("a").st_mode & 07777, 0640u);
}

TEST_F(LazyCopyTest, TheCopyingIsNotOfTheRankOfWhoBeganIt) {
  Put("lower/a", std::string(kSize, 'x'));
  Start();
  std::thread writer([&] {
    const sched_param none = {};
    ASSERT_EQ(sched_setscheduler(0, SCHED_IDLE, &none), 0);
    WriteAt("a", "HERE", 0);
    size_t idle = 0;
    for (const auto& thread : std::filesystem::directory_iterator("/proc/self/task")) {
      idle += sched_getscheduler(std::stoi(thread.path().filename())) == SCHED_IDLE;
    }
    EXPECT_EQ(idle, 1u);
  });
  writer.join();
}

// Two fds each, which nobody can be asked to give up, beside those of what was removed in use.
TEST_F(LazyCopyTest, ManyAtOnceLeaveFdsForOthers) {
  struct rlimit old, few = {48, 48};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &old), 0);
  few.rlim_max = old.rlim_max;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
  constexpr int kFiles = 24;
  for (int i = 0; i < kFiles; ++i) {
    Put(absl::StrCat("lower/large", i), std::string(kSize, 'x'));
    Put(absl::StrCat("upper/removed", i), "data");
  }
  Start();
  for (int i = 0; i < kFiles; ++i) {
    const std::string name = absl::StrCat("removed", i);
    Node(name);
    ASSERT_TRUE(fs_->Unlink(kRootId, name).ok());
  }
  for (int i = 0; i < kFiles; ++i) WriteAt(absl::StrCat("large", i), "HERE", i);
  fs_.reset();
  for (int i = 0; i < kFiles; ++i) {
    std::string expected(kSize, 'x');
    expected.replace(i, 4, "HERE");
    EXPECT_TRUE(ReadFile(*this / absl::StrCat("upper/large", i)) == expected) << i;
  }
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &old), 0);
}

TEST_F(LazyCopyTest, GoesOnAfterAKill) {
  std::string expected(kSize, 'x');
  Put("lower/a", expected);
  PutPartial("upper/a", std::string(65536, 'Y'), 131072, kSize, kSize);
  expected.replace(131072, 65536, std::string(65536, 'Y'));
  Start();
  EXPECT_TRUE(Contents("a") == expected);
  WriteAt("a", "Z", 5);
  expected[5] = 'Z';
  EXPECT_TRUE(Contents("a") == expected);
  fs_.reset();
  EXPECT_TRUE(ReadFile(*this / "upper/a") == expected);
  EXPECT_FALSE(Has("upper/a", "partial"));
}

TEST_F(LazyCopyTest, WhatWasCutOffStaysCutOff) {
  Put("lower/a", std::string(kSize, 'x'));
  PutPartial("upper/a", "Y", 0, kSize, 400000);
  Start();
  std::string expected = "Y" + std::string(4095, '\0');
  const std::string contents = Contents("a");
  EXPECT_EQ(contents[0], 'Y');
  EXPECT_EQ(contents.substr(399999, 2), std::string("x\0", 2));
  EXPECT_EQ(contents.size(), kSize);
  EXPECT_EQ(Truncate("a", 200000), 200000);
  EXPECT_EQ(Truncate("a", kSize), static_cast<off_t>(kSize));
  EXPECT_EQ(Contents("a").substr(199999, 2), std::string("x\0", 2));
  fs_.reset();
  EXPECT_EQ(ReadFile(*this / "upper/a").substr(199999, 2), std::string("x\0", 2));
}

TEST_F(LazyCopyTest, TruncatingALargeFileCopiesLittle) {
  Put("lower/a", std::string(kSize, 'x'));
  Start();
  EXPECT_EQ(Truncate("a", 600000), 600000);
  EXPECT_EQ(Truncate("a", 650000), 650000);
  EXPECT_EQ(Contents("a"), std::string(600000, 'x') + std::string(50000, '\0'));
  EXPECT_EQ(Truncate("a", 0), 0);
  EXPECT_EQ(Contents("a"), "");
}

TEST_F(LazyCopyTest, OperationsThatNeedAllOfItGetIt) {
  Put("lower/a", std::string(kSize, 'x'));
  Start();
  WriteAt("a", "Y", 0);
  ASSERT_TRUE(fs_->Fallocate(Node("a"), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 100000, 100000).ok());
  std::string expected(kSize, 'x');
  expected[0] = 'Y';
  expected.replace(100000, 100000, std::string(100000, '\0'));
  EXPECT_TRUE(Contents("a") == expected);
  EXPECT_FALSE(Has("upper/a", "partial"));
  EXPECT_TRUE(fs_->FSync(Node("a"), false).ok());
  EXPECT_EQ(*fs_->LSeek(Node("a"), 0, SEEK_DATA), 0);
}

TEST_F(LazyCopyTest, MovedAndRemovedWhileItIsCopied) {
  Put("lower/a", std::string(kSize, 'x'));
  Put("lower/b", std::string(kSize, 'b'));
  Start();
  WriteAt("a", "Y", 0);
  ASSERT_TRUE(fs_->Rename(kRootId, "a", kRootId, "c", 0).ok());
  WriteAt("b", "Z", 0);
  const NodeId open = Node("b");
  ASSERT_TRUE(fs_->Unlink(kRootId, "b").ok());
  char byte;
  EXPECT_EQ(*fs_->Read(open, &byte, 1, kSize - 1), 1u);
  EXPECT_EQ(byte, 'b');
  EXPECT_EQ(*fs_->Read(open, &byte, 1, 0), 1u);
  EXPECT_EQ(byte, 'Z');
  Restart();
  EXPECT_EQ(Contents("c"), "Y" + std::string(kSize - 1, 'x'));
  EXPECT_FALSE(Has("upper/c", "partial"));
}

TEST_F(LazyCopyTest, InAReadOnlyLayerItIsEio) {
  Put("bottom/a", std::string(kSize, 'x'));
  PutPartial("lower/a", "Y", 0, kSize, kSize);
  Start();
  EXPECT_EQ(LookupError("a"), EIO);
}

TEST_F(LazyCopyTest, AMarkThatMakesNoSenseIsEio) {
  Put("lower/a", std::string(kSize, 'x'));
  PutPartial("upper/a", "Y", 0, kSize, kSize);
  ASSERT_EQ(setxattr((*this / "upper/a").c_str(), "user.overlay.partial", "all", 3, 0), 0);
  Start();
  EXPECT_EQ(LookupError("a"), EIO);
}

TEST_F(LazyCopyTest, SmallFilesAreCopiedAtOnce) {
  Put("lower/a", std::string(90000, 'x'));
  Start();
  WriteAt("a", "Y", 0);
  EXPECT_FALSE(Has("upper/a", "metacopy"));
}

}  // namespace
}  // namespace acetate::fusefs
