#include "fusefs/owner_calls.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/futex.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <ctime>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/syscalls.h"

namespace acetate::fusefs {

// The one place that both processes write; `state` says whose turn it is.
struct OwnerCalls::Shared {
  enum State : uint32_t { kIdle, kRequested, kDone };

  uint32_t state = kIdle;  // a futex, accessed by atomic builtins
  long number = 0;
  long arguments[6] = {};
  long result = 0;
  pid_t daemon = 0;
};

namespace {

constexpr size_t kStackSize = 64 << 10;

// The helper runs beside the daemon's threads with the main thread's thread-local storage, so it must not touch that:
// no errno, no libc, nothing that a sanitizer adds.
#define ACETATE_BARE __attribute__((no_sanitize("address", "thread", "undefined"), no_stack_protector))

// Returns what the kernel does: a value or a negative errno.
ACETATE_BARE inline long BareSyscall(long number, long a = 0, long b = 0, long c = 0, long d = 0, long e = 0,
                                     long f = 0) {
#if defined(__x86_64__)
  long result = number;
  register long r10 asm("r10") = d;
  register long r8 asm("r8") = e;
  register long r9 asm("r9") = f;
  asm volatile("syscall" : "+a"(result) : "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9) : "rcx", "r11", "memory");
  return result;
#elif defined(__aarch64__)
  register long x8 asm("x8") = number;
  register long x0 asm("x0") = a;
  register long x1 asm("x1") = b;
  register long x2 asm("x2") = c;
  register long x3 asm("x3") = d;
  register long x4 asm("x4") = e;
  register long x5 asm("x5") = f;
  asm volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
  return x0;
#else
#error "write this architecture's system call instruction here"
#endif
}

template <typename Shared>
ACETATE_BARE int Serve(void* argument) {
  auto* shared = static_cast<Shared*>(argument);
  BareSyscall(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL);
  if (BareSyscall(SYS_getppid) != shared->daemon) return 0;  // died before the line above
  BareSyscall(SYS_setpgid, 0, 0);                            // signals to the daemon's group are not for the helper
  BareSyscall(SYS_chdir, reinterpret_cast<long>("/"));
  for (;;) {
    const uint32_t state = __atomic_load_n(&shared->state, __ATOMIC_ACQUIRE);
    if (state != Shared::kRequested) {
      BareSyscall(SYS_futex, reinterpret_cast<long>(&shared->state), FUTEX_WAIT, state);
      continue;
    }
    const long* a = shared->arguments;
    shared->result = BareSyscall(shared->number, a[0], a[1], a[2], a[3], a[4], a[5]);
    __atomic_store_n(&shared->state, Shared::kDone, __ATOMIC_RELEASE);
    BareSyscall(SYS_futex, reinterpret_cast<long>(&shared->state), FUTEX_WAKE, 1);
  }
}

bool HasCapability(int capability) {
  __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2] = {};
  return syscall(SYS_capget, &header, data) == 0 && (data[0].effective & (1U << capability)) != 0;
}

bool WriteWhole(const std::string& path, const std::string& text) {
  ErrnoOr<UniqueFd> fd = sys::OpenAt(AT_FDCWD, path.c_str(), O_WRONLY);
  return fd.ok() && write(fd->get(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
}

// The user's own two ids to themselves: all that an unprivileged process may map.
bool MapIds(pid_t helper) {
  const std::string proc = absl::StrCat("/proc/", helper);
  return WriteWhole(proc + "/setgroups", "deny") &&
         WriteWhole(proc + "/uid_map", absl::StrCat(geteuid(), " ", geteuid(), " 1")) &&
         WriteWhole(proc + "/gid_map", absl::StrCat(getegid(), " ", getegid(), " 1"));
}

void Reap(pid_t helper) {
  kill(helper, SIGKILL);
  while (waitpid(helper, nullptr, 0) < 0 && errno == EINTR) {
  }
}

}  // namespace

std::unique_ptr<OwnerCalls> OwnerCalls::Start() {
  if (HasCapability(CAP_DAC_OVERRIDE)) return nullptr;
  void* stack = mmap(nullptr, kStackSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
  if (stack == MAP_FAILED) return nullptr;
  auto shared = std::make_unique<Shared>();
  shared->daemon = getpid();

  // The helper has copies of our signal handlers and must never run one.
  sigset_t all, before;
  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, &before);
  const pid_t helper = clone(Serve<Shared>, static_cast<char*>(stack) + kStackSize,
                             CLONE_VM | CLONE_FILES | CLONE_NEWUSER | SIGCHLD, shared.get());
  sigprocmask(SIG_SETMASK, &before, nullptr);

  if (helper > 0 && MapIds(helper)) {
    return std::unique_ptr<OwnerCalls>(new OwnerCalls(std::move(shared), stack, helper));
  }
  if (helper > 0) Reap(helper);
  munmap(stack, kStackSize);
  return nullptr;
}

OwnerCalls::OwnerCalls(std::unique_ptr<Shared> shared, void* stack, pid_t helper)
    : shared_(std::move(shared)), stack_(stack), helper_(helper) {}

OwnerCalls::~OwnerCalls() {
  Reap(helper_);
  munmap(stack_, kStackSize);
}

ErrnoOr<long> OwnerCalls::CallWith(long number, const long (&arguments)[6]) {
  MutexLock lock(&mu_);
  shared_->number = number;
  for (int i = 0; i < 6; ++i) shared_->arguments[i] = arguments[i];
  __atomic_store_n(&shared_->state, Shared::kRequested, __ATOMIC_RELEASE);
  syscall(SYS_futex, &shared_->state, FUTEX_WAKE, 1);
  while (__atomic_load_n(&shared_->state, __ATOMIC_ACQUIRE) != Shared::kDone) {
    const timespec one_second = {1, 0};
    if (syscall(SYS_futex, &shared_->state, FUTEX_WAIT, Shared::kRequested, &one_second) == 0 || errno != ETIMEDOUT) {
      continue;
    }
    // Somebody may have killed the helper.
    siginfo_t info = {};
    if (waitid(P_PID, helper_, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid != 0) return Errno(EACCES);
  }
  __atomic_store_n(&shared_->state, Shared::kIdle, __ATOMIC_RELAXED);
  if (shared_->result < 0) return Errno(static_cast<int>(-shared_->result));
  return shared_->result;
}

}  // namespace acetate::fusefs
