// A lower object becomes an upper one at its first change: nobody notices, and nothing is seen half done.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <random>
#include <thread>

#include "tests/conformance/scene.h"

namespace acetate::conformance {
namespace {

class CopyUpScene : public SceneTest {};

TEST_F(CopyUpScene, AnFdOpenedForReadingBeforeSeesWhatAWriterWrites) {
  WriteFile(Lower("a"), "before");
  Mount();
  UniqueFd reader = Open(Union("a"), O_RDONLY);
  EXPECT_EQ(ReadAll(reader), "before");
  UniqueFd writer = Open(Union("a"), O_WRONLY);
  ASSERT_EQ(pwrite(writer.get(), "after!", 6, 0), 6);
  EXPECT_EQ(ReadAll(reader), "after!");
  ASSERT_EQ(fsync(writer.get()), 0);
  EXPECT_EQ(ReadFile(Upper("a")), "after!");
  EXPECT_EQ(ReadFile(Lower("a")), "before");
}

TEST_F(CopyUpScene, AMappingMadeBeforeSeesWhatAWriterWrites) {
  WriteFile(Lower("a"), std::string(8192, 'b'));
  Mount();
  UniqueFd reader = Open(Union("a"), O_RDONLY);
  void* memory = mmap(nullptr, 8192, PROT_READ, MAP_SHARED, reader.get(), 0);
  ASSERT_NE(memory, MAP_FAILED);
  const volatile char* bytes = static_cast<const char*>(memory);
  EXPECT_EQ(bytes[5000], 'b');
  UniqueFd writer = Open(Union("a"), O_WRONLY);
  ASSERT_EQ(pwrite(writer.get(), "A", 1, 5000), 1);
  EXPECT_EQ(bytes[5000], 'A');
  munmap(memory, 8192);
}

TEST_F(CopyUpScene, WhatIsStoredThroughAMappingReachesTheUpper) {
  WriteFile(Lower("a"), std::string(8192, 'b'));
  Mount();
  UniqueFd fd = Open(Union("a"), O_RDWR);
  void* memory = mmap(nullptr, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
  ASSERT_NE(memory, MAP_FAILED);
  static_cast<char*>(memory)[100] = 'M';
  munmap(memory, 8192);
  ASSERT_EQ(fsync(fd.get()), 0);
  EXPECT_EQ(ReadFile(Upper("a"))[100], 'M');
  EXPECT_EQ(ReadFile(Lower("a")), std::string(8192, 'b'));
}

TEST_F(CopyUpScene, EverythingAboutTheFileIsKept) {
  WriteFile(Lower("a"), "text", 0640);
  ASSERT_EQ(setxattr(Lower("a").c_str(), "user.color", "red", 3, 0), 0);
  if (IsMachineRoot()) {
    ASSERT_EQ(chown(Lower("a").c_str(), 1234, 5678), 0);
    ASSERT_EQ(chmod(Lower("a").c_str(), 06755), 0);
  }
  const timespec times[2] = {{1000000001, 123456789}, {1000000002, 987654321}};
  ASSERT_EQ(utimensat(AT_FDCWD, Lower("a").c_str(), times, 0), 0);
  const struct stat before = StatOf(Lower("a"));
  Mount();
  ASSERT_EQ(setxattr(Union("a").c_str(), "user.new", "n", 1, 0), 0);
  const struct stat after = StatOf(Upper("a"));
  EXPECT_EQ(ReadFile(Union("a")), "text");
  EXPECT_EQ(after.st_mode, before.st_mode);
  EXPECT_EQ(after.st_uid, before.st_uid);
  EXPECT_EQ(after.st_gid, before.st_gid);
  EXPECT_EQ(after.st_mtim.tv_sec, 1000000002);
  EXPECT_EQ(after.st_mtim.tv_nsec, 987654321);
  char value[8];
  EXPECT_EQ(getxattr(Upper("a").c_str(), "user.color", value, sizeof(value)), 3);
}

TEST_F(CopyUpScene, ParentsComeAlongAndKeepTheirTimes) {
  MakeDirs(Lower("p/q"));
  WriteFile(Lower("p/q/a"), "text");
  ASSERT_EQ(chmod(Lower("p").c_str(), 0750), 0);
  SetMtime(Lower("p/q"), 1000000000);
  SetMtime(Lower("p"), 1000000001);
  Mount();
  Append(Union("p/q/a"), "more");
  EXPECT_EQ(StatOf(Upper("p")).st_mode & 07777, 0750u);
  EXPECT_EQ(StatOf(Union("p")).st_mtime, 1000000001);
  EXPECT_EQ(StatOf(Union("p/q")).st_mtime, 1000000000) << "a file that was copied up is no new entry";
}

TEST_F(CopyUpScene, AHoleStaysAHole) {
  UniqueFd fd = Open(Lower("sparse"), O_WRONLY | O_CREAT);
  ASSERT_EQ(pwrite(fd.get(), "end", 3, 64 << 20), 3);
  Mount();
  Append(Union("sparse"), "!");
  EXPECT_LT(StatOf(Upper("sparse")).st_blocks * 512, 8 << 20);
  EXPECT_EQ(StatOf(Union("sparse")).st_size, (64 << 20) + 4);
}

TEST_F(CopyUpScene, TruncatingOpenNeedsNothingOfTheLower) {
  WriteFile(Lower("a"), std::string(100000, 'x'));
  Mount();
  Open(Union("a"), O_WRONLY | O_TRUNC);
  EXPECT_EQ(ReadFile(Upper("a")), "");
  EXPECT_EQ(ReadFile(Union("a")), "");
}

TEST_F(CopyUpScene, NothingIsLeftInTheWorkDirectory) {
  WriteFile(Lower("a"), "a");
  WriteFile(Lower("b"), "b");
  MakeDirs(Lower("d/e"));
  Mount();
  Append(Union("a"), "more");
  ASSERT_EQ(unlink(Union("b").c_str()), 0);
  ASSERT_EQ(mkdir(Union("b").c_str(), 0755), 0);
  ASSERT_EQ(rename(Union("a").c_str(), Union("d/e/a").c_str()), 0);
  Unmount();
  EXPECT_EQ(LeftInWork(), Strings{});
}

TEST_F(CopyUpScene, ChangingAttributesCopiesNoContents) {
  WriteFile(Lower("a"), std::string(1 << 20, 'a'), 0600);
  Mount();
  const struct stat before = StatOf(Union("a"));
  ASSERT_EQ(chmod(Union("a").c_str(), 0644), 0);
  ASSERT_EQ(rename(Union("a").c_str(), Union("b").c_str()), 0);
  ASSERT_EQ(link(Union("b").c_str(), Union("c").c_str()), 0);
  Remount();
  const struct stat after = StatOf(Union("b"));
  EXPECT_EQ(after.st_mode & 07777, 0644u);
  EXPECT_EQ(after.st_nlink, 2u);
  EXPECT_EQ(after.st_blocks, before.st_blocks);
  EXPECT_LT(StatOf(Upper("b")).st_blocks * 512, 65536);
  EXPECT_EQ(ReadFile(Union("c")), std::string(1 << 20, 'a'));
  Append(Union("c"), "more");
  EXPECT_EQ(ReadFile(Union("b")), std::string(1 << 20, 'a') + "more");
  EXPECT_EQ(ReadFile(Upper("b")), std::string(1 << 20, 'a') + "more");
}

// Wherever the daemon is killed, the upper holds the whole file or none.
TEST_F(CopyUpScene, AKillLeavesTheOldStateOrTheNew) {
  options_.mount_options.push_back("lazy_copy_up_min=off");
  const std::string text(12 << 20, 't');
  WriteFile(Lower("big"), text);
  std::mt19937 random(1);
  for (int i = 0; i < 12; ++i) {
    Mount();
    std::thread writer([&] {
      // What it writes is what is there: the two states differ only in where the file is.
      const UniqueFd fd(open(Union("big").c_str(), O_WRONLY | O_CLOEXEC));
      if (fd.valid()) [[maybe_unused]]
        const ssize_t wrote = pwrite(fd.get(), "t", 1, 0);
    });
    usleep(random() % 20000);
    mounted().KillDaemon();
    writer.join();
    if (Exists(Upper("big"))) {
      EXPECT_EQ(StatOf(Upper("big")).st_size, static_cast<off_t>(text.size()));
      EXPECT_TRUE(ReadFile(Upper("big")) == text);
      ASSERT_EQ(unlink(Upper("big").c_str()), 0);
    }
    Mount();
    EXPECT_TRUE(ReadFile(Union("big")) == text);
    Unmount();
    EXPECT_EQ(LeftInWork(), Strings{}) << "what a killed daemon left is cleaned at the next mount";
  }
}

// A large file is the same in the union whenever the daemon is killed, and once it was copied to the end.
TEST_F(CopyUpScene, AKillInTheMiddleOfALazyCopyLosesNothing) {
  std::string text(48 << 20, 't');
  for (size_t i = 0; i < text.size(); i += 4096) text[i] = static_cast<char>('a' + i / 4096 % 26);
  WriteFile(Lower("big"), text);
  std::mt19937 random(2);
  for (int i = 0; i < 6; ++i) {
    Mount();
    {
      const UniqueFd fd = Open(Union("big"), O_WRONLY);
      const size_t at = random() % (text.size() - 10);
      ASSERT_EQ(pwrite(fd.get(), "WRITTEN", 7, static_cast<off_t>(at)), 7);
      ASSERT_EQ(fsync(fd.get()), 0);
      text.replace(at, 7, "WRITTEN");
    }
    usleep(random() % 30000);
    mounted().KillDaemon();
    Mount();
    EXPECT_TRUE(ReadFile(Union("big")) == text);
    if (i == 5) {
      Unmount();
      EXPECT_TRUE(ReadFile(Upper("big")) == text);
    } else {
      mounted().KillDaemon();
    }
  }
}

}  // namespace
}  // namespace acetate::conformance
