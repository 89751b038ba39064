// Files that are open while their names go, and the several ways to reach one file's data.
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "tests/conformance/scene.h"

namespace acetate::conformance {
namespace {

// Does to an unlinked file what a program may: temporary files are made so.
void UseUnlinked(const UniqueFd& fd, const std::string& expected) {
  struct stat st;
  ASSERT_EQ(fstat(fd.get(), &st), 0);
  EXPECT_EQ(st.st_nlink, 0u);
  EXPECT_EQ(ReadAll(fd), expected);
  ASSERT_EQ(pwrite(fd.get(), "more", 4, expected.size()), 4);
  EXPECT_EQ(ReadAll(fd), expected + "more");
  ASSERT_EQ(ftruncate(fd.get(), 2), 0);
  EXPECT_EQ(ReadAll(fd), expected.substr(0, 2));
  EXPECT_EQ(fchmod(fd.get(), 0600), 0);
  const timespec times[2] = {{1000000000, 0}, {1000000000, 0}};
  EXPECT_EQ(futimens(fd.get(), times), 0);
  ASSERT_EQ(fstat(fd.get(), &st), 0);
  EXPECT_EQ(st.st_mode & 07777, 0600u);
  EXPECT_EQ(st.st_mtime, 1000000000);
  EXPECT_EQ(st.st_size, 2);
}

class OpenFileScene : public SceneTest {
 protected:
  int LinkFd(const UniqueFd& fd, const std::string& to) {
    const std::string from = "/proc/self/fd/" + std::to_string(fd.get());
    return Error(linkat(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), AT_SYMLINK_FOLLOW));
  }
};

TEST_F(OpenFileScene, AnUpperFileGoesOnWithoutAName) {
  WriteFile(Upper("a"), "upper");
  Mount();
  UniqueFd fd = Open(Union("a"), O_RDWR);
  ASSERT_EQ(unlink(Union("a").c_str()), 0);
  UseUnlinked(fd, "upper");
  EXPECT_EQ(Names(Upper("")), Strings{});
}

TEST_F(OpenFileScene, ALowerFileGoesOnWithoutAName) {
  WriteFile(Lower("a"), "lower");
  Mount();
  UniqueFd fd = Open(Union("a"), O_RDWR);
  ASSERT_EQ(unlink(Union("a").c_str()), 0);
  UseUnlinked(fd, "lower");
  EXPECT_EQ(Names(Union("")), Strings{});
  EXPECT_EQ(ReadFile(Lower("a")), "lower");
}

TEST_F(OpenFileScene, SoDoesOneThatARenameReplaced) {
  WriteFile(Lower("a"), "lower");
  WriteFile(Lower("b"), "b");
  Mount();
  UniqueFd fd = Open(Union("a"), O_RDWR);
  ASSERT_EQ(rename(Union("b").c_str(), Union("a").c_str()), 0);
  UseUnlinked(fd, "lower");
  EXPECT_EQ(ReadFile(Union("a")), "b");
}

TEST_F(OpenFileScene, UnlinkedFilesLeaveNothingBehind) {
  WriteFile(Lower("a"), "lower");
  Mount();
  UniqueFd fd = Open(Union("a"), O_RDWR);
  ASSERT_EQ(unlink(Union("a").c_str()), 0);
  ASSERT_EQ(pwrite(fd.get(), "x", 1, 0), 1);
  fd.Reset();
  Unmount();
  EXPECT_EQ(LeftInWork(), Strings{});
}

TEST_F(OpenFileScene, AFileWithAnotherNameIsLinkedFromItsFd) {
  WriteFile(Lower("a"), "lower");
  Mount();
  UniqueFd fd = Open(Union("a"), O_RDONLY);
  ASSERT_EQ(LinkFd(fd, Union("b")), 0);
  ASSERT_EQ(unlink(Union("a").c_str()), 0);
  ASSERT_EQ(LinkFd(fd, Union("c")), 0);
  EXPECT_EQ(ReadFile(Union("c")), "lower");
  EXPECT_EQ(StatOf(Union("b")).st_ino, StatOf(Union("c")).st_ino);
  EXPECT_EQ(StatOf(Union("b")).st_nlink, 2u);
}

TEST_F(OpenFileScene, AFileWithoutANameIsNotGivenOneAgain) {
  WriteFile(Lower("a"), "lower");
  Mount();
  UniqueFd fd = Open(Union("a"), O_RDONLY);
  ASSERT_EQ(unlink(Union("a").c_str()), 0);
  EXPECT_EQ(LinkFd(fd, Union("b")), ENOENT) << "as on every filesystem of the kernel";
}

TEST_F(OpenFileScene, AFileBornWithoutANameIsGivenOne) {
  Mount();
  UniqueFd fd(open(options_.mountpoint.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0640));
  if (!fd.valid() && errno == EOPNOTSUPP) GTEST_SKIP() << "O_TMPFILE needs a libfuse (3.17) that passes it on";
  ASSERT_TRUE(fd.valid()) << strerror(errno);
  ASSERT_EQ(write(fd.get(), "text", 4), 4);
  EXPECT_EQ(Names(Union("")), Strings{});
  ASSERT_EQ(LinkFd(fd, Union("a")), 0);
  EXPECT_EQ(ReadFile(Union("a")), "text");
  EXPECT_EQ(StatOf(Upper("a")).st_mode & 07777, 0640u);
}

TEST_F(OpenFileScene, ARemovedDirectoryThatIsOpenIsEmptyAndClosedToNewNames) {
  MakeDirs(Lower("d"));
  Mount();
  UniqueFd fd = Open(Union("d"), O_RDONLY | O_DIRECTORY);
  ASSERT_EQ(rmdir(Union("d").c_str()), 0);
  struct stat st;
  EXPECT_EQ(fstat(fd.get(), &st), 0);
  EXPECT_EQ(Error(mkdirat(fd.get(), "e", 0755)), ENOENT);
  EXPECT_EQ(Error(faccessat(fd.get(), "x", F_OK, 0)), ENOENT);
}

// Of what is read by the hundred kilobytes the daemon sees nothing.
TEST_F(OpenFileScene, LargeReadsEndWhereTheFileDoes) {
  std::string contents(1234567, '\0');
  for (size_t i = 0; i < contents.size(); ++i) contents[i] = static_cast<char>('a' + i / 1000 % 26);
  WriteFile(Lower("whole"), contents);
  WriteFile(Lower("cut"), contents);
  Mount();
  EXPECT_TRUE(ReadFile(Union("whole")) == contents);
  ASSERT_EQ(truncate(Union("cut").c_str(), 300001), 0);
  // Where it was cut off the layer's file goes on.
  ASSERT_EQ(chmod(Union("whole").c_str(), 0600), 0);
  Remount();
  EXPECT_TRUE(ReadFile(Union("whole")) == contents);
  EXPECT_TRUE(ReadFile(Union("cut")) == contents.substr(0, 300001));
  const UniqueFd direct = Open(Union("whole"), O_RDONLY | O_DIRECT);
  void* block = nullptr;
  ASSERT_EQ(posix_memalign(&block, 4096, 1 << 20), 0);
  EXPECT_EQ(pread(direct.get(), block, 1 << 20, 4096), 1 << 20);
  EXPECT_EQ(memcmp(block, contents.data() + 4096, 1 << 20), 0);
  EXPECT_EQ(pread(direct.get(), block, 1 << 20, 1 << 20), 1234567 - (1 << 20));
  EXPECT_EQ(memcmp(block, contents.data() + (1 << 20), 1234567 - (1 << 20)), 0);
  free(block);
}

TEST_F(OpenFileScene, DirectBufferedAndMappedAccessAgree) {
  WriteFile(Lower("a"), std::string(16384, 'l'));
  Mount();
  UniqueFd buffered = Open(Union("a"), O_RDWR);
  UniqueFd direct = Open(Union("a"), O_RDWR | O_DIRECT);
  void* memory = mmap(nullptr, 16384, PROT_READ | PROT_WRITE, MAP_SHARED, buffered.get(), 0);
  ASSERT_NE(memory, MAP_FAILED);
  char* mapped = static_cast<char*>(memory);
  void* block = nullptr;
  ASSERT_EQ(posix_memalign(&block, 4096, 4096), 0);
  char* bytes = static_cast<char*>(block);

  ASSERT_EQ(pwrite(buffered.get(), "B", 1, 10), 1);
  ASSERT_EQ(pread(direct.get(), block, 4096, 0), 4096);
  EXPECT_EQ(bytes[10], 'B') << "read directly what was written to the page cache";
  EXPECT_EQ(mapped[10], 'B');

  memset(block, 'D', 4096);
  ASSERT_EQ(pwrite(direct.get(), block, 4096, 4096), 4096);
  char byte = 0;
  ASSERT_EQ(pread(buffered.get(), &byte, 1, 5000), 1);
  EXPECT_EQ(byte, 'D') << "read from the page cache what was written directly";
  EXPECT_EQ(mapped[5000], 'D');

  mapped[9000] = 'M';
  ASSERT_EQ(pread(buffered.get(), &byte, 1, 9000), 1);
  EXPECT_EQ(byte, 'M');
  ASSERT_EQ(msync(memory, 16384, MS_SYNC), 0);
  ASSERT_EQ(pread(direct.get(), block, 4096, 8192), 4096);
  EXPECT_EQ(bytes[9000 - 8192], 'M');
  free(block);
  munmap(memory, 16384);
}

}  // namespace
}  // namespace acetate::conformance
