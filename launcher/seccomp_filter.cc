#include "launcher/seccomp_filter.h"

#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>

#include "common/unique_fd.h"
#include "launcher/seccomp_rules.h"

namespace acetate::launcher {
namespace {

constexpr uint64_t Cap(int capability) { return uint64_t{1} << capability; }

// A system call that is refused unless the container has one of the capabilities; 0: always.
struct Refused {
  const char* name;
  uint64_t unless;
};

// What Docker's default profile does not let through.
constexpr Refused kRefused[] = {
    // Keys are not kept apart by namespaces.
    {"add_key", 0},
    {"keyctl", 0},
    {"request_key", 0},
    // Other kernels, and old or never finished doors into this one.
    {"kexec_load", 0},
    {"kexec_file_load", 0},
    {"_sysctl", 0},
    {"afs_syscall", 0},
    {"create_module", 0},
    {"get_kernel_syms", 0},
    {"getpmsg", 0},
    {"nfsservctl", 0},
    {"putpmsg", 0},
    {"query_module", 0},
    {"security", 0},
    {"sysfs", 0},
    {"tuxcall", 0},
    {"uselib", 0},
    {"ustat", 0},
    {"vm86", 0},
    {"vm86old", 0},
    {"vserver", 0},
    // Often the way into the kernel.
    {"io_uring_enter", 0},
    {"io_uring_register", 0},
    {"io_uring_setup", 0},
    {"userfaultfd", 0},
    {"migrate_pages", 0},
    {"move_pages", 0},
    // Mounts and namespaces.
    {"fsconfig", Cap(CAP_SYS_ADMIN)},
    {"fsmount", Cap(CAP_SYS_ADMIN)},
    {"fsopen", Cap(CAP_SYS_ADMIN)},
    {"fspick", Cap(CAP_SYS_ADMIN)},
    {"mount", Cap(CAP_SYS_ADMIN)},
    {"mount_setattr", Cap(CAP_SYS_ADMIN)},
    {"move_mount", Cap(CAP_SYS_ADMIN)},
    {"open_tree", Cap(CAP_SYS_ADMIN)},
    {"pivot_root", Cap(CAP_SYS_ADMIN)},
    {"setns", Cap(CAP_SYS_ADMIN)},
    {"umount", Cap(CAP_SYS_ADMIN)},
    {"umount2", Cap(CAP_SYS_ADMIN)},
    {"unshare", Cap(CAP_SYS_ADMIN)},
    // The machine and what it tells.
    {"acct", Cap(CAP_SYS_PACCT)},
    {"bpf", Cap(CAP_SYS_ADMIN) | Cap(CAP_BPF)},
    {"chroot", Cap(CAP_SYS_CHROOT)},
    {"clock_adjtime", Cap(CAP_SYS_TIME)},
    {"clock_adjtime64", Cap(CAP_SYS_TIME)},
    {"clock_settime", Cap(CAP_SYS_TIME)},
    {"clock_settime64", Cap(CAP_SYS_TIME)},
    {"delete_module", Cap(CAP_SYS_MODULE)},
    {"fanotify_init", Cap(CAP_SYS_ADMIN)},
    {"finit_module", Cap(CAP_SYS_MODULE)},
    {"get_mempolicy", Cap(CAP_SYS_NICE)},
    {"init_module", Cap(CAP_SYS_MODULE)},
    {"ioperm", Cap(CAP_SYS_RAWIO)},
    {"iopl", Cap(CAP_SYS_RAWIO)},
    {"lookup_dcookie", Cap(CAP_SYS_ADMIN)},
    {"mbind", Cap(CAP_SYS_NICE)},
    {"open_by_handle_at", Cap(CAP_DAC_READ_SEARCH)},
    {"perf_event_open", Cap(CAP_SYS_ADMIN) | Cap(CAP_PERFMON)},
    {"quotactl", Cap(CAP_SYS_ADMIN)},
    {"quotactl_fd", Cap(CAP_SYS_ADMIN)},
    {"reboot", Cap(CAP_SYS_BOOT)},
    {"set_mempolicy", Cap(CAP_SYS_NICE)},
    {"set_mempolicy_home_node", Cap(CAP_SYS_NICE)},
    {"setdomainname", Cap(CAP_SYS_ADMIN)},
    {"sethostname", Cap(CAP_SYS_ADMIN)},
    {"settimeofday", Cap(CAP_SYS_TIME)},
    {"stime", Cap(CAP_SYS_TIME)},
    {"swapoff", Cap(CAP_SYS_ADMIN)},
    {"swapon", Cap(CAP_SYS_ADMIN)},
    {"syslog", Cap(CAP_SYS_ADMIN) | Cap(CAP_SYSLOG)},
    {"vhangup", Cap(CAP_SYS_TTY_CONFIG)},
    // Other processes' memory and files.
    {"kcmp", Cap(CAP_SYS_PTRACE)},
    {"pidfd_getfd", Cap(CAP_SYS_PTRACE)},
    {"process_madvise", Cap(CAP_SYS_PTRACE)},
    {"process_vm_readv", Cap(CAP_SYS_PTRACE)},
    {"process_vm_writev", Cap(CAP_SYS_PTRACE)},
};

// The last system call of Linux 6.13 (removexattrat). All architectures count alike from 424 on.
constexpr uint32_t kLastKnown = 466;

// What takes an argument apart in ways that libseccomp has no rule for, and what is newer than the list.
SeccompProgram ByNumber() {
#if defined(__x86_64__)
  constexpr uint32_t kNative = AUDIT_ARCH_X86_64;
  constexpr uint32_t kNativePersonality = 135;
  constexpr uint32_t kOtherPersonality = 136;  // i386
#elif defined(__aarch64__)
  constexpr uint32_t kNative = AUDIT_ARCH_AARCH64;
  constexpr uint32_t kNativePersonality = 92;
  constexpr uint32_t kOtherPersonality = 136;  // arm
#else
#error "seccomp_filter: the numbers of this architecture are missing"
#endif
  // Of Linux, of BSD's and of 32-bit machines' address space (PER_LINUX32, UNAME26); all bits ask what is in force.
  constexpr uint32_t kHarmless = 0x20008;
  constexpr uint32_t kAsk = 0xffffffff;
  auto load = [](size_t offset) {
    return sock_filter(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, static_cast<uint32_t>(offset)));
  };
  auto give = [](uint32_t action) { return sock_filter(BPF_STMT(BPF_RET | BPF_K, action)); };
  return {
      load(offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, kLastKnown, 0, 1),
      give(SECCOMP_RET_ERRNO | ENOSYS),
      load(offsetof(seccomp_data, arch)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, kNative, 0, 2),
      load(offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, kNativePersonality, 2, 5),
      load(offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, kOtherPersonality, 0, 3),
      load(offsetof(seccomp_data, args)),  // the low half: little endian
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, kAsk, 1, 0),
      BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, ~kHarmless, 1, 0),
      give(SECCOMP_RET_ALLOW),
      give(SECCOMP_RET_ERRNO | EPERM),
  };
}

}  // namespace

