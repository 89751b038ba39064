// What a confined process can still do, tried in children: a hostile daemon's attempts, and what an honest one needs.
#include "fusefs/confine.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <iterator>
#include <thread>

#include "common/syscalls.h"
#include "common/temp_dir.h"

namespace acetate::fusefs {
namespace {

constexpr uid_t kUser = 61236;

class ConfineTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (sys::LandlockVersion() < 2) GTEST_SKIP() << "this kernel has no Landlock of version 2 or later";
    for (const char* name : {"lower/dir", "upper/dir", "upper/other", "work", "run", "outside"}) MakeDirs(temp_ / name);
    for (const char* name : {"lower/file", "upper/file", "outside/file"}) WriteFile(temp_ / name, "text");
    ASSERT_EQ(symlink("../outside", (temp_ / "upper/link").c_str()), 0);
    options_.branches.resize(2);
    options_.branches[0].path = temp_ / "upper";
    options_.branches[0].workdir = temp_ / "work";
    options_.branches[0].mode = BranchMode::kReadWrite;
    options_.branches[1].path = temp_ / "lower";
    options_.control_path = temp_ / "run/socket";
  }

  void Enter(OwnerCalls* calls) {
    absl::StatusOr<std::vector<OpenedBranch>> opened = OpenBranches(options_);
    if (!opened.ok()) _exit(251);
    absl::StatusOr<Confinement> confinement = Confinement::Prepare(options_, *opened);
    if (!confinement.ok()) _exit(252);
    if (!confinement->Enter(calls).ok()) _exit(253);
  }

  // What `act` fails with in a confined child; 0 when it succeeds.
  int Confined(const std::function<long()>& act) {
    const pid_t child = fork();
    if (child == 0) {
      Enter(nullptr);
      _exit(act() < 0 ? errno : 0);
    }
    int status = -1;
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }

  std::string operator/(const std::string& name) const { return temp_ / name; }
  long Open(const std::string& name, int flags) const { return open((temp_ / name).c_str(), flags, 0644); }

  // Where another user can reach it.
  TempDir temp_ = (unsetenv("TEST_TMPDIR"), TempDir());
  Options options_;
};

TEST_F(ConfineTest, BranchesAreReadAndWrittenAsTheyWere) {
  EXPECT_EQ(Confined([&] { return Open("lower/file", O_RDONLY); }), 0);
  EXPECT_EQ(Confined([&] { return Open("lower/dir", O_RDONLY | O_DIRECTORY); }), 0);
  EXPECT_EQ(Confined([&] { return Open("upper/file", O_RDWR | O_TRUNC); }), 0);
  EXPECT_EQ(Confined([&] { return Open("upper/new", O_RDWR | O_CREAT); }), 0);
  EXPECT_EQ(Confined([&] { return mkdir((*this / "work/dir").c_str(), 0755); }), 0);
  EXPECT_EQ(Confined([&] { return mknod((*this / "work/whiteout").c_str(), S_IFCHR, 0); }), 0);
  EXPECT_EQ(Confined([&] { return mkfifo((*this / "work/fifo").c_str(), 0644); }), 0);
  EXPECT_EQ(Confined([&] { return symlink("x", (*this / "work/link").c_str()); }), 0);
  // From one directory to another, as a copy is published.
  EXPECT_EQ(Confined([&] { return rename((*this / "work/whiteout").c_str(), (*this / "upper/dir/w").c_str()); }), 0);
  EXPECT_EQ(Confined([&] { return rename((*this / "upper/dir").c_str(), (*this / "upper/other/dir").c_str()); }), 0);
  EXPECT_EQ(Confined([&] { return link((*this / "upper/file").c_str(), (*this / "upper/other/name").c_str()); }), 0);
  EXPECT_EQ(Confined([&] { return link((*this / "upper/file").c_str(), (*this / "work/name").c_str()); }), 0);
  EXPECT_EQ(Confined([&] { return unlink((*this / "work/fifo").c_str()); }), 0);
  EXPECT_EQ(Confined([&] { return rmdir((*this / "work/dir").c_str()); }), 0);
  EXPECT_EQ(Confined([&] { return truncate((*this / "upper/file").c_str(), 0); }), 0);
  // By way of an fd that cannot be read, as files are opened anew.
  EXPECT_EQ(Confined([&] {
              const long fd = Open("upper/file", O_PATH);
              return open(("/proc/self/fd/" + std::to_string(fd)).c_str(), O_RDWR);
            }),
            0);
  EXPECT_EQ(Confined([&] { return open("/proc/self/schedstat", O_RDONLY); }), 0);
}

