// Files that go on in another branch when their own is full, in a mounted union: two small tmpfs are its writable
// branches. What was written must be there throughout, in files that are open and after another mount.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/temp_dir.h"
#include "common/unique_fd.h"
#include "tests/differential/mounted_stack.h"

namespace acetate::differential {
namespace {

constexpr size_t kMiB = 1 << 20;
constexpr size_t kSmall = 4 * kMiB;  // the branch that gets full
constexpr size_t kLarge = 32 * kMiB;
constexpr size_t kSize = 6 * kMiB;  // of a file that the small one has no room for
constexpr size_t kChunk = 100000;   // no whole number of pages

// No two pieces of it are alike.
std::string Pattern(size_t size, unsigned seed = 1) {
  std::string text(size, '\0');
  uint32_t state = seed;
  for (char& c : text) {
    state = state * 1664525 + 1013904223;
    c = static_cast<char>(state >> 24);
  }
  return text;
}

std::string ReadAll(int fd) {
  struct stat st;
  if (fstat(fd, &st) != 0) return strerror(errno);
  std::string text(static_cast<size_t>(st.st_size), '\0');
  for (size_t done = 0; done < text.size();) {
    const ssize_t got = pread(fd, &text[done], text.size() - done, static_cast<off_t>(done));
    if (got <= 0) return absl::StrCat("cannot be read at ", done, ": ", strerror(errno));
    done += static_cast<size_t>(got);
  }
  return text;
}

// 0 or the errno of the write that failed.
int WriteAt(int fd, const std::string& text, size_t offset) {
  for (size_t done = 0; done < text.size();) {
    const ssize_t put = pwrite(fd, &text[done], text.size() - done, static_cast<off_t>(offset + done));
    if (put <= 0) return errno;
    done += static_cast<size_t>(put);
  }
  return 0;
}

template <typename Condition>
bool WithinAMinute(Condition condition) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes(1);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    usleep(5000);
  }
  return true;
}

// The parameter: more mount options.
class MovesTest : public testing::TestWithParam<const char*> {
 protected:
  MovesTest() : stack_(base_.path(), {"rw", "rw", "ro+wh"}) {}
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "mounting a small tmpfs needs root";
  }
  void TearDown() override {
    if (mounted_) {
      EXPECT_EQ(stack_.Unmount(), 0) << stack_.Log();
    }
    for (size_t n : {0, 1}) umount2(Filesystem(n).c_str(), MNT_DETACH);
  }

  std::string Filesystem(size_t n) const { return base_ / std::to_string(n); }
  // Branch N on a filesystem of its own.
  void Limit(size_t n, size_t size) {
    ASSERT_EQ(mount("tmpfs", Filesystem(n).c_str(), "tmpfs", 0, absl::StrCat("size=", size).c_str()), 0);
    MakeDirs(stack_.Branch(n));
  }
  void Mount() {
    std::vector<std::string> options = {"create=ff", "lazy_copy_up_min=1048576", copy_up_};
    if (*GetParam() != '\0') options.push_back(GetParam());
    stack_.Mount(options);
    mounted_ = true;
  }
  void MountAgain() {
    EXPECT_EQ(stack_.Unmount(), 0) << stack_.Log();
    Mount();
  }
  UniqueFd Open(const std::string& path, int flags) {
    UniqueFd fd(open(stack_.Path(path).c_str(), flags | O_CLOEXEC, 0640));
    EXPECT_TRUE(fd.valid()) << path << ": " << strerror(errno);
    return fd;
  }
  bool Holds(size_t n, const std::string& path) const {
    struct stat st;
    return lstat((stack_.Branch(n) + "/" + path).c_str(), &st) == 0;
  }
  size_t Free(size_t n) const {
    struct statvfs st;
    return statvfs(Filesystem(n).c_str(), &st) == 0 ? st.f_bavail * st.f_frsize : 0;
  }
  // Long texts are not for a failure's message.
  static void ExpectSame(const std::string& got, const std::string& want, const std::string& what) {
    const size_t common = std::min(got.size(), want.size());
    const auto at = std::mismatch(got.begin(), got.begin() + static_cast<ptrdiff_t>(common), want.begin()).first;
    EXPECT_TRUE(got == want) << what << ": " << got.size() << " bytes, should be " << want.size()
                             << "; differs first at " << at - got.begin();
  }
  void ExpectContents(const std::string& path, const std::string& want) {
    const UniqueFd fd = Open(path, O_RDONLY);
    ExpectSame(ReadAll(fd.get()), want, path);
  }
  // Writes to the end of the text, in chunks.
  static void WriteOut(int fd, const std::string& text) {
    for (size_t at = 0; at < text.size(); at += kChunk) {
      ASSERT_EQ(WriteAt(fd, text.substr(at, kChunk), at), 0) << "at " << at;
    }
    ASSERT_EQ(fsync(fd), 0) << strerror(errno);
  }

  // A lower file, larger than the branch `full` has room for, that is written while it is copied there.
  void WriteWhileCopied(size_t full) {
    copy_up_ = full == 0 ? "cpup=tdp" : "cpup=bu";
    std::string text = Pattern(kSize);
    WriteFile(stack_.Branch(2) + "/file", text);
    Mount();
    UniqueFd file = Open("file", O_RDWR);
    // Here and there, at first where there still is room; the copy goes on in the background.
    for (size_t i = 0; i < 60; ++i) {
      const size_t at = i * 7919 * 13 % (kSize - 5000);
      const std::string piece = Pattern(5000, static_cast<unsigned>(i) + 2);
      ASSERT_EQ(WriteAt(file.get(), piece, at), 0) << "write " << i;
      text.replace(at, piece.size(), piece);
      if (i % 20 == 0) ExpectSame(ReadAll(file.get()), text, absl::StrCat("after write ", i));
    }
    const std::string end = Pattern(kMiB, 100);
    ASSERT_EQ(WriteAt(file.get(), end, text.size()), 0);
    text += end;
    ASSERT_EQ(fsync(file.get()), 0) << strerror(errno);
    ExpectSame(ReadAll(file.get()), text, "by the writer");
    file.Reset();
    EXPECT_FALSE(Holds(full, "file"));
    EXPECT_TRUE(Holds(1 - full, "file"));
    MountAgain();
    ExpectContents("file", text);
    MountAgain();
    ExpectContents("file", text);
    // The lower layer is as it was.
    EXPECT_EQ(ReadFile(stack_.Branch(2) + "/file"), Pattern(kSize));
  }

  const TempDir base_;
  MountedStack stack_;
  std::string copy_up_ = "cpup=tdp";
  bool mounted_ = false;
};

