// Filters, installed in a child that then makes system calls.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "launcher/capabilities.h"
#include "launcher/seccomp_filter.h"

namespace acetate::launcher {
namespace {

// What `call` fails with in a child under the filter; 0 when it succeeds. -SIGNAL when the child is killed.
template <typename Call>
int Under(const absl::StatusOr<std::vector<SeccompProgram>>& filter, const Call& call) {
  EXPECT_TRUE(filter.ok()) << filter.status();
  if (!filter.ok()) return -1;
  const pid_t child = fork();
  if (child == 0) {
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || !InstallSeccompFilter(*filter).ok()) _exit(255);
    _exit(call() < 0 ? errno : 0);
  }
  int status = -1;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

template <typename Call>
int UnderDefault(const Call& call, uint64_t capabilities = kDefaultCapabilities) {
  return Under(DefaultSeccompFilter(capabilities), call);
}

TEST(SeccompTest, OrdinaryCallsAreLetThrough) {
  EXPECT_EQ(UnderDefault([] { return syscall(SYS_getpid); }), 0);
  EXPECT_EQ(UnderDefault([] { return open("/dev/null", O_RDWR); }), 0);
  EXPECT_EQ(UnderDefault([] { return socket(AF_UNIX, SOCK_STREAM, 0); }), 0);
  EXPECT_EQ(UnderDefault([] {
              return syscall(SYS_clone, SIGCHLD, nullptr, nullptr, nullptr, nullptr) == 0 ? (_exit(0), 0) : 0;
            }),
            0);
  EXPECT_EQ(UnderDefault([] { return syscall(SYS_ptrace, 0, 0, 0, 0); }), 0);  // PTRACE_TRACEME
}

TEST(SeccompTest, WhatReachesBeyondTheContainerIsRefused) {
  EXPECT_EQ(UnderDefault([] { return syscall(SYS_mount, "", "", "", 0, ""); }), EPERM);
  EXPECT_EQ(UnderDefault([] { return syscall(SYS_umount2, "/nowhere", 0); }), EPERM);
  EXPECT_EQ(UnderDefault([] { return unshare(0); }), EPERM);
  EXPECT_EQ(UnderDefault([] { return syscall(SYS_setns, -1, 0); }), EPERM);
  EXPECT_EQ(UnderDefault([] { return syscall(SYS_keyctl, 0, 0, 0, 0, 0); }), EPERM);
  EXPECT_EQ(UnderDefault([] { return syscall(SYS_bpf, 0, nullptr, 0); }), EPERM);
  EXPECT_EQ(UnderDefault([] { return syscall(SYS_io_uring_setup, 0, nullptr); }), EPERM);
  EXPECT_EQ(UnderDefault([] { return syscall(SYS_userfaultfd, 0); }), EPERM);
  EXPECT_EQ(UnderDefault([] { return syscall(SYS_open_by_handle_at, -1, nullptr, 0); }), EPERM);
  EXPECT_EQ(UnderDefault([] { return syscall(SYS_process_vm_readv, 0, nullptr, 0, nullptr, 0, 0); }), EPERM);
  EXPECT_EQ(UnderDefault([] { return socket(AF_VSOCK, SOCK_STREAM, 0); }), EPERM);
}

TEST(SeccompTest, NamespacesAreNotMadeByAnyDoor) {
  for (const int flag :
       {CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET}) {
    EXPECT_EQ(UnderDefault([flag] { return syscall(SYS_clone, flag | SIGCHLD, nullptr, nullptr, nullptr, nullptr); }),
              EPERM)
        << flag;
  }
  EXPECT_EQ(UnderDefault([] { return syscall(SYS_clone3, nullptr, 0); }), ENOSYS);
}

TEST(SeccompTest, InputIsNotPutIntoATerminal) {
  char byte = 'x';
  EXPECT_EQ(UnderDefault([&] { return ioctl(0, TIOCSTI, &byte); }), EPERM);
  // The kernel drops the upper half.
  EXPECT_EQ(UnderDefault([&] { return syscall(SYS_ioctl, 0, uint64_t{TIOCSTI} | uint64_t{1} << 40, &byte); }), EPERM);
  EXPECT_EQ(UnderDefault([&] { return ioctl(-1, TIOCSTI + 1, &byte); }), EBADF);
}

TEST(SeccompTest, PersonalitiesThatWeakenAProcessAreRefused) {
  EXPECT_EQ(UnderDefault([] { return personality(0xffffffff); }), 0);
  EXPECT_EQ(UnderDefault([] { return personality(PER_LINUX); }), 0);
  EXPECT_EQ(UnderDefault([] { return personality(PER_LINUX32); }), 0);
  EXPECT_EQ(UnderDefault([] { return personality(UNAME26); }), 0);
  EXPECT_EQ(UnderDefault([] { return personality(ADDR_NO_RANDOMIZE); }), EPERM);
  EXPECT_EQ(UnderDefault([] { return personality(READ_IMPLIES_EXEC); }), EPERM);
}

TEST(SeccompTest, CallsOfTheFutureAreThoseOfAnOlderKernel) {
  EXPECT_EQ(UnderDefault([] { return syscall(467); }), ENOSYS);
  EXPECT_EQ(UnderDefault([] { return syscall(100000); }), ENOSYS);
}

TEST(SeccompTest, ACapabilityOpensWhatItIsFor) {
  const uint64_t admin = kDefaultCapabilities | uint64_t{1} << CAP_SYS_ADMIN;
  EXPECT_EQ(UnderDefault([] { return unshare(0); }, admin), 0);
  EXPECT_NE(UnderDefault([] { return syscall(SYS_clone3, nullptr, 0); }, admin), ENOSYS);
  EXPECT_EQ(UnderDefault([] { return syscall(SYS_keyctl, 0, 0, 0, 0, 0); }, admin), EPERM);
  EXPECT_EQ(UnderDefault([] { return chroot("/nowhere"); }, 0), EPERM);
  EXPECT_EQ(UnderDefault([] { return chroot("/nowhere"); }), ENOENT);
}

TEST(SeccompTest, AProfileInDockersFormat) {
  const auto filter = SeccompFilterOf(R"({
    "defaultAction": "SCMP_ACT_ALLOW",
    "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"]}],
    "syscalls": [
      {"names": ["getppid", "no_such_call"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95},
      {"name": "getpgrp", "action": "SCMP_ACT_KILL_PROCESS"},
      {"names": ["chroot"], "action": "SCMP_ACT_ERRNO", "excludes": {"caps": ["CAP_SYS_CHROOT"]}},
      {"names": ["sync"], "action": "SCMP_ACT_ERRNO", "includes": {"minKernel": "2.6"}},
      {"names": ["getuid"], "action": "SCMP_ACT_ERRNO", "includes": {"minKernel": "999.0"}},
      {"names": ["getgid"], "action": "SCMP_ACT_ERRNO", "includes": {"arches": ["s390"]}},
      {"names": ["getpriority"], "action": "SCMP_ACT_ERRNO",
       "args": [{"index": 0, "value": 7, "op": "SCMP_CMP_EQ"}, {"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}]},
      {"names": ["socket"], "action": "SCMP_ACT_ERRNO",
       "args": [{"index": 1, "value": 15, "valueTwo": 2, "op": "SCMP_CMP_MASKED_EQ"}]}
    ]})",
                                      kDefaultCapabilities);
  EXPECT_EQ(Under(filter, [] { return syscall(SYS_getppid); }), 95);
  EXPECT_EQ(Under(filter, [] { return syscall(SYS_getpgrp); }), -SIGSYS);
  EXPECT_EQ(Under(filter, [] { return chroot("/nowhere"); }), ENOENT);
  EXPECT_EQ(Under(filter, [] { return syscall(SYS_sync); }), EPERM);
  EXPECT_EQ(Under(filter, [] { return syscall(SYS_getuid) < 0 ? -1 : 0; }), 0);
  EXPECT_EQ(Under(filter, [] { return syscall(SYS_getgid) < 0 ? -1 : 0; }), 0);
  EXPECT_EQ(Under(filter, [] { return syscall(SYS_getpriority, 1, 0) < 0 ? -1 : 0; }), EPERM);
  EXPECT_EQ(Under(filter, [] { return syscall(SYS_getpriority, 0, 0) < 0 ? -1 : 0; }), 0);
  EXPECT_EQ(Under(filter, [] { return socket(AF_UNIX, SOCK_DGRAM, 0); }), EPERM);
  EXPECT_EQ(Under(filter, [] { return socket(AF_UNIX, SOCK_STREAM, 0); }), 0);
}

TEST(SeccompTest, WhatIsNoProfileIsSaid) {
  const std::pair<const char*, const char*> rows[] = {
      {"", "is no profile"},
      {"[]", "is no profile"},
      {R"({"syscalls": []})", "defaultAction"},
      {R"({"defaultAction": "SCMP_ACT_NOTIFY"})", "knows no action SCMP_ACT_NOTIFY"},
      {R"({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["sync"]}]})", "action"},
      {R"({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["sync"], "action": "SCMP_ACT_ERRNO",
           "args": [{"index": 6, "value": 0, "op": "SCMP_CMP_EQ"}]}]})",
       "argument 6"},
      {R"({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["sync"], "action": "SCMP_ACT_ERRNO",
           "args": [{"index": 0, "value": 0, "op": "EQ"}]}]})",
       "\"EQ\""},
  };
  for (const auto& [text, what] : rows) {
    const auto filter = SeccompFilterOf(text, 0);
    ASSERT_FALSE(filter.ok()) << text;
    EXPECT_NE(filter.status().message().find(what), std::string::npos) << filter.status();
    EXPECT_EQ(filter.status().message().find('\n'), std::string::npos);
  }
}

}  // namespace
}  // namespace acetate::launcher
