#include "fusefs/owner_branch.h"

#include <fcntl.h>
#include <grp.h>
#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <functional>
#include <memory>
#include <set>
#include <thread>
#include <vector>

#include "common/temp_dir.h"

namespace acetate::fusefs {
namespace {

constexpr uid_t kUser = 12345;
constexpr int kNoHelper = 77;

// The scenes play in a child process without privileges, in a directory of its user. Expectations print there; any that
// fails makes the child's status 1.
class OwnerBranchTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "becomes another user, which needs root";
    unsetenv("TEST_TMPDIR");  // may lie where another user cannot go
    temp_ = std::make_unique<TempDir>();
    ASSERT_EQ(chown(temp_->path().c_str(), kUser, kUser), 0);
  }

  void AsUser(const std::function<void(OwnerCalls*, const Branch&)>& scene) {
    const pid_t child = fork();
    if (child == 0) {
      if (setgroups(0, nullptr) != 0 || setgid(kUser) != 0 || setuid(kUser) != 0) _exit(2);
      // The change of user closed /proc/self to this process; the daemon, which is executed as its user, has it open.
      if (prctl(PR_SET_DUMPABLE, 1) != 0) _exit(2);
      umask(0);
      std::unique_ptr<OwnerCalls> calls = OwnerCalls::Start();
      if (calls == nullptr) _exit(kNoHelper);
      OwnerBranch branch(BranchSpec(), 0, UniqueFd(open(temp_->path().c_str(), O_PATH | O_DIRECTORY)), calls.get());
      scene(calls.get(), branch);
      calls.reset();
      // The helper is gone.
      EXPECT_EQ(waitpid(-1, nullptr, WNOHANG), -1);
      _exit(::testing::Test::HasFailure() ? 1 : 0);
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == kNoHelper) GTEST_SKIP() << "user namespaces are forbidden here";
    EXPECT_EQ(status, 0);
  }

  std::unique_ptr<TempDir> temp_;
};

