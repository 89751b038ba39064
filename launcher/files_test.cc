#include "launcher/files.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>

#include "common/temp_dir.h"

namespace acetate::launcher {
namespace {

bool Exists(const std::string& path) {
  struct stat st;
  return lstat(path.c_str(), &st) == 0;
}

TEST(FilesTest, ReadsUpToALimit) {
  TempDir dir;
  WriteFile(dir / "f", std::string(5000, 'x'));
  EXPECT_EQ(ReadFileAt(AT_FDCWD, (dir / "f").c_str(), 5000)->size(), 5000u);
  EXPECT_EQ(ReadFileAt(AT_FDCWD, (dir / "f").c_str(), 4999).error(), EFBIG);
  EXPECT_EQ(ReadFileAt(AT_FDCWD, (dir / "none").c_str(), 10).error(), ENOENT);
  EXPECT_EQ(ReadFileOrEmpty(dir / "none"), "");
}

TEST(FilesTest, WriteExistingDoesNotCreate) {
  TempDir dir;
  EXPECT_EQ(WriteExisting(dir / "f", "x"), ENOENT);
  EXPECT_FALSE(Exists(dir / "f"));
}

TEST(FilesTest, MakesMissingParents) {
  TempDir dir;
  EXPECT_TRUE(MakeDirectories(dir / "a/b/c", 0755).ok());
  EXPECT_TRUE(MakeDirectories(dir / "a/b/c", 0755).ok());
  EXPECT_TRUE(Exists(dir / "a/b/c"));
  WriteFile(dir / "file", "");
  EXPECT_FALSE(MakeDirectories(dir / "file/x", 0755).ok());
}

TEST(FilesTest, RemoveTreeTakesAllAndFollowsNothing) {
  TempDir dir;
  MakeDirs(dir / "tree/a/b/c");
  MakeDirs(dir / "tree/.removed-1/x");  // a name of the kind that it makes for itself
  MakeDirs(dir / "outside");
  WriteFile(dir / "outside/keep", "");
  WriteFile(dir / "tree/a/b/file", "");
  ASSERT_EQ(symlink((dir / "outside").c_str(), (dir / "tree/a/link").c_str()), 0);
  chmod((dir / "tree/a/b").c_str(), 0);
  absl::Status status = RemoveTree(dir / "tree");
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_FALSE(Exists(dir / "tree"));
  EXPECT_TRUE(Exists(dir / "outside/keep"));
  EXPECT_TRUE(RemoveTree(dir / "tree").ok());
}

TEST(FilesTest, RemoveTreeGoesDeeperThanAPathIsLong) {
  TempDir dir;
  std::string name(200, 'd');
  ASSERT_EQ(mkdir((dir / "tree").c_str(), 0700), 0);
  UniqueFd fd(open((dir / "tree").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  for (int i = 0; i < 100; ++i) {
    ASSERT_EQ(mkdirat(fd.get(), name.c_str(), 0700), 0);
    fd.Reset(openat(fd.get(), name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    ASSERT_TRUE(fd.valid());
  }
  absl::Status status = RemoveTree(dir / "tree");
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_FALSE(Exists(dir / "tree"));
}

TEST(FilesTest, FindProgramTakesTheFirstThatCanBeExecuted) {
  TempDir dir;
  MakeDirs(dir / "a/tool");  // a directory
  MakeDirs(dir / "b");
  MakeDirs(dir / "c");
  WriteFile(dir / "b/tool", "", 0644);
  WriteFile(dir / "c/tool", "", 0755);
  const char* old_path = getenv("PATH");
  std::string saved = old_path != nullptr ? old_path : "";
  setenv("PATH", (dir / "a:" + (dir / "b:") + (dir / "c")).c_str(), 1);
  EXPECT_EQ(FindProgram("tool"), dir / "c/tool");
  EXPECT_EQ(FindProgram("none"), "");
  setenv("PATH", saved.c_str(), 1);
}

}  // namespace
}  // namespace acetate::launcher