TEST_P(MovesTest, AnOpenFileGoesOnInTheOtherBranch) {
  Limit(0, kSmall);
  Limit(1, kLarge);
  Mount();
  const std::string text = Pattern(kSize), other = Pattern(kMiB, 2);
  const UniqueFd stays = Open("stays", O_RDWR | O_CREAT);
  WriteOut(stays.get(), other);
  const UniqueFd file = Open("file", O_RDWR | O_CREAT), reader = Open("file", O_RDONLY);
  ASSERT_TRUE(Holds(0, "file"));
  WriteOut(file.get(), text);
  EXPECT_FALSE(Holds(0, "file"));
  EXPECT_TRUE(Holds(1, "file"));
  EXPECT_TRUE(Holds(0, "stays"));
  ExpectSame(ReadAll(file.get()), text, "by the writer");
  ExpectSame(ReadAll(reader.get()), text, "by a reader");
  ExpectSame(ReadAll(stays.get()), other, "of the file that stays");
  struct stat before, after;
  ASSERT_EQ(fstat(file.get(), &before), 0);
  ASSERT_EQ(stat(stack_.Path("file").c_str(), &after), 0);
  EXPECT_EQ(before.st_ino, after.st_ino);
  EXPECT_EQ(after.st_mode & 07777, 0640u);
  EXPECT_EQ(after.st_nlink, 1u);
}

TEST_P(MovesTest, WhatMovedIsThereAfterAnotherMount) {
  Limit(0, kSmall);
  Limit(1, kLarge);
  MakeDirs(stack_.Branch(0) + "/dir");
  Mount();
  const std::string text = Pattern(kSize);
  WriteOut(Open("dir/file", O_RDWR | O_CREAT).get(), text);
  ExpectContents("dir/file", text);
  const TreeTexts tree = TreeOf(stack_.Path(""));
  MountAgain();
  EXPECT_EQ(FirstDifference(TreeOf(stack_.Path("")), tree), "");
  ExpectContents("dir/file", text);
  // And from there it can be removed for good.
  ASSERT_EQ(unlink(stack_.Path("dir/file").c_str()), 0);
  MountAgain();
  EXPECT_EQ(access(stack_.Path("dir/file").c_str(), F_OK), -1);
}

