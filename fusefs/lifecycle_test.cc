// The daemon from its start to its end, in every way it can be started and ended.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/mountinfo.h"
#include "common/unique_fd.h"
#include "fusefs/program_scene.h"

namespace acetate::fusefs {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

#define SKIP_WITHOUT(user) \
  if (const std::string obstacle = ProgramScene::Obstacle(user); !obstacle.empty()) GTEST_SKIP() << obstacle

void ExpectOk(const Finished& finished) {
  EXPECT_EQ(finished.status, 0);
  EXPECT_EQ(finished.err, "");
}

// As root, and as a user through fusermount3.
class LifecycleTest : public ::testing::TestWithParam<bool> {
 protected:
  uid_t user() const { return GetParam() ? 0 : PlainUser(); }
  Finished Unmount(ProgramScene& scene) const {
    return GetParam() ? scene.Run({"umount", "mnt"}) : scene.Run({"fusermount3", "-u", "mnt"});
  }
};

INSTANTIATE_TEST_SUITE_P(As, LifecycleTest, ::testing::Bool(),
                         [](const auto& info) { return info.param ? "Root" : "User"; });

TEST_P(LifecycleTest, TheCountersAreLeftWhereTheyAreWanted) {
  SKIP_WITHOUT(user());
  ProgramScene scene(user());
  const std::string options = absl::StrCat(scene.Writable(), ",stats_fd=7");
  EXPECT_EQ(scene.Run({"fusefs", "-o", options, "mnt"}).err,
            "fusefs: stats_fd=7: is no file descriptor that is open for writing; open one (7>FILE in a shell) or leave "
            "the option out\n");
  EXPECT_THAT(scene.Mounts(), IsEmpty());
  ExpectOk(scene.Run({"sh", "-c", absl::StrCat("fusefs -o ", options, " mnt 7>counters")}));
  ExpectOk(scene.Run({"sh", "-c", "echo more >>mnt/fa"}));
  EXPECT_EQ(ReadFile(scene / "counters"), "");
  ExpectOk(Unmount(scene));
  EXPECT_EQ(scene.Await(-1), 0);
  EXPECT_EQ(nlohmann::json::parse(ReadFile(scene / "counters")).at("bytes_copied_up"), 1);
}

TEST_P(LifecycleTest, TheMountIsReadyWhenTheCommandReturnsAndEndsWithUmount) {
  SKIP_WITHOUT(user());
  ProgramScene scene(user());
  ExpectOk(scene.Run({"fusefs", "-o", scene.Writable(), "mnt"}));
  EXPECT_THAT(scene.Mounts(), ElementsAre("mnt"));
  EXPECT_EQ(scene.Run({"cat", "mnt/fa", "mnt/fb"}).out, "AB");
  ExpectOk(scene.Run({"cp", "mnt/fa", "mnt/new"}));
  EXPECT_EQ(ReadFile(scene / "upper/new"), "A");
  ExpectOk(Unmount(scene));
  EXPECT_EQ(scene.Await(-1), 0);
  EXPECT_THAT(scene.Mounts(), IsEmpty());
  // And again, over what was left.
  ExpectOk(scene.Run({"fusefs", "-o", scene.Writable(), "mnt"}));
  EXPECT_EQ(scene.Run({"cat", "mnt/new"}).out, "A");
  ExpectOk(Unmount(scene));
}

TEST_P(LifecycleTest, ItShowsAsFuseFusefsWithItsSource) {
  SKIP_WITHOUT(user());
  ProgramScene scene(user());
  ExpectOk(scene.Run({"fusefs", "-o", "lowerdir=a,nosuid,noatime,fsname=my layers\\,both", "mnt"}));
  for (const MountInfo& mount : ReadMountInfo()) {
    if (mount.mount_point != scene / "mnt") continue;
    EXPECT_EQ(mount.fs_type, "fuse.fusefs");
    EXPECT_EQ(mount.source, "my layers,both");
    EXPECT_THAT(mount.options, HasSubstr("nosuid"));
    EXPECT_THAT(mount.options, HasSubstr("noatime"));
    EXPECT_THAT(mount.super_options, HasSubstr("default_permissions"));
  }
  ExpectOk(Unmount(scene));
}

TEST_P(LifecycleTest, SignalsEndIt) {
  SKIP_WITHOUT(user());
  ProgramScene scene(user());
  for (int signal : {SIGTERM, SIGINT, SIGHUP}) {
    SCOPED_TRACE(strsignal(signal));
    const pid_t daemon = scene.Start({"fusefs", "-f", "-o", scene.Writable(), "mnt"});
    ASSERT_TRUE(scene.AwaitMount(true));
    EXPECT_EQ(scene.Run({"cat", "mnt/fa"}).out, "A");
    kill(daemon, signal);
    EXPECT_EQ(scene.Await(daemon), 0);
    EXPECT_THAT(scene.Mounts(), IsEmpty());
  }
}

TEST_P(LifecycleTest, ASignalEndsABusyMount) {
  SKIP_WITHOUT(user());
  ProgramScene scene(user());
  const pid_t daemon = scene.Start({"fusefs", "-f", "-o", scene.Writable(), "mnt"});
  ASSERT_TRUE(scene.AwaitMount(true));
  const pid_t holder = scene.Start({"sh", "-c", "cd mnt && exec sleep 60 <fa"});
  for (int i = 0;
       i < 6000 && std::filesystem::read_symlink(absl::StrCat("/proc/", holder, "/exe")).filename() != "sleep"; ++i) {
    usleep(10000);
  }
  kill(daemon, SIGTERM);
  EXPECT_EQ(scene.Await(daemon), 0);
  EXPECT_THAT(scene.Mounts(), IsEmpty());
  kill(holder, SIGKILL);
  EXPECT_EQ(scene.Await(holder), 128 + SIGKILL);
}

TEST_P(LifecycleTest, ASignalThatWasIgnoredStaysIgnored) {
  SKIP_WITHOUT(user());
  ProgramScene scene(user());
  const pid_t daemon = scene.Start({"nohup", "fusefs", "-f", "-o", scene.Writable(), "mnt"});
  ASSERT_TRUE(scene.AwaitMount(true));
  kill(daemon, SIGHUP);
  EXPECT_EQ(scene.Run({"cat", "mnt/fa"}).out, "A");
  ExpectOk(Unmount(scene));
  EXPECT_EQ(scene.Await(daemon), 0);
}

TEST_P(LifecycleTest, AfterKill9TheLayersCanBeMountedAgain) {
  SKIP_WITHOUT(user());
  ProgramScene scene(user());
  const pid_t daemon = scene.Start({"fusefs", "-f", "-o", scene.Writable(), "mnt"});
  ASSERT_TRUE(scene.AwaitMount(true));
  EXPECT_EQ(scene.Run({"cat", "mnt/fa"}).out, "A");
  kill(daemon, SIGKILL);
  EXPECT_EQ(scene.Await(daemon), 128 + SIGKILL);
  const Finished again = scene.Run({"fusefs", "-o", scene.Writable(), "mnt"});
  EXPECT_EQ(again.status, 1);
  EXPECT_THAT(again.err, HasSubstr("busy"));
  ExpectOk(Unmount(scene));
  ExpectOk(scene.Run({"fusefs", "-o", scene.Writable(), "mnt"}));
  EXPECT_EQ(scene.Run({"cat", "mnt/fa"}).out, "A");
  ExpectOk(Unmount(scene));
}

TEST_P(LifecycleTest, StatsCountRequests) {
  SKIP_WITHOUT(user());
  ProgramScene scene(user());
  ExpectOk(scene.Run({"fusefs", "-o", scene.Writable(), "mnt"}));
  const auto mkdirs = [&] {
    const Finished stats = scene.Run({"fusefs", "stats", "mnt", "--json"});
    ExpectOk(stats);
    return nlohmann::json::parse(stats.out)["requests"]["MKDIR"].get<int>();
  };
  EXPECT_EQ(mkdirs(), 0);
  ExpectOk(scene.Run({"mkdir", "mnt/d1", "mnt/d2"}));
  EXPECT_EQ(mkdirs(), 2);
  EXPECT_THAT(scene.Run({"fusefs", "stats", "mnt"}).out, HasSubstr("MKDIR                           2\n"));
  ExpectOk(Unmount(scene));
  EXPECT_EQ(scene.Await(-1), 0);
  EXPECT_EQ(scene.Run({"fusefs", "stats", "mnt"}).status, 1);
}

TEST_P(LifecycleTest, TheControlSocketIsWhereItWasToldToBe) {
  SKIP_WITHOUT(user());
  ProgramScene scene(user());
  ExpectOk(scene.Run({"fusefs", "--branches=upper:a", "--control=c.sock", "mnt"}));
  EXPECT_THAT(scene.Run({"fusefs", "stats", "--control=c.sock", "--json"}).out, HasSubstr("\"LOOKUP\":"));
  ExpectOk(Unmount(scene));
  EXPECT_EQ(scene.Await(-1), 0);
  EXPECT_NE(access((scene / "c.sock").c_str(), F_OK), 0);
}

TEST_P(LifecycleTest, BranchesMakeTheirWorkDirectory) {
  SKIP_WITHOUT(user());
  ProgramScene scene(user());
  ExpectOk(scene.Run({"fusefs", "--branches=upper=rw:a=ro:b=ro+wh", "mnt"}));
  ExpectOk(scene.Run({"rm", "mnt/fa"}));
  EXPECT_EQ(scene.Run({"ls", "mnt"}).out, "fb\n");
  ExpectOk(Unmount(scene));
  EXPECT_EQ(access((scene / ".upper.work").c_str(), F_OK), 0);
  EXPECT_EQ(ReadFile(scene / "a/fa"), "A");
}

TEST_P(LifecycleTest, ReadOnlyWithoutAWritableLayer) {
  SKIP_WITHOUT(user());
  ProgramScene scene(user());
  ExpectOk(scene.Run({"fusefs", "-o", "lowerdir=a:b", "mnt"}));
  const Finished touch = scene.Run({"touch", "mnt/new"});
  EXPECT_NE(touch.status, 0);
  EXPECT_THAT(touch.err, HasSubstr("Read-only file system"));
  ExpectOk(Unmount(scene));
}

TEST_P(LifecycleTest, TheMountpointMayBeALayerOrLieInsideOne) {
  SKIP_WITHOUT(user());
  ProgramScene scene(user());
  for (const char* point : {"upper", "a", "a/in"}) {
    SCOPED_TRACE(point);
    MakeDirs(scene / "a/in");
    ASSERT_EQ(chown((scene / "a/in").c_str(), user(), user()), 0);
    ExpectOk(scene.Run({"fusefs", "-o", scene.Writable(), point}));
    EXPECT_EQ(scene.Run({"cat", std::string(point) + "/fb"}).out, "B");
    ExpectOk(scene.Run({"cp", std::string(point) + "/fb", absl::StrCat(point, "/new")}));
    ExpectOk(GetParam() ? scene.Run({"umount", point}) : scene.Run({"fusermount3", "-u", point}));
    EXPECT_EQ(scene.Await(-1), 0);
    EXPECT_EQ(ReadFile(scene / "upper/new"), "B");
    EXPECT_NE(access((scene / "a/new").c_str(), F_OK), 0);
  }
}

TEST_P(LifecycleTest, NothingItHoldsOutlivesAnExec) {
  SKIP_WITHOUT(user());
  ProgramScene scene(user());
  const pid_t daemon = scene.Start({"fusefs", "-f", "-o", scene.Writable(), "mnt"});
  ASSERT_TRUE(scene.AwaitMount(true));
  EXPECT_EQ(scene.Run({"cat", "mnt/fa"}).out, "A");
  for (const auto& entry : std::filesystem::directory_iterator(absl::StrCat("/proc/", daemon, "/fdinfo"))) {
    if (std::stoi(entry.path().filename()) <= 2) continue;
    const std::string info = ReadFile(entry.path());
    const unsigned long flags = std::stoul(info.substr(info.find("flags:") + 6), nullptr, 8);
    EXPECT_NE(flags & O_CLOEXEC, 0u) << entry.path().filename();
  }
  ExpectOk(Unmount(scene));
}

TEST(LifecycleOfAUserTest, WhatAModeShutsItsOwnerCanOpenThroughTheUnion) {
  SKIP_WITHOUT(PlainUser());
  ProgramScene scene(PlainUser());
  ExpectOk(scene.Run({"sh", "-c",
                      "echo S > a/secret && chmod 0 a/secret && mkdir a/dir && echo D > a/dir/f && "
                      "chmod 0 a/dir"}));
  WriteFile(scene / "a/roots", "R", 0644);
  ExpectOk(scene.Run({"fusefs", "-o", scene.Writable(), "mnt"}));
  EXPECT_NE(scene.Run({"cat", "mnt/secret"}).status, 0);
  ExpectOk(scene.Run({"chmod", "600", "mnt/secret"}));
  EXPECT_EQ(scene.Run({"cat", "mnt/secret"}).out, "S\n");
  ExpectOk(scene.Run({"chmod", "700", "mnt/dir"}));
  EXPECT_EQ(scene.Run({"cat", "mnt/dir/f"}).out, "D\n");
  ExpectOk(scene.Run({"rm", "-r", "mnt/dir"}));
  EXPECT_EQ(scene.Run({"stat", "-c", "%u", "mnt/roots"}).out, "0\n");
  ExpectOk(scene.Run({"fusermount3", "-u", "mnt"}));
}

TEST(LifecycleOfAUserTest, InAUserNamespaceOfItsOwn) {
  SKIP_WITHOUT(PlainUser());
  ProgramScene scene(PlainUser());
  const Finished probe = scene.Run({"unshare", "-Urm", "true"});
  if (probe.status != 0) GTEST_SKIP() << "user namespaces are forbidden here: " << probe.err;
  const Finished inside = scene.Run({"unshare", "-Urm", "sh", "-ec",
                                     "export XDG_RUNTIME_DIR=$PWD; fusefs -o " + scene.Writable() +
                                         " mnt; cat mnt/fa; rm mnt/fb; ls mnt; fusefs stats mnt >/dev/null; "
                                         "umount mnt"});
  ExpectOk(inside);
  EXPECT_EQ(inside.out, "Afa\n");
}

TEST(LifecycleOfRootTest, AsksAnotherUsersMountForItsStats) {
  SKIP_WITHOUT(PlainUser());
  ProgramScene users(PlainUser());
  ExpectOk(users.Run({"fusefs", "-o", users.Writable(), "mnt"}));
  EXPECT_EQ(users.Run({"cat", "mnt/fa"}).out, "A");  // after the kernel's INIT
  ProgramScene roots;
  EXPECT_THAT(roots.Run({"fusefs", "stats", users / "mnt"}).out, HasSubstr("INIT"));
  ExpectOk(users.Run({"fusermount3", "-u", "mnt"}));
  EXPECT_EQ(users.Await(-1), 0);
}

TEST(LifecycleOfRootTest, TakesAFuseFdThatIsMountedAlready) {
  SKIP_WITHOUT(0);
  ProgramScene scene;
  const int fd = open("/dev/fuse", O_RDWR);  // to be inherited
  ASSERT_GE(fd, 0);
  const std::string data = absl::StrCat("fd=", fd, ",rootmode=40000,user_id=0,group_id=0,default_permissions");
  ASSERT_EQ(mount("fd", (scene / "mnt").c_str(), "fuse.fusefs", 0, data.c_str()), 0) << strerror(errno);
  const pid_t daemon =
      scene.Start({"fusefs", "-f", "-o", scene.Writable(), "--control=c.sock", absl::StrCat("/dev/fd/", fd)});
  close(fd);
  EXPECT_EQ(scene.Run({"cat", "mnt/fa"}).out, "A");
  EXPECT_THAT(scene.Run({"fusefs", "stats", "--control=c.sock"}).out, HasSubstr("INIT"));
  ExpectOk(scene.Run({"umount", "mnt"}));
  EXPECT_EQ(scene.Await(daemon), 0);
}

TEST(LifecycleOfRootTest, MountAsAnyOtherFilesystem) {
  SKIP_WITHOUT(0);
  if (access("/sbin/mount.fuse", X_OK) != 0 && access("/sbin/mount.fuse3", X_OK) != 0) {
    GTEST_SKIP() << "mount.fuse3 is not installed";
  }
  ProgramScene scene;
  const std::string options = absl::StrCat("lowerdir=", scene / "a", ":", scene / "b", ",upperdir=", scene / "upper",
                                           ",workdir=", scene / "work", ",x-mark=1");
  // An installed fusefs is found as `-t fuse.fusefs`.
  ExpectOk(scene.Run({"mount", "-t", "fuse." + scene / "fusefs", "-o", options, "layers", scene / "mnt"}));
  EXPECT_EQ(scene.Run({"cat", "mnt/fa"}).out, "A");
  for (const MountInfo& mount : ReadMountInfo()) {
    if (mount.mount_point == scene / "mnt") {
      EXPECT_EQ(mount.source, "layers");
      EXPECT_EQ(mount.fs_type, "fuse.fusefs");
    }
  }
  ExpectOk(scene.Run({"umount", "mnt"}));
  EXPECT_EQ(scene.Await(-1), 0);
}

TEST(LifecycleOfRootTest, HelpAndVersion) {
  SKIP_WITHOUT(0);
  ProgramScene scene;
  const Finished help = scene.Run({"fusefs", "--help"});
  ExpectOk(help);
  EXPECT_THAT(help.out, HasSubstr("usage: fusefs"));
  const Finished version = scene.Run({"fusefs", "--version"});
  ExpectOk(version);
  EXPECT_THAT(version.out, HasSubstr("libfuse 3."));
}

TEST(PassthroughTest, IsRefusedToAllButRootOfTheMachineBeforeAnythingIsMade) {
  SKIP_WITHOUT(PlainUser());
  ProgramScene scene(PlainUser());
  const auto before = scene.Listing();
  const std::string options = absl::StrCat(scene.Writable(), ",passthrough");
  for (const std::vector<std::string>& command :
       {std::vector<std::string>{"fusefs", "-o", options, "mnt"},
        std::vector<std::string>{"unshare", "--user", "--map-root-user", "--mount", "./fusefs", "-o", options,
                                 "mnt"}}) {
    const Finished refused = scene.Run(command);
    EXPECT_EQ(refused.status, 1);
    EXPECT_THAT(refused.err, HasSubstr("fusefs: passthrough: "));
    EXPECT_THAT(refused.err, HasSubstr("leave the option out"));
    EXPECT_EQ(std::count(refused.err.begin(), refused.err.end(), '\n'), 1) << refused.err;
  }
  EXPECT_THAT(scene.Mounts(), IsEmpty());
  EXPECT_EQ(scene.Listing(), before);
}

}  // namespace
}  // namespace acetate::fusefs
