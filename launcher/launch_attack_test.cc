// What a hostile program in a container tries against the kernel, the machine and other processes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/keyctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include <cstddef>
#include <cstring>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/temp_dir.h"
#include "common/unique_fd.h"
#include "launcher/attack_test.h"
#include "launcher/terminal_user.h"

namespace acetate::launcher {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// The calls that attacker makes, each with the same answer.
std::string AllAnswer(const std::string& answer) {
  std::string text;
  for (const char* name :
       {"add_key", "keyctl", "request_key", "io_uring_setup", "userfaultfd", "kcmp", "process_vm_readv", "pidfd_getfd",
        "unshare", "setns", "open_tree", "fsopen", "open_by_handle_at", "perf_event_open"}) {
    absl::StrAppend(&text, name, ": ", answer, "\n");
  }
  return text;
}

class KernelAttackTest : public AttackTest {};
ACETATE_FOR_EACH_USER(KernelAttackTest);

TEST_P(KernelAttackTest, FilteredCallsAreRefused) {
  EXPECT_EQ(Attack({}, {"calls"}), AllAnswer("EPERM"));
  // The attack itself is sound: without a filter they get further.
  EXPECT_THAT(Attack({"--security-opt", "seccomp=unconfined"}, {"calls"}), HasSubstr("io_uring_setup: EFAULT\n"));
}

#if defined(__x86_64__)
TEST_P(KernelAttackTest, FilteredCallsAreRefusedByTheDoorOfThirtyTwoBitPrograms) {
  if (host_->Exec({*host_ / "image/base/bin/attacker", "calls32"}).out == AllAnswer("SEGV")) {
    GTEST_SKIP() << "this kernel runs no 32-bit programs";
  }
  EXPECT_EQ(Attack({}, {"calls32"}), AllAnswer("EPERM"));
}

TEST_P(KernelAttackTest, CallsByX32NumbersKill) { EXPECT_EQ(Attack({}, {"callsx32"}), AllAnswer("SYS")); }
#endif

TEST_P(KernelAttackTest, AFurtherCommandIsFilteredAlike) {
  StartBox({}, {"sleep", "1000"});
  EXPECT_EQ(Exec({}, {"attacker", "calls"}).out, AllAnswer("EPERM"));
}

TEST_P(KernelAttackTest, NothingIsTypedIntoTheUsersTerminal) {
  const std::string refused =
      "TIOCSTI: EPERM\r\nTIOCSTI with high bits: EPERM\r\nTIOCSTI with all high bits: EPERM\r\nTIOCLINUX: "
      "EPERM\r\nTIOCLINUX with high bits: EPERM\r\nTIOCSCTTY: ";
  // On its own terminal, which it may have for a controlling one, and on the user's, which it may not.
  TerminalUser own(host_.get(), {"--rm", "-it", "--image", host_->image(), "attacker", "type"});
  EXPECT_EQ(own.WaitForEnd().status, 0);
  EXPECT_THAT(own.seen(), HasSubstr(refused + "done\r\n"));
  TerminalUser users(host_.get(), {"--rm", "--image", host_->image(), "attacker", "type"});
  EXPECT_EQ(users.WaitForEnd().status, 0);
  EXPECT_THAT(users.seen(), HasSubstr(refused + "EPERM\r\n"));
}

// Keys are found by who has the session, whatever namespace they are in.
TEST_P(KernelAttackTest, KeysOfTheUsersSessionAreOutOfReach) {
  // Into the keyring of this process's session, which launch inherits.
  ASSERT_GE(syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, nullptr), 0);
  const long key = syscall(SYS_add_key, "user", "acetate-test", "secret", 6UL, KEY_SPEC_SESSION_KEYRING);
  ASSERT_GT(key, 0) << strerror(errno);
  constexpr unsigned kAllMay = 0x3f3f3f3f;
  ASSERT_EQ(syscall(SYS_keyctl, KEYCTL_SETPERM, key, kAllMay), 0);
  ASSERT_EQ(syscall(SYS_keyctl, KEYCTL_SETPERM, syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 0),
                    kAllMay),
            0);
  const std::string attacker = *host_ / "image/base/bin/attacker";
  ASSERT_EQ(host_->Exec({attacker, "find-key", "acetate-test"}).out, "key: done\n");
  const std::vector<std::string> unfiltered = {"--security-opt", "seccomp=unconfined"};
  EXPECT_EQ(Attack(unfiltered, {"find-key", "acetate-test"}), "key: ENOKEY\n");
}

TEST_P(KernelAttackTest, NoSettingOfTheKernelCanBeWritten) {
  std::vector<std::string> written;
  for (const char* top : {"/proc", "/sys"}) {
    for (absl::string_view line : absl::StrSplit(Attack({}, {"write-all", top}), '\n', absl::SkipEmpty())) {
      written.emplace_back(line);
    }
  }
  EXPECT_THAT(written, ::testing::IsEmpty());
}

TEST_P(KernelAttackTest, NoDeviceCanBeMade) {
  EXPECT_EQ(Attack({}, {"make-nodes", "/dev"}),
            "mknod /dev/mem: EPERM\nmknod /dev/fuse: EPERM\nmknod /dev/kmsg: EPERM\nmknod /dev/disk: EPERM\n");
  EXPECT_EQ(Attack({}, {"make-nodes", "/tmp"}),
            "mknod /tmp/mem: EPERM\nmknod /tmp/fuse: EPERM\nmknod /tmp/kmsg: EPERM\nmknod /tmp/disk: EPERM\n");
}