absl::StatusOr<std::vector<SeccompProgram>> DefaultSeccompFilter(uint64_t capabilities) {
  absl::StatusOr<SeccompRules> made = SeccompRules::Make(SCMP_ACT_ALLOW);
  if (!made.ok()) return made.status();
  SeccompRules& rules = *made;
  constexpr uint32_t kRefuse = SCMP_ACT_ERRNO(EPERM);
  rules.AddThirtyTwoBit();
  for (const Refused& call : kRefused) {
    if ((call.unless & capabilities) == 0) rules.Add(call.name, kRefuse, {});
  }
  if ((capabilities & Cap(CAP_SYS_ADMIN)) == 0) {
    constexpr uint64_t kNamespaces[] = {CLONE_NEWNS,   CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC,
                                        CLONE_NEWUSER, CLONE_NEWPID,    CLONE_NEWNET};
    for (uint64_t flag : kNamespaces) rules.Add("clone", kRefuse, {SCMP_A0(SCMP_CMP_MASKED_EQ, flag, flag)});
    // Its flags are in memory, where no filter sees them; libraries go back to clone.
    rules.Add("clone3", SCMP_ACT_ERRNO(ENOSYS), {});
  }
  // Not kept apart by namespaces: they reach the hypervisor.
  rules.Add("socket", kRefuse, {SCMP_A0(SCMP_CMP_EQ, AF_VSOCK)});
  // The kernel looks at the low half of the number alone.
  for (uint64_t number : {uint64_t{TIOCSTI}, uint64_t{TIOCLINUX}}) {
    rules.Add("ioctl", kRefuse, {SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffff, number)});
  }
  absl::StatusOr<SeccompProgram> program = rules.Compile();
  if (!program.ok()) return program.status();
  return std::vector<SeccompProgram>{*std::move(program), ByNumber()};
}

Errno InstallSeccompFilter(const std::vector<SeccompProgram>& programs) {
  for (const SeccompProgram& program : programs) {
    const sock_fprog filter = {static_cast<unsigned short>(program.size()), const_cast<sock_filter*>(program.data())};
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter, 0, 0) != 0) return Errno::Last();
  }
  return kOk;
}

}  // namespace acetate::launcher
