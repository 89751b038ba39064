#include "launcher/injected_call.h"

#include <fcntl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"

namespace acetate::launcher {
namespace {

#if defined(__x86_64__)
constexpr long kFailed = -1000;

// The thread is stopped. Its registers are spoilt.
long Make(pid_t tid, user_regs_struct regs, long number, long a, long b, long c, long d) {
  // Behind the instruction that it is in, which is the one that is needed.
  const long code = ptrace(PTRACE_PEEKTEXT, tid, regs.rip - 2, nullptr);
  if ((code & 0xffff) != 0x050f) return kFailed;
  regs.rip -= 2;
  regs.rax = static_cast<unsigned long>(number);
  regs.orig_rax = ~0UL;
  regs.rdi = static_cast<unsigned long>(a);
  regs.rsi = static_cast<unsigned long>(b);
  regs.rdx = static_cast<unsigned long>(c);
  regs.r10 = static_cast<unsigned long>(d);
  int status = 0;
  if (ptrace(PTRACE_SETREGS, tid, nullptr, &regs) != 0 || ptrace(PTRACE_SINGLESTEP, tid, nullptr, nullptr) != 0 ||
      waitpid(tid, &status, __WALL) != tid || !WIFSTOPPED(status) || ptrace(PTRACE_GETREGS, tid, nullptr, &regs) != 0) {
    return kFailed;
  }
  return static_cast<long>(regs.rax);
}
#endif

}  // namespace

std::vector<pid_t> ThreadsOf(pid_t pid) {
  std::vector<pid_t> threads;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(absl::StrCat("/proc/", pid, "/task"), ignored)) {
    threads.push_back(atoi(entry.path().filename().c_str()));
  }
  return threads;
}

int InjectedOpen(pid_t tid, const std::string& path, int flags) {
#if defined(__x86_64__)
  if (ptrace(PTRACE_SEIZE, tid, nullptr, nullptr) != 0) return -1;
  int status = 0;
  if (ptrace(PTRACE_INTERRUPT, tid, nullptr, nullptr) != 0 || waitpid(tid, &status, __WALL) != tid) return -1;
  user_regs_struct before;
  if (ptrace(PTRACE_GETREGS, tid, nullptr, &before) != 0) return -1;
  absl::Cleanup let_go = [&] {
    ptrace(PTRACE_SETREGS, tid, nullptr, &before);
    ptrace(PTRACE_DETACH, tid, nullptr, nullptr);
  };
  // Below what the stack holds.
  const unsigned long text = (before.rsp - 8192) & ~7UL;
  for (size_t at = 0; at <= path.size(); at += sizeof(long)) {
    long word = 0;
    memcpy(&word, path.data() + at, std::min(sizeof(word), path.size() - at));
    if (ptrace(PTRACE_POKEDATA, tid, text + at, word) != 0) return -1;
  }
  const long fd = Make(tid, before, SYS_openat, AT_FDCWD, static_cast<long>(text), flags, 0600);
  if (fd == kFailed) return -1;
  if (fd >= 0) Make(tid, before, SYS_close, fd, 0, 0, 0);
  return fd < 0 ? static_cast<int>(-fd) : 0;
#else
  return -1;
#endif
}

}  // namespace acetate::launcher
