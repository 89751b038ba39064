#include "common/syscalls.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/fs.h>
#include <unistd.h>

#include "common/temp_dir.h"

namespace acetate {
namespace {

TEST(SyscallsTest, OpenAt2StaysBeneath) {
  TempDir temp;
  MakeDirs(temp / "in");
  ASSERT_EQ(symlink("..", (temp / "in/up").c_str()), 0);
  ErrnoOr<UniqueFd> dir = sys::OpenAt(AT_FDCWD, (temp / "in").c_str(), O_PATH | O_DIRECTORY);
  ASSERT_TRUE(dir.ok());
  EXPECT_EQ(sys::OpenAt2(dir->get(), "up", O_PATH, 0, RESOLVE_BENEATH).error(), EXDEV);
  EXPECT_EQ(sys::OpenAt2(dir->get(), "up", O_RDONLY, 0, RESOLVE_NO_SYMLINKS).error(), ELOOP);
}

TEST(SyscallsTest, OpenedFdsCloseAtExec) {
  ErrnoOr<UniqueFd> fd = sys::OpenAt(AT_FDCWD, "/", O_PATH);
  ASSERT_TRUE(fd.ok());
  EXPECT_EQ(fcntl(fd->get(), F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
}

TEST(SyscallsTest, ChmodNeverFollowsASymlink) {
  TempDir temp;
  WriteFile(temp / "file", "", 0644);
  ASSERT_EQ(symlink("file", (temp / "link").c_str()), 0);
  ErrnoOr<UniqueFd> dir = sys::OpenAt(AT_FDCWD, temp.path().c_str(), O_PATH | O_DIRECTORY);
  ASSERT_TRUE(dir.ok());
  EXPECT_TRUE(sys::ChmodAtNoFollow(dir->get(), "file", 0600).ok());
  EXPECT_EQ(sys::ChmodAtNoFollow(dir->get(), "link", 0777), EOPNOTSUPP);
  struct stat st;
  ASSERT_EQ(stat((temp / "file").c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 07777, 0600u);
}

TEST(SyscallsTest, RenameNoReplaceRefuses) {
  TempDir temp;
  WriteFile(temp / "a", "a");
  WriteFile(temp / "b", "b");
  ErrnoOr<UniqueFd> dir = sys::OpenAt(AT_FDCWD, temp.path().c_str(), O_PATH | O_DIRECTORY);
  ASSERT_TRUE(dir.ok());
  EXPECT_EQ(sys::RenameAt2(dir->get(), "a", dir->get(), "b", RENAME_NOREPLACE), EEXIST);
  EXPECT_TRUE(sys::RenameAt2(dir->get(), "a", dir->get(), "b", RENAME_EXCHANGE).ok());
  EXPECT_EQ(ReadFile(temp / "a"), "b");
}

}  // namespace
}  // namespace acetate
