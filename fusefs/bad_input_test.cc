// What a user can get wrong: each is one line that names it, status 1, nothing mounted, nothing made, nobody left.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>

#include "fusefs/program_scene.h"

namespace acetate::fusefs {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

class BadInputTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const std::string obstacle = ProgramScene::Obstacle(PlainUser());
    if (!obstacle.empty()) GTEST_SKIP() << obstacle;
  }

  static void MakeUserDirs(const ProgramScene& scene, const std::vector<std::string>& names) {
    for (const std::string& name : names) {
      MakeDirs(scene / name);
      ASSERT_EQ(chown((scene / name).c_str(), PlainUser(), PlainUser()), 0);
    }
  }

  // Runs `command` in the background as a user would, after `setup` in a mount namespace of its own.
  static void ExpectRefused(ProgramScene& scene, const std::vector<std::string>& command, const std::string& reason,
                            const std::vector<std::vector<std::string>>& setup = {}) {
    SCOPED_TRACE(::testing::PrintToString(command));
    const std::set<std::string> before = scene.Listing();
    const std::set<std::string> mounts = scene.Mounts();
    const Finished finished = scene.RunAfter(setup, command);
    EXPECT_EQ(finished.status, 1);
    EXPECT_THAT(finished.err, StartsWith("fusefs: "));
    EXPECT_THAT(finished.err, HasSubstr(reason));
    EXPECT_EQ(std::count(finished.err.begin(), finished.err.end(), '\n'), 1) << finished.err;
    EXPECT_EQ(finished.out, "");
    EXPECT_EQ(scene.Listing(), before);
    EXPECT_EQ(scene.Mounts(), mounts);
  }
};

TEST_F(BadInputTest, CommandLine) {
  ProgramScene scene(PlainUser());
  const std::string good = scene.Writable();
  ExpectRefused(scene, {"fusefs"}, "no layers");
  ExpectRefused(scene, {"fusefs", "mnt"}, "no layers");
  ExpectRefused(scene, {"fusefs", "-o", good}, "no mountpoint");
  ExpectRefused(scene, {"fusefs", "-o"}, "-o needs a value");
  ExpectRefused(scene, {"fusefs", "--nosuchflag", "-o", good, "mnt"}, "unknown option --nosuchflag");
  ExpectRefused(scene, {"fusefs", "-x", "-o", good, "mnt"}, "unknown option -x");
  ExpectRefused(scene, {"fusefs", "-o", good + ",nosuchoption", "mnt"}, "unknown option -o nosuchoption");
  ExpectRefused(scene, {"fusefs", "-o", good + ",timeout=soon", "mnt"}, "timeout=soon");
  ExpectRefused(scene, {"fusefs", "-o", good + ",uidmapping=0:1000", "mnt"}, "uidmapping=0:1000: must be");
  ExpectRefused(scene, {"fusefs", "-o", good + ",xattr_permissions=1", "mnt"},
                "writable layer 'upper': write security.fuseoverlayfs.override_stat to it: Operation not permitted");
  ExpectRefused(scene, {"fusefs", "-o", good, "x", "y", "mnt"}, "too many arguments");
  ExpectRefused(scene, {"fusefs", "-o", "lowerdir=", "mnt"}, "empty entry");
  ExpectRefused(scene, {"fusefs", "-o", "lowerdir=a::b", "mnt"}, "empty entry");
  ExpectRefused(scene, {"fusefs", "-o", "lowerdir=a:", "mnt"}, "empty entry");
  ExpectRefused(scene, {"fusefs", "-o", "lowerdir=a,upperdir=upper", "mnt"}, "add workdir=DIR");
  ExpectRefused(scene, {"fusefs", "--branches=upper=rw:a=rw", "--workdir=work", "mnt"}, "one writable branch");
  ExpectRefused(scene, {"fusefs", "--branches=upper=rx:a=ro", "mnt"}, "'rx'");
  ExpectRefused(scene, {"fusefs", "stats"}, "needs a mountpoint");
  ExpectRefused(scene, {"fusefs", "stats", "mnt"}, "is not a mountpoint");
  ExpectRefused(scene, {"fusefs", "stats", "none"}, "No such file");
}

