#include "launcher/cgroup.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <thread>

#include "absl/strings/str_cat.h"
#include "launcher/files.h"

namespace acetate::launcher {
namespace {

constexpr char kHybridMounts[] =
    "34 30 0:31 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n"
    "38 30 0:35 / /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids\n"
    "31 30 0:28 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct\n"
    "40 30 0:37 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";

TEST(CgroupViewTest, HybridHasEachControllersDirectoryAndTheUnifiedOne) {
  CgroupView view = ParseCgroupView("8:pids:/\n4:memory:/a/b:c\n3:cpu,cpuacct:/x\n1:name=systemd:/s\n0::/u\n",
                                    ParseMountInfo(kHybridMounts));
  EXPECT_EQ(view.v1["pids"], "/sys/fs/cgroup/pids");
  EXPECT_EQ(view.v1["memory"], "/sys/fs/cgroup/memory/a/b:c");
  EXPECT_EQ(view.v1["cpuacct"], "/sys/fs/cgroup/cpu,cpuacct/x");
  EXPECT_EQ(view.unified, "/sys/fs/cgroup/unified/u");
  EXPECT_EQ(view.unified_mount, "/sys/fs/cgroup/unified");
}

TEST(CgroupViewTest, AMountOfASubtreeIsTakenOff) {
  CgroupView view =
      ParseCgroupView("0::/docker/abc/inner\n",
                      ParseMountInfo("40 30 0:37 /docker/abc /sys/fs/cgroup rw - cgroup2 cgroup rw,nsdelegate\n"));
  EXPECT_EQ(view.unified, "/sys/fs/cgroup/inner");
}

TEST(CgroupViewTest, ACgroupOutsideOfTheMountCannotBeReached) {
  auto mounts = ParseMountInfo("40 30 0:37 /docker/abc /sys/fs/cgroup rw - cgroup2 cgroup rw\n");
  EXPECT_EQ(ParseCgroupView("0::/docker/abcd\n", mounts).unified, "");
  EXPECT_EQ(ParseCgroupView("0::/../x\n", ParseMountInfo("1 1 0:1 / /c rw - cgroup2 c rw\n")).unified, "");
  EXPECT_EQ(ParseCgroupView("garbage\n0::/\n", {}).unified, "");
}

TEST(CgroupTest, ReadsTheOomCounterOfBothVersions) {
  EXPECT_EQ(ParseOomKills("low 0\nhigh 0\nmax 12\noom 1\noom_kill 3\noom_group_kill 0\n"), 3u);
  EXPECT_EQ(ParseOomKills("oom_kill_disable 0\nunder_oom 0\noom_kill 1\n"), 1u);
  EXPECT_EQ(ParseOomKills(""), 0u);
}

// A cgroup of this machine's with a process in it.
class RealCgroupTest : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    CgroupView view = ReadCgroupView();
    parent_ = GetParam() == std::string("v2") ? view.unified : view.v1["freezer"];
    if (parent_.empty()) GTEST_SKIP() << "no such hierarchy is mounted here";
    path_ = absl::StrCat(parent_, "/acetate-test-", getpid());
    if (mkdir(path_.c_str(), 0755) != 0) GTEST_SKIP() << parent_ << ": " << strerror(errno);
    counter_ = static_cast<std::atomic<int>*>(
        mmap(nullptr, sizeof(*counter_), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    ASSERT_NE(counter_, MAP_FAILED);
    child_ = fork();
    ASSERT_GE(child_, 0);
    while (child_ == 0) {
      ++*counter_;
      usleep(1000);
    }
    ASSERT_TRUE(WriteExisting(path_ + "/cgroup.procs", absl::StrCat(child_)).ok());
  }

  void TearDown() override {
    if (child_ > 0) kill(child_, SIGKILL);
    if (child_ > 0) waitpid(child_, nullptr, 0);
    if (!path_.empty()) RemoveCgroup(path_).IgnoreError();
  }

  std::string parent_;
  std::string path_;
  std::atomic<int>* counter_ = nullptr;  // shared with the child, which counts
  pid_t child_ = 0;
};

INSTANTIATE_TEST_SUITE_P(Versions, RealCgroupTest, ::testing::Values("v1", "v2"),
                         [](const auto& info) { return std::string(info.param); });

TEST_P(RealCgroupTest, WhatIsFrozenDoesNothingUntilItIsLetGo) {
  ASSERT_TRUE(FreezeCgroup(path_).ok());
  const int count = *counter_;
  usleep(100000);
  EXPECT_EQ(*counter_, count);
  ASSERT_TRUE(ThawCgroup(path_).ok());
  for (int i = 0; i < 1000 && *counter_ == count; ++i) usleep(10000);
  EXPECT_GT(*counter_, count);
}

// As with v2 before Linux 5.14.
TEST_P(RealCgroupTest, WithoutTheKernelsHelpNoneGetsAwayByForking) {
  int go[2];
  ASSERT_EQ(pipe(go), 0);
  const pid_t first = fork();
  if (first == 0) {
    char byte;
    if (read(go[0], &byte, 1) != 1) _exit(1);
    while (fork() == 0) {
    }
    _exit(0);
  }
  ASSERT_TRUE(WriteExisting(path_ + "/cgroup.procs", absl::StrCat(first)).ok());
  ASSERT_EQ(write(go[1], "", 1), 1);
  ASSERT_EQ(waitpid(first, nullptr, 0), first);

  const pid_t killer = fork();
  if (killer == 0) {
    const std::string file = path_ + "/cgroup.kill";
    const bool hidden = unshare(CLONE_NEWNS) == 0 && mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
                        mount(file.c_str(), file.c_str(), nullptr, MS_BIND, nullptr) == 0 &&
                        mount(nullptr, file.c_str(), nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY, nullptr) == 0 &&
                        access(file.c_str(), W_OK) != 0;
    if (GetParam() == std::string("v2") && !hidden) _exit(2);
    _exit(KillCgroup(path_) ? 0 : 1);
  }
  int status;
  ASSERT_EQ(waitpid(killer, &status, 0), killer);
  EXPECT_EQ(status, 0);
  pid_t ended = 0;
  for (int i = 0; i < 1000 && (ended = waitpid(child_, &status, WNOHANG)) == 0; ++i) usleep(1000);
  ASSERT_EQ(ended, child_);
  EXPECT_EQ(WTERMSIG(status), SIGKILL);
  child_ = 0;
  for (int i = 0; i < 1000 && !ReadFileOrEmpty(path_ + "/cgroup.procs").empty(); ++i) usleep(1000);
  EXPECT_EQ(ReadFileOrEmpty(path_ + "/cgroup.procs"), "");
  for (int fd : go) close(fd);
}

TEST_P(RealCgroupTest, AllInItAreKilledThoughTheyAreFrozen) {
  // Below it, too.
  const std::string below = path_ + "/below";
  ASSERT_EQ(mkdir(below.c_str(), 0755), 0);
  ASSERT_TRUE(WriteExisting(below + "/cgroup.procs", absl::StrCat(child_)).ok());
  ASSERT_TRUE(FreezeCgroup(path_).ok());
  EXPECT_TRUE(KillCgroup(path_));
  int status = 0;
  ASSERT_EQ(waitpid(child_, &status, 0), child_);
  EXPECT_EQ(WTERMSIG(status), SIGKILL);
  child_ = 0;
  EXPECT_TRUE(RemoveCgroup(path_).ok());
  EXPECT_NE(access(path_.c_str(), F_OK), 0);
}

TEST_P(RealCgroupTest, RemovingItEndsWhatIsInIt) {
  std::thread reaper([this] {
    int status = 0;
    EXPECT_EQ(waitpid(child_, &status, 0), child_);
    EXPECT_EQ(WTERMSIG(status), SIGKILL);
  });
  EXPECT_TRUE(RemoveCgroup(path_).ok());
  reaper.join();
  child_ = 0;
}

TEST(CgroupTest, ALeafIsLeftInOrder) {
  CgroupView view = ReadCgroupView();
  if (view.unified.empty()) GTEST_SKIP() << "no v2 tree is mounted here";
  const std::string parent = absl::StrCat(view.unified, "/acetate-test-", getpid());
  if (mkdir(parent.c_str(), 0755) != 0) GTEST_SKIP() << parent << ": " << strerror(errno);
  const std::string leaf = parent + "/leaf";
  ASSERT_EQ(mkdir(leaf.c_str(), 0755), 0);
  ASSERT_EQ(mkdir((parent + "/other").c_str(), 0755), 0);
  const pid_t child = fork();
  if (child == 0) {
    for (;;) pause();
  }
  ASSERT_TRUE(WriteExisting(leaf + "/cgroup.procs", absl::StrCat(child)).ok());
  // Others have a cgroup there: all stays as it is.
  EXPECT_TRUE(LeaveLeaf(leaf).ok());
  EXPECT_EQ(ReadFileOrEmpty(leaf + "/cgroup.procs"), absl::StrCat(child, "\n"));
  rmdir((parent + "/other").c_str());
  EXPECT_TRUE(LeaveLeaf(leaf).ok());
  EXPECT_NE(access(leaf.c_str(), F_OK), 0);
  EXPECT_EQ(ReadFileOrEmpty(parent + "/cgroup.procs"), absl::StrCat(child, "\n"));
  EXPECT_TRUE(LeaveLeaf(leaf).ok());
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  EXPECT_TRUE(RemoveCgroup(parent).ok());
}

TEST(CgroupTest, RemovingWhatIsGoneIsNoError) { EXPECT_TRUE(RemoveCgroup("/no/such/cgroup").ok()); }

}  // namespace
}  // namespace acetate::launcher