TEST_F(ConfineTest, LowerLayersAreNotWritten) {
  EXPECT_EQ(Confined([&] { return Open("lower/file", O_RDWR); }), EACCES);
  EXPECT_EQ(Confined([&] { return Open("lower/new", O_WRONLY | O_CREAT); }), EACCES);
  EXPECT_EQ(Confined([&] { return mkdir((*this / "lower/new").c_str(), 0755); }), EACCES);
  EXPECT_EQ(Confined([&] { return unlink((*this / "lower/file").c_str()); }), EACCES);
  EXPECT_EQ(Confined([&] { return rmdir((*this / "lower/dir").c_str()); }), EACCES);
  EXPECT_EQ(Confined([&] { return rename((*this / "lower/file").c_str(), (*this / "upper/x").c_str()); }), EACCES);
  if (sys::LandlockVersion() >= 3) {
    EXPECT_EQ(Confined([&] { return truncate((*this / "lower/file").c_str(), 0); }), EACCES);
  }
}

TEST_F(ConfineTest, NothingElseIsReached) {
  EXPECT_EQ(Confined([&] { return Open("outside/file", O_RDONLY); }), EACCES);
  EXPECT_EQ(Confined([&] { return Open("outside", O_RDONLY | O_DIRECTORY); }), EACCES);
  EXPECT_EQ(Confined([&] { return Open("upper/link/file", O_RDONLY); }), EACCES);  // by a link of the branch
  EXPECT_EQ(Confined([&] { return Open("outside/new", O_WRONLY | O_CREAT); }), EACCES);
  EXPECT_EQ(Confined([&] { return link((*this / "outside/file").c_str(), (*this / "upper/file2").c_str()); }), EXDEV);
  EXPECT_EQ(Confined([&] { return rename((*this / "upper/file").c_str(), (*this / "outside/x").c_str()); }), EACCES);
  EXPECT_EQ(Confined([] { return open("/etc/passwd", O_RDONLY); }), EACCES);
  EXPECT_EQ(Confined([] { return open("/dev/null", O_RDWR); }), EACCES);
  EXPECT_EQ(Confined([] { return open("/proc/self/comm", O_WRONLY); }), EACCES);
  EXPECT_EQ(Confined([] { return open("/proc/sys/kernel/panic", O_WRONLY); }), EACCES);
}

TEST_F(ConfineTest, NothingIsExecuted) {
  EXPECT_EQ(Confined([] { return execl("/bin/true", "true", nullptr); }), EACCES);
  for (const char* name : {"lower/file", "upper/file"}) {
    const std::string path = *this / name;
    ASSERT_EQ(chmod(path.c_str(), 0755), 0);
    // It is no program; but that is not found out.
    EXPECT_EQ(Confined([&] { return execl(path.c_str(), "file", nullptr); }), EACCES) << name;
  }
}

TEST_F(ConfineTest, TheDirectoryOfTheSocketIsForSocketsAlone) {
  EXPECT_EQ(Confined([&] { return mknod((*this / "run/socket").c_str(), S_IFSOCK | 0600, 0); }), 0);
  EXPECT_EQ(Confined([&] { return unlink((*this / "run/socket").c_str()); }), 0);
  EXPECT_EQ(Confined([&] { return Open("run/file", O_WRONLY | O_CREAT); }), EACCES);
}

TEST_F(ConfineTest, NeitherMountsNorOtherProcessesNorTheNetworkAreReached) {
  EXPECT_EQ(Confined([&] { return mount("none", (*this / "upper/dir").c_str(), "tmpfs", 0, nullptr); }), EPERM);
  // The test itself, of the same user, is outside of the confinement.
  const pid_t test = getpid();
  EXPECT_EQ(Confined([&] { return open(("/proc/" + std::to_string(test) + "/mem").c_str(), O_RDONLY); }), EACCES);
  EXPECT_EQ(Confined([&] { return open(("/proc/" + std::to_string(test) + "/root/etc/passwd").c_str(), O_RDONLY); }),
            EACCES);
  if (sys::LandlockVersion() >= 6) {
    EXPECT_EQ(Confined([&] { return kill(test, 0); }), EPERM);
  }
  if (sys::LandlockVersion() < 4) return;
  EXPECT_EQ(Confined([] {
              sockaddr_in address = {};
              address.sin_family = AF_INET;
              address.sin_port = htons(9);
              address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
              const int fd = socket(AF_INET, SOCK_STREAM, 0);
              return connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address));
            }),
            EACCES);
}

