#include "launcher/fake_id_filter.h"

#include <linux/audit.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>

namespace acetate::launcher {
namespace {

#if defined(__x86_64__)
constexpr uint32_t kNative = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr uint32_t kNative = AUDIT_ARCH_AARCH64;
#else
#error "fake_id_filter: the name of this architecture is missing"
#endif

constexpr int kIdCalls[] = {SYS_setuid,   SYS_setgid,    SYS_setreuid,  SYS_setregid, SYS_setresuid, SYS_setresgid,
                            SYS_setfsuid, SYS_setfsgid,  SYS_setgroups, SYS_getuid,   SYS_geteuid,   SYS_getgid,
                            SYS_getegid,  SYS_getresuid, SYS_getresgid, SYS_getgroups};

// A call that gives a file away, and which of its arguments is the user; the group is the next.
struct Giving {
  int number;
  uint32_t user;
};
constexpr Giving kGiving[] = {
#ifdef SYS_chown
    {SYS_chown, 1},
    {SYS_lchown, 1},
#endif
    {SYS_fchown, 1},
    {SYS_fchownat, 2},
};

sock_filter Load(size_t offset) { return BPF_STMT(BPF_LD | BPF_W | BPF_ABS, static_cast<uint32_t>(offset)); }
sock_filter IfEqual(uint32_t value, uint8_t then, uint8_t otherwise) {
  return BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, then, otherwise);
}
sock_filter Give(uint32_t action) { return BPF_STMT(BPF_RET | BPF_K, action); }

// The low half, which is all that the kernel takes of an id: little endian.
constexpr size_t Argument(uint32_t index) { return offsetof(seccomp_data, args) + index * sizeof(uint64_t); }

}  // namespace

SeccompProgram FakeIdFilter(bool chown) {
  constexpr uint32_t kNone = 0xffffffff;  // leaves it as it is
  const sock_filter ask = Give(SECCOMP_RET_USER_NOTIF);
  const sock_filter pass = Give(SECCOMP_RET_ALLOW);
  SeccompProgram program = {Load(offsetof(seccomp_data, arch)), IfEqual(kNative, 1, 0), pass,
                            Load(offsetof(seccomp_data, nr))};
  for (int number : kIdCalls) {
    program.push_back(IfEqual(static_cast<uint32_t>(number), 0, 1));
    program.push_back(ask);
  }
  // Who keeps root's capabilities over the change may go on changing ids.
  const sock_filter keeping[] = {IfEqual(SYS_prctl, 0, 4), Load(Argument(0)), IfEqual(PR_SET_KEEPCAPS, 0, 1), ask,
                                 pass};
  program.insert(program.end(), std::begin(keeping), std::end(keeping));
  for (const Giving& call : kGiving) {
    if (!chown) break;
    const sock_filter block[] = {IfEqual(static_cast<uint32_t>(call.number), 0, 9),
                                 Load(Argument(call.user)),
                                 IfEqual(0, 2, 0),
                                 IfEqual(kNone, 1, 0),
                                 ask,
                                 Load(Argument(call.user + 1)),
                                 IfEqual(0, 2, 0),
                                 IfEqual(kNone, 1, 0),
                                 ask,
                                 pass};
    program.insert(program.end(), std::begin(block), std::end(block));
  }
  program.push_back(pass);
  return program;
}

ErrnoOr<UniqueFd> InstallFakeIdFilter(const SeccompProgram& program) {
  const sock_fprog filter = {static_cast<unsigned short>(program.size()), const_cast<sock_filter*>(program.data())};
  // With the second flag (Linux 5.19) signals do not interrupt, and so repeat, what is being answered.
  for (unsigned long flags :
       {SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, SECCOMP_FILTER_FLAG_NEW_LISTENER}) {
    UniqueFd listener(static_cast<int>(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &filter)));
    if (listener.valid()) return listener;
    if (errno != EINVAL) break;
  }
  return Errno::Last();
}

}  // namespace acetate::launcher