TEST_P(MovesTest, AFileOfTheLowerBranchGoesUp) {
  Limit(0, kLarge);
  Limit(1, kSmall);
  WriteFile(stack_.Branch(1) + "/file", "old");
  Mount();
  const std::string text = Pattern(kSize);
  UniqueFd file = Open("file", O_RDWR);
  WriteOut(file.get(), text);
  EXPECT_TRUE(Holds(0, "file"));
  EXPECT_FALSE(Holds(1, "file"));
  ExpectSame(ReadAll(file.get()), text, "by the writer");
  file.Reset();
  MountAgain();
  ExpectContents("file", text);
}

TEST_P(MovesTest, ARemovedOpenFileGoesOn) {
  Limit(0, kSmall);
  Limit(1, kLarge);
  Mount();
  const size_t free_before = Free(1);
  const std::string text = Pattern(kSize);
  UniqueFd file = Open("file", O_RDWR | O_CREAT);
  ASSERT_EQ(WriteAt(file.get(), text.substr(0, kChunk), 0), 0);
  ASSERT_EQ(unlink(stack_.Path("file").c_str()), 0);
  WriteOut(file.get(), text);
  ExpectSame(ReadAll(file.get()), text, "by the writer");
  struct stat st;
  ASSERT_EQ(fstat(file.get(), &st), 0);
  EXPECT_EQ(st.st_nlink, 0u);
  EXPECT_EQ(TreeOf(stack_.Path("")), TreeTexts());
  // Closed it gives its room back, but for what the work directory takes.
  file.Reset();
  EXPECT_TRUE(WithinAMinute([&] { return Free(0) > kSmall - kMiB && Free(1) + kMiB > free_before; }))
      << Free(0) << " and " << Free(1) << " bytes are free";
}

TEST_P(MovesTest, AFileThatIsBeingCopiedGoesOnAbove) {
  Limit(0, kLarge);
  Limit(1, kSmall);
  WriteWhileCopied(1);
}

TEST_P(MovesTest, AFileThatIsBeingCopiedGoesOnBelow) {
  Limit(0, kSmall);
  Limit(1, kLarge);
  WriteWhileCopied(0);
}

TEST_P(MovesTest, WhatIsWrittenByAMappingGoesOn) {
  Limit(0, kSmall);
  Limit(1, kLarge);
  Mount();
  const std::string text = Pattern(kSize);
  UniqueFd file = Open("file", O_RDWR | O_CREAT);
  ASSERT_EQ(ftruncate(file.get(), kSize), 0);
  void* map = mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0);
  ASSERT_NE(map, MAP_FAILED);
  memcpy(map, text.data(), text.size());
  EXPECT_EQ(msync(map, kSize, MS_SYNC), 0) << strerror(errno);
  munmap(map, kSize);
  ExpectSame(ReadAll(file.get()), text, "by the writer");
  file.Reset();
  MountAgain();
  ExpectContents("file", text);
}

// With two names it cannot move; and with both branches full there is no place to go on. What was there stays.
TEST_P(MovesTest, WhereItCannotMoveTheWriteFails) {
  if (*GetParam() != '\0') GTEST_SKIP() << "the kernel collects writes before it knows";
  Limit(0, kSmall);
  Limit(1, kLarge);
  Mount();
  const std::string text = Pattern(kSmall / 2);
  const UniqueFd file = Open("file", O_RDWR | O_CREAT);
  WriteOut(file.get(), text);
  ASSERT_EQ(link(stack_.Path("file").c_str(), stack_.Path("other").c_str()), 0);
  EXPECT_EQ(WriteAt(file.get(), Pattern(kSmall), kSmall), ENOSPC);
  ExpectSame(ReadAll(file.get()).substr(0, text.size()), text, "by the writer");
  ASSERT_EQ(unlink(stack_.Path("other").c_str()), 0);
  EXPECT_EQ(WriteAt(file.get(), Pattern(kLarge), kSmall), ENOSPC);
  ExpectSame(ReadAll(file.get()).substr(0, text.size()), text, "by the writer, both full");
}

INSTANTIATE_TEST_SUITE_P(With, MovesTest, testing::Values("", "writeback"),
                         [](const auto& info) { return std::string(*info.param == '\0' ? "Defaults" : "Writeback"); });

}  // namespace
}  // namespace acetate::differential