TEST_F(ConfineTest, LaterThreadsAreConfinedToo) {
  EXPECT_EQ(Confined([&] {
              long fd = 0;
              int error = 0;
              std::thread([&] {
                fd = open("/etc/passwd", O_RDONLY);
                error = errno;
              }).join();
              errno = error;
              return fd;
            }),
            EACCES);
}

TEST_F(ConfineTest, TheHelperIsConfinedToo) {
  if (geteuid() != 0) GTEST_SKIP() << "becomes another user: needs root";
  ASSERT_EQ(chmod(temp_.path().c_str(), 0755), 0);
  WriteFile(temp_ / "upper/closed", "text", 0);
  WriteFile(temp_ / "outside/closed", "text", 0);
  for (const char* name :
       {"lower", "lower/file", "upper", "upper/file", "upper/closed", "work", "run", "outside/closed"}) {
    ASSERT_EQ(chown((temp_ / name).c_str(), kUser, kUser), 0);
  }
  const pid_t child = fork();
  if (child == 0) {
    if (setresgid(kUser, kUser, kUser) != 0 || setresuid(kUser, kUser, kUser) != 0) _exit(99);
    // A process that has changed its user cannot be looked into, not even by itself; the helper's maps are written
    // there.
    prctl(PR_SET_DUMPABLE, 1);
    const std::unique_ptr<OwnerCalls> calls = OwnerCalls::Start();
    if (calls == nullptr) _exit(98);
    const std::string outside = *this / "outside/closed";
    const std::string inside = *this / "upper/closed";
    auto open_by_helper = [&](const std::string& path) {
      return calls->Call(SYS_openat, AT_FDCWD, path.c_str(), O_RDONLY | O_CLOEXEC, 0);
    };
    // Its power over its user's files...
    if (!open_by_helper(outside).ok()) _exit(1);
    Enter(calls.get());
    // ... ends at the branches.
    if (!open_by_helper(inside).ok()) _exit(2);
    if (!(open_by_helper(outside).error() == EACCES)) _exit(3);
    if (open(outside.c_str(), O_RDONLY) >= 0) _exit(4);
    _exit(0);  // without the destructor: whether it can end the helper, the daemon's tests show
  }
  int status = -1;
  waitpid(child, &status, 0);
  ASSERT_TRUE(WIFEXITED(status));
  if (WEXITSTATUS(status) == 98) GTEST_SKIP() << "users may make no user namespaces here";
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

// Has the kernel answer as one without Landlock, or with one that is switched off, does.
void ForgetLandlock(int error) {
  const sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_landlock_create_ruleset, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | static_cast<unsigned>(error)),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog program = {std::size(code), const_cast<sock_filter*>(code)};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) != 0) {
    _exit(254);
  }
}

TEST_F(ConfineTest, WhereThereIsNoLandlockItGoesOn) {
  for (const int error : {ENOSYS, EOPNOTSUPP}) {
    const pid_t child = fork();
    if (child == 0) {
      ForgetLandlock(error);
      if (sys::LandlockVersion() != 0) _exit(1);
      Enter(nullptr);
      _exit(Open("outside/file", O_RDONLY) >= 0 ? 0 : 2);
    }
    int status = -1;
    waitpid(child, &status, 0);
    EXPECT_TRUE(WIFEXITED(status));
    EXPECT_EQ(WEXITSTATUS(status), 0) << strerrorname_np(error);
  }
}

TEST_F(ConfineTest, AWorkDirectoryThatIsToBeMadeIsRefused) {
  options_.branches[0].workdir = temp_ / "new";
  options_.branches[0].make_workdir = true;
  absl::StatusOr<std::vector<OpenedBranch>> opened = OpenBranches(options_);
  ASSERT_TRUE(opened.ok()) << opened.status();
  const absl::StatusOr<Confinement> confinement = Confinement::Prepare(options_, *opened);
  EXPECT_EQ(confinement.status().message(),
            "confine: the work directory '" + (temp_ / "new") + "' does not exist; make it, or give workdir=");
}

}  // namespace
}  // namespace acetate::fusefs