TEST_F(OwnerBranchTest, AFileOfMode0IsReadAndWritten) {
  AsUser([&](OwnerCalls*, const Branch& branch) {
    WriteFile(*temp_ / "file", "text", 0);
    ErrnoOr<UniqueFd> fd = branch.Open(branch.root_fd(), "file", O_RDWR);
    ASSERT_TRUE(fd.ok()) << fd.error().value();
    char text[8] = {};
    EXPECT_EQ(read(fd->get(), text, sizeof(text)), 4);
    EXPECT_STREQ(text, "text");
    EXPECT_EQ(write(fd->get(), "more", 4), 4);
    EXPECT_EQ(fcntl(fd->get(), F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);

    ErrnoOr<UniqueFd> path = branch.Open(branch.root_fd(), "file", O_PATH);
    ASSERT_TRUE(path.ok());
    EXPECT_TRUE(branch.Open(path->get(), "", O_RDONLY).ok());
    EXPECT_TRUE(branch.SetXattr(path->get(), "", "user.k", "v", 1, 0).ok());
    char value[8];
    EXPECT_EQ(*branch.GetXattr(branch.root_fd(), "file", "user.k", value, sizeof(value)), 1u);
    EXPECT_TRUE(branch.RemoveXattr(branch.root_fd(), "file", "user.k").ok());
    EXPECT_EQ(branch.GetXattr(branch.root_fd(), "file", "user.k", value, sizeof(value)).error(), ENODATA);
  });
}

TEST_F(OwnerBranchTest, EverythingWorksInADirectoryOfMode0) {
  AsUser([&](OwnerCalls*, const Branch& branch) {
    ASSERT_TRUE(branch.MkDir(branch.root_fd(), "dir", 0).ok());
    ErrnoOr<UniqueFd> dir = branch.Open(branch.root_fd(), "dir", O_PATH | O_DIRECTORY);
    ASSERT_TRUE(dir.ok());
    const int fd = dir->get();
    EXPECT_TRUE(branch.Open(fd, "file", O_CREAT | O_EXCL | O_WRONLY, 0640).ok());
    EXPECT_TRUE(branch.MkNod(fd, "fifo", S_IFIFO | 0600, 0).ok());
    EXPECT_TRUE(branch.MkDir(fd, "sub", 0700).ok());
    EXPECT_TRUE(branch.SymLink("target", fd, "link").ok());
    EXPECT_TRUE(branch.Link(fd, "file", fd, "file2").ok());
    EXPECT_TRUE(branch.Rename(fd, "file2", fd, "file3", 0).ok());
    EXPECT_EQ(*branch.ReadLink(fd, "link"), "target");
    EXPECT_TRUE(branch.SetXattr(fd, "file", "user.k", "v", 1, 0).ok());
    EXPECT_EQ(*branch.ListXattr(fd, "file"), std::string("user.k\0", 7));
    EXPECT_TRUE(branch.Chmod(fd, "file", 0604).ok());
    EXPECT_TRUE(branch.Chown(fd, "file", kUser, -1).ok());
    const struct timespec times[2] = {{1000, 0}, {2000, 0}};
    EXPECT_TRUE(branch.SetTimes(fd, "file", times).ok());
    ErrnoOr<struct stat> st = branch.Stat(fd, "file");
    ASSERT_TRUE(st.ok());
    EXPECT_EQ(st->st_mode, S_IFREG | 0604u);
    EXPECT_EQ(st->st_uid, kUser);
    EXPECT_EQ(st->st_mtime, 2000);

    ErrnoOr<std::vector<RawEntry>> entries = branch.ReadDir(fd);
    ASSERT_TRUE(entries.ok());
    std::set<std::string> names;
    for (const RawEntry& entry : *entries) names.insert(entry.name);
    EXPECT_EQ(names, (std::set<std::string>{"fifo", "file", "file3", "link", "sub"}));

    EXPECT_TRUE(branch.RmDir(fd, "sub").ok());
    for (const char* name : {"fifo", "file", "file3", "link"}) EXPECT_TRUE(branch.Unlink(fd, name).ok()) << name;
    EXPECT_EQ(branch.Unlink(fd, "none"), ENOENT);
    EXPECT_TRUE(branch.RmDir(branch.root_fd(), "dir").ok());
  });
}

TEST_F(OwnerBranchTest, OtherUsersFilesStayShutAndShowTheirOwner) {
  MakeDirs(*temp_ / "roots");
  WriteFile(*temp_ / "roots/secret", "x", 0600);
  ASSERT_EQ(chmod((*temp_ / "roots").c_str(), 0700), 0);
  WriteFile(*temp_ / "secret", "x", 0600);
  AsUser([&](OwnerCalls*, const Branch& branch) {
    EXPECT_EQ(branch.Open(branch.root_fd(), "secret", O_RDONLY).error(), EACCES);
    EXPECT_EQ(branch.Stat(branch.root_fd(), "secret")->st_uid, 0u);
    ErrnoOr<UniqueFd> dir = branch.Open(branch.root_fd(), "roots", O_PATH | O_DIRECTORY);
    ASSERT_TRUE(dir.ok());
    EXPECT_EQ(branch.Stat(dir->get(), "secret").error(), EACCES);
    EXPECT_EQ(branch.ReadDir(dir->get()).error(), EACCES);
    EXPECT_EQ(branch.MkDir(dir->get(), "x", 0700), EACCES);
  });
}

TEST_F(OwnerBranchTest, ThreadsTakeTurns) {
  AsUser([&](OwnerCalls*, const Branch& branch) {
    WriteFile(*temp_ / "file", "text", 0);
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&] {
        for (int n = 0; n < 500; ++n) {
          EXPECT_TRUE(branch.Open(branch.root_fd(), "file", O_RDONLY).ok());
          EXPECT_EQ(branch.Open(branch.root_fd(), "none", O_RDONLY).error(), ENOENT);
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
  });
}

TEST_F(OwnerBranchTest, AKilledHelperIsEaccesNotAHang) {
  AsUser([&](OwnerCalls* calls, const Branch& branch) {
    WriteFile(*temp_ / "file", "text", 0);
    ErrnoOr<long> helper = calls->Call(SYS_getpid);
    ASSERT_TRUE(helper.ok());
    ASSERT_NE(*helper, getpid());
    ASSERT_EQ(kill(static_cast<pid_t>(*helper), SIGKILL), 0);
    EXPECT_EQ(branch.Open(branch.root_fd(), "file", O_RDONLY).error(), EACCES);
  });
}

TEST(OwnerCallsTest, RootNeedsNoHelper) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root";
  EXPECT_EQ(OwnerCalls::Start(), nullptr);
}

}  // namespace
}  // namespace acetate::fusefs
