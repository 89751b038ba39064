#include "launcher/mounts.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/syscalls.h"
#include "common/temp_dir.h"

namespace acetate::launcher {
namespace {

bool Exists(const std::string& path) {
  struct stat st;
  return lstat(path.c_str(), &st) == 0;
}

class OpenOrMakeTest : public ::testing::Test {
 protected:
  OpenOrMakeTest() {
    MakeDirs(dir_ / "root/etc");
    MakeDirs(dir_ / "outside");
    root_ = *sys::OpenAt(AT_FDCWD, (dir_ / "root").c_str(), O_PATH | O_DIRECTORY);
  }
  Errno Directory(const char* path, uint64_t resolve = 0) {
    return OpenOrMake(root_.get(), path, TargetKind::kDirectory, resolve).error();
  }
  Errno File(const char* path) { return OpenOrMake(root_.get(), path, TargetKind::kFile, 0).error(); }
  void Link(const std::string& target, const std::string& name) {
    ASSERT_EQ(symlink(target.c_str(), (dir_ / name).c_str()), 0);
  }

  TempDir dir_;
  UniqueFd root_;
};

TEST_F(OpenOrMakeTest, MakesWhatIsMissing) {
  EXPECT_TRUE(Directory("/etc").ok());
  EXPECT_TRUE(Directory("/srv/a/b").ok());
  EXPECT_TRUE(Exists(dir_ / "root/srv/a/b"));
  EXPECT_TRUE(File("/var/lib/file").ok());
  struct stat st;
  ASSERT_EQ(stat((dir_ / "root/var/lib/file").c_str(), &st), 0);
  EXPECT_TRUE(S_ISREG(st.st_mode));
}

TEST_F(OpenOrMakeTest, LinksAreResolvedInsideOfTheRoot) {
  Link(dir_ / "outside", "root/abs");
  Link("../../../../..", "root/up");
  Link("/run", "root/var");
  MakeDirs(dir_ / "root/run");
  EXPECT_TRUE(Directory("/var/lock").ok());
  EXPECT_TRUE(Exists(dir_ / "root/run/lock"));
  // The target of an absolute link is looked for below the root, where it is missing.
  EXPECT_EQ(Directory("/abs/x"), ENOENT);
  EXPECT_FALSE(Exists(dir_ / "outside/x"));
  EXPECT_TRUE(Directory("/up/made").ok());
  EXPECT_TRUE(Exists(dir_ / "root/made"));
}

TEST_F(OpenOrMakeTest, LinksCanBeRefused) {
  Link("etc", "root/proc");
  EXPECT_EQ(Directory("/proc", RESOLVE_NO_SYMLINKS), ELOOP);
  EXPECT_TRUE(Directory("/proc").ok());
}

TEST_F(OpenOrMakeTest, AFileIsNoDirectory) {
  WriteFile(dir_ / "root/file", "");
  EXPECT_EQ(Directory("/file"), ENOTDIR);
  EXPECT_EQ(Directory("/file/x"), ENOTDIR);
}

TEST_F(OpenOrMakeTest, APathThatIsTooLongIsAnError) {
  std::string path;
  for (int i = 0; i < 100; ++i) path += "/" + std::string(100, 'x');
  EXPECT_EQ(Directory(path.c_str()), ENAMETOOLONG);
}

}  // namespace
}  // namespace acetate::launcher