TEST_F(BadInputTest, ANameWithALineEndIsStillOneLine) {
  ProgramScene scene(PlainUser());
  ExpectRefused(scene, {"fusefs", "-o", "lowerdir=no\nsuch\x1b[2J", "mnt"}, "no?such?[2J");
}

TEST_F(BadInputTest, Layers) {
  ProgramScene scene(PlainUser());
  MakeDirs(scene / "unreadable");
  ASSERT_EQ(chmod((scene / "unreadable").c_str(), 0700), 0);
  MakeUserDirs(scene, {"a/deep", "a/deep/upper"});
  ASSERT_EQ(symlink("a", (scene / "alias").c_str()), 0);
  ExpectRefused(scene, {"fusefs", "-o", "lowerdir=a:none", "mnt"}, "'none': No such file or directory");
  ExpectRefused(scene, {"fusefs", "-o", "lowerdir=a:unreadable", "mnt"}, "'unreadable' cannot be read");
  ExpectRefused(scene, {"fusefs", "-o", "lowerdir=a/fa", "mnt"}, "'a/fa': Not a directory");
  ExpectRefused(scene, {"fusefs", "-o", "lowerdir=a:b:a", "mnt"}, "list a layer once");
  ExpectRefused(scene, {"fusefs", "-o", "lowerdir=a:alias", "mnt"}, "list a layer once");
  ExpectRefused(scene, {"fusefs", "-o", "lowerdir=a,upperdir=a,workdir=work", "mnt"}, "list a layer once");
  ExpectRefused(scene, {"fusefs", "-o", "lowerdir=a,upperdir=a/deep/upper,workdir=work", "mnt"}, "lies inside");
  ExpectRefused(scene, {"fusefs", "-o", "lowerdir=a/deep,upperdir=a,workdir=work", "mnt"}, "lies inside");
  ExpectRefused(scene, {"fusefs", "-o", "lowerdir=a,upperdir=none,workdir=work", "mnt"}, "writable layer 'none'");
  ExpectRefused(scene, {"fusefs", "--branches=upper:none", "mnt"}, "'none'");
}

TEST_F(BadInputTest, WorkDirectory) {
  ProgramScene scene(PlainUser());
  MakeUserDirs(scene, {"upper/inside", "elsewhere"});
  ASSERT_EQ(mount("tmpfs", (scene / "elsewhere").c_str(), "tmpfs", 0, "mode=777"), 0);
  const std::string upper = "lowerdir=a:b,upperdir=upper,workdir=";
  ExpectRefused(scene, {"fusefs", "-o", upper + "none", "mnt"}, "work directory 'none': No such file");
  ExpectRefused(scene, {"fusefs", "-o", upper + "elsewhere", "mnt"}, "is not on the same filesystem");
  ExpectRefused(scene, {"fusefs", "-o", upper + "upper", "mnt"}, "is the same directory as");
  ExpectRefused(scene, {"fusefs", "-o", upper + "upper/inside", "mnt"}, "lies inside");
  ExpectRefused(scene, {"fusefs", "--branches=elsewhere:a", "mnt"}, "is not on the same filesystem");
}

TEST_F(BadInputTest, Mountpoint) {
  ProgramScene scene(PlainUser());
  MakeDirs(scene / "roots");
  const std::string good = scene.Writable();
  ExpectRefused(scene, {"fusefs", "-o", good, "none"}, "mountpoint 'none': No such file or directory");
  ExpectRefused(scene, {"fusefs", "-o", good, "a/fa"}, "mountpoint 'a/fa': Not a directory");
  ExpectRefused(scene, {"fusefs", "-o", good, "roots"}, "mountpoint 'roots' must be writable to its user");
  ExpectRefused(scene, {"fusefs", "-o", good, "/dev/fd/345"}, "no such fd");
  ExpectRefused(scene, {"fusefs", "-o", good, "/dev/fd/0"}, "is not an fd of /dev/fuse");
  ExpectRefused(scene, {"fusefs", "--branches=upper:a", "none"}, "mountpoint 'none'");
}