TEST_P(KernelAttackTest, ChrootDoesNotLeadOut) {
  const std::string out = Attack({}, {"leave-by-chroot"});
  EXPECT_THAT(out, HasSubstr("chroot: done\n"));
  // The container's own root again.
  EXPECT_THAT(out, HasSubstr("\nbin\n"));
  for (const char* of_the_host : {"\nboot\n", "\nhome\n", "\nusr\n", "\nlib\n", "\nmnt\n"}) {
    EXPECT_THAT(out, Not(HasSubstr(of_the_host)));
  }
}

TEST_P(KernelAttackTest, TheHostsTreeIsNowhere) {
  // Which paths of the host the mounts come from: nothing of the image, the store or the runtime directory.
  const Result result = host_->Shell({"--rm"},
                                     "cat /proc/self/mountinfo /proc/1/mountinfo /proc/mounts; readlink /proc/1/cwd; "
                                     "readlink /proc/1/root; ls -d /proc/1/root/* /proc/1/cwd/*");
  EXPECT_THAT(result.out, Not(HasSubstr(host_->path()))) << result;
  EXPECT_THAT(result.out, Not(HasSubstr("acetate-launch")));
  EXPECT_THAT(result.out, Not(HasSubstr("cgroup")));
  EXPECT_THAT(result.out, HasSubstr("\n/\n/\n/proc/1/cwd/bin\n"));
  for (const std::string& path : {host_->path(), host_->store(), host_->runtime()}) {
    EXPECT_EQ(host_->Shell({"--rm"}, "ls -d " + path).status, 1) << path;
  }
}

TEST_P(KernelAttackTest, SocketsOfTheHostAreOutOfReach) {
  const std::string name = "acetate-attack-" + std::to_string(getpid());
  UniqueFd listener(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  memcpy(address.sun_path + 1, name.data(), name.size());
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
  ASSERT_EQ(bind(listener.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
  ASSERT_EQ(listen(listener.get(), 8), 0);
  ASSERT_EQ(host_->Exec({*host_ / "image/base/bin/attacker", "connect", name}).out, "connect: done\n");
  EXPECT_EQ(Attack({}, {"connect", name}), "connect: ECONNREFUSED\n");
}

TEST_P(KernelAttackTest, WhereOneIdIsMappedGroupsCannotBeDropped) {
  // A group may only restrict; who could leave it would have more.
  const std::string out = Attack({}, {"set-groups"});
  EXPECT_EQ(out, HasOneId() ? "setgroups: EPERM\nno groups: EPERM\nallow: EACCES\n"
                            : "setgroups: done\nno groups: done\nallow: EACCES\n");
}

TEST_P(KernelAttackTest, SetuidProgramsGiveNothing) {
  if (HasOneId()) GTEST_SKIP() << "this user has no other ids";
  ASSERT_EQ(chmod((*host_ / "image/base/bin/busybox").c_str(), 04755), 0);
  // Not by the filter alone, which needs no_new_privs itself.
  for (const char* filter : {"seccomp=unconfined", "no-new-privileges"}) {
    const Result result = host_->Run({"--rm", "-u", "www", "--security-opt", filter},
                                     {"sh", "-c", "stat -c %a /bin/busybox; id -u; grep CapEff /proc/self/status"});
    EXPECT_EQ(result.out, "4755\n33\nCapEff:\t0000000000000000\n") << result;
  }
}

// What each stands for is known: nothing of launch's is among them.
TEST_P(KernelAttackTest, EveryFdIsAccountedFor) {
  const std::string list = "for f in /proc/$$/fd/*; do test -L $f && { echo -n \"$f \"; readlink $f; }; done; echo all";
  StartBox({}, {"sh", "-c", list + "; sleep 1000"});
  std::string log;
  ASSERT_TRUE(Eventually([&] { return absl::StrContains(log = host_->Launch({"logs", "box"}).out, "all\n"); }));
  EXPECT_THAT(log, ::testing::MatchesRegex(
                       "/proc/1/fd/0 /dev/null\n/proc/1/fd/1 pipe:.[0-9]+.\n/proc/1/fd/2 pipe:.[0-9]+.\nall\n"));
  const Result detached = Exec({"-d"}, {"sh", "-c", "exec >/tmp/fds; " + list});
  EXPECT_EQ(detached.status, 0) << detached;
  std::string fds;
  ASSERT_TRUE(Eventually([&] { return absl::StrContains(fds = Exec({}, {"cat", "/tmp/fds"}).out, "all\n"); }));
  EXPECT_THAT(fds, ::testing::MatchesRegex(
                       "/proc/[0-9]+/fd/0 /dev/null\n/proc/[0-9]+/fd/1 /tmp/fds\n/proc/[0-9]+/fd/2 /dev/null\nall\n"));

  TerminalUser user(host_.get(), {"exec", "-it", "box", "sh", "-c", list});
  EXPECT_EQ(user.WaitForEnd().status, 0);
  EXPECT_THAT(user.seen(), ::testing::ContainsRegex("^(/proc/[0-9]+/fd/[012] /dev/pts/0\r\n){3}all\r\n.launch ended"));
}

}  // namespace
}  // namespace acetate::launcher
