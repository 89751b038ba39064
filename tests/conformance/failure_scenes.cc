// What the branches refuse reaches the caller as it is, and leaves nothing half made. Mountpoints in odd places.
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

#include "tests/conformance/scene.h"

namespace acetate::conformance {
namespace {

class FullDiskScene : public SceneTest {
 protected:
  void SetUp() override {
    small_ = dir_ / "small";
    MakeDirs(small_);
    if (mount("tmpfs", small_.c_str(), "tmpfs", 0, "size=1m") != 0) {
      GTEST_SKIP() << "mounting a small filesystem needs root or a user namespace";
    }
    options_.upper = small_ + "/upper";
    options_.work = small_ + "/work";
    MakeDirs(options_.upper);
    MakeDirs(options_.work);
  }
  void TearDown() override {
    SceneTest::TearDown();
    umount(small_.c_str());
  }

  std::string small_;
};

TEST_F(FullDiskScene, ACopyUpThatDoesNotFitIsEnospcAndLeavesNothing) {
  WriteFile(Lower("big"), std::string(4 << 20, 'b'));
  WriteFile(Lower("d"), "");
  Mount();
  EXPECT_EQ(Error(pwrite(Open(Union("big"), O_WRONLY).get(), "x", 1, 0)), ENOSPC);
  EXPECT_EQ(Error(truncate(Union("big").c_str(), 3 << 20)), ENOSPC);
  EXPECT_EQ(StatOf(Union("big")).st_size, 4 << 20);
  EXPECT_EQ(StatOf(Union("big")).st_mode & 07777, 0644u);
  EXPECT_EQ(Names(Upper("")), Strings{});
  EXPECT_EQ(LeftInWork(), Strings{});
  WriteFile(Union("small"), "fits");
  EXPECT_EQ(ReadFile(Union("small")), "fits");
}

TEST_F(FullDiskScene, AWriteThatDoesNotFitIsEnospc) {
  Mount();
  UniqueFd fd = Open(Union("file"), O_WRONLY | O_CREAT);
  const std::string block(256 << 10, 'x');
  int error = 0;
  for (int i = 0; i < 16 && error == 0; ++i) error = Error(write(fd.get(), block.data(), block.size()));
  EXPECT_EQ(error, ENOSPC);
  ASSERT_EQ(ftruncate(fd.get(), 0), 0);
  EXPECT_EQ(Error(pwrite(fd.get(), block.data(), block.size(), 0)), 0) << "what was given back can be used";
}

class ReadOnlyScene : public SceneTest {
 protected:
  void SetUp() override {
    options_.upper.clear();
    options_.work.clear();
  }
};

TEST_F(ReadOnlyScene, EverythingThatWouldChangeSomethingIsErofs) {
  WriteFile(Lower("a"), "a", 0666);
  MakeDirs(Lower("d"));
  Mount();
  const std::string a = Union("a");
  EXPECT_EQ(ReadFile(a), "a");
  EXPECT_EQ(Error(open(a.c_str(), O_WRONLY)), EROFS);
  EXPECT_EQ(Error(open(Union("new").c_str(), O_WRONLY | O_CREAT, 0644)), EROFS);
  EXPECT_EQ(Error(mkdir(Union("new").c_str(), 0755)), EROFS);
  EXPECT_EQ(Error(mkfifo(Union("new").c_str(), 0644)), EROFS);
  EXPECT_EQ(Error(symlink("a", Union("new").c_str())), EROFS);
  EXPECT_EQ(Error(link(a.c_str(), Union("new").c_str())), EROFS);
  EXPECT_EQ(Error(rename(a.c_str(), Union("new").c_str())), EROFS);
  EXPECT_EQ(Error(unlink(a.c_str())), EROFS);
  EXPECT_EQ(Error(rmdir(Union("d").c_str())), EROFS);
  EXPECT_EQ(Error(chmod(a.c_str(), 0600)), EROFS);
  EXPECT_EQ(Error(lchown(a.c_str(), getuid(), getgid())), EROFS);
  EXPECT_EQ(Error(truncate(a.c_str(), 0)), EROFS);
  EXPECT_EQ(Error(setxattr(a.c_str(), "user.a", "a", 1, 0)), EROFS);
  EXPECT_EQ(Error(utimensat(AT_FDCWD, a.c_str(), nullptr, 0)), EROFS);
  EXPECT_EQ(Error(access(a.c_str(), W_OK)), EROFS);
}

class MountpointScene : public SceneTest {};

TEST_F(MountpointScene, TheLowerItself) {
  WriteFile(Lower("a"), "lower");
  options_.mountpoint = options_.lowers[0];
  options_.log_file = dir_ / "log";
  Mount();
  EXPECT_EQ(ReadFile(Union("a")), "lower");
  WriteFile(Union("b"), "new");
  EXPECT_EQ(ReadFile(Upper("b")), "new");
  Unmount();
  EXPECT_EQ(Names(options_.lowers[0]), Strings{"a"});
}

TEST_F(MountpointScene, TheUpperItself) {
  WriteFile(Lower("a"), "lower");
  options_.mountpoint = options_.upper;
  options_.log_file = dir_ / "log";
  Mount();
  EXPECT_EQ(ReadFile(Union("a")), "lower");
  Append(Union("a"), "!");
  Unmount();
  EXPECT_EQ(ReadFile(Upper("a")), "lower!");
}

TEST_F(MountpointScene, InsideALower) {
  WriteFile(Lower("a"), "lower");
  MakeDirs(Lower("sub/mnt"));
  options_.mountpoint = Lower("sub/mnt");
  options_.log_file = dir_ / "log";
  Mount();
  // The directory that the mount covers is still an ordinary, empty one inside it.
  EXPECT_EQ(Names(Union("")), (Strings{"a", "sub"}));
  EXPECT_EQ(Names(Union("sub/mnt")), Strings{});
  WriteFile(Union("sub/mnt/new"), "n");
  EXPECT_EQ(ReadFile(Upper("sub/mnt/new")), "n");
}

TEST_F(MountpointScene, BranchesGivenByRelativePaths) {
  WriteFile(Lower("a"), "lower");
  const std::string before = std::filesystem::current_path();
  std::filesystem::current_path(dir_.path());
  options_.lowers = {"lower0", "lower1"};
  options_.upper = "upper";
  options_.work = "work";
  Mount();
  std::filesystem::current_path(before);
  Append(Union("a"), "!");
  EXPECT_EQ(ReadFile(dir_ / "upper/a"), "lower!");
}

}  // namespace
}  // namespace acetate::conformance