TEST_F(BadInputTest, InUse) {
  ProgramScene scene(PlainUser());
  MakeUserDirs(scene, {"mnt2", "work2", "upper2"});
  const Finished first = scene.Run({"fusefs", "-o", scene.Writable(), "mnt"});
  ASSERT_EQ(first.status, 0) << first.err;
  ExpectRefused(scene, {"fusefs", "-o", "lowerdir=b", "mnt"}, "mountpoint 'mnt' is busy");
  ExpectRefused(scene, {"fusefs", "-o", "lowerdir=a,upperdir=upper,workdir=work2", "mnt2"},
                "writable layer 'upper' is in use by another fusefs mount");
  ExpectRefused(scene, {"fusefs", "-o", "lowerdir=a,upperdir=upper2,workdir=work", "mnt2"},
                "work directory 'work' is in use by another fusefs mount");
  ASSERT_EQ(scene.Run({"fusermount3", "-u", "mnt"}).status, 0);
}

TEST_F(BadInputTest, ControlSocket) {
  ProgramScene scene(PlainUser());
  const std::string good = scene.Writable();
  ExpectRefused(scene, {"fusefs", "-o", good, "--control=none/c.sock", "mnt"}, "control socket 'none/c.sock'");
  ExpectRefused(scene, {"fusefs", "-o", good, "--control=a/fa", "mnt"}, "no socket");
  ExpectRefused(scene, {"fusefs", "--branches=upper:a", "--control=none/c.sock", "mnt"}, "control socket");
}

TEST_F(BadInputTest, WhatTheSystemForbids) {
  ProgramScene scene(PlainUser());
  const std::vector<std::string> fusefs = {"fusefs", "--branches=upper:a", "mnt"};
  ExpectRefused(scene, fusefs, "open /dev/fuse: No such file or directory",
                {{"mount", "-t", "tmpfs", "tmpfs", "/dev"}});
  ASSERT_EQ(mknod((scene / "fuse").c_str(), S_IFCHR | 0600, makedev(10, 229)), 0);
  ExpectRefused(scene, fusefs, "open /dev/fuse: Permission denied", {{"mount", "--bind", scene / "fuse", "/dev/fuse"}});
  ExpectRefused(scene, fusefs, "fusermount3", {{"mount", "--bind", "/dev/null", "/usr/bin/fusermount3"}});
  // /etc/fuse.conf as it is installed.
  WriteFile(scene / "fuse.conf", "");
  ExpectRefused(scene, {"fusefs", "--branches=upper:a", "-o", "allow_other", "mnt"},
                "option allow_other only allowed if 'user_allow_other' is set",
                {{"mount", "--bind", scene / "fuse.conf", "/etc/fuse.conf"}});
}

TEST_F(BadInputTest, NoRoomForACopyUp) {
  ProgramScene scene;
  MakeDirs(scene / "small");
  ASSERT_EQ(mount("tmpfs", (scene / "small").c_str(), "tmpfs", 0, "size=256k"), 0);
  MakeDirs(scene / "small/upper");
  MakeDirs(scene / "small/work");
  WriteFile(scene / "a/big", std::string(1 << 20, 'x'));
  const Finished mounted = scene.Run({"fusefs", "-o", "lowerdir=a:b,upperdir=small/upper,workdir=small/work", "mnt"});
  ASSERT_EQ(mounted.status, 0) << mounted.err;
  const Finished append = scene.Run({"sh", "-c", "echo more | tee -a mnt/big"});
  EXPECT_NE(append.status, 0);
  EXPECT_THAT(append.err, HasSubstr("No space left on device"));
  EXPECT_EQ(scene.Run({"ls", "-A", "small/upper"}).out, "");
  EXPECT_EQ(ReadFile(scene / "mnt/big"), std::string(1 << 20, 'x'));
  EXPECT_EQ(ReadFile(scene / "mnt/fb"), "B");
  ASSERT_EQ(scene.Run({"umount", "mnt"}).status, 0);
  EXPECT_EQ(scene.Await(-1), 0);
}

}  // namespace
}  // namespace acetate::fusefs
