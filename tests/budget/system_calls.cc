#include "tests/budget/system_calls.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <exception>
#include <set>
#include <stdexcept>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace acetate {
namespace {

constexpr int kPollMicroseconds = 200;
// With nobody at work for that long, nothing is left that one thread had woken another for.
constexpr std::chrono::milliseconds kQuiet{20};
// For a daemon that a busy machine does not let run.
constexpr std::chrono::seconds kPatience{60};

constexpr long kFchmodat2 = 452;
constexpr long kFileGetattr = 468;

// In these a thread waits for what others do.
const std::set<long>& Waiting() {
  static const std::set<long> calls = {
#ifdef SYS_poll
      SYS_poll,
#endif
      SYS_ppoll,
      SYS_read,
      SYS_readv,
      SYS_futex,
      SYS_nanosleep,
      SYS_clock_nanosleep,
      SYS_io_uring_enter,
      SYS_rt_sigtimedwait,
      SYS_rt_sigsuspend,
      SYS_accept4,
      SYS_restart_syscall,
      SYS_epoll_pwait};
  return calls;
}

const std::set<long>& Uncounted() {
  static const std::set<long> calls = {SYS_close,
                                       SYS_write,
                                       SYS_writev,
                                       SYS_splice,
                                       SYS_vmsplice,
                                       SYS_mmap,
                                       SYS_munmap,
                                       SYS_mprotect,
                                       SYS_madvise,
                                       SYS_brk,
                                       SYS_mremap,
                                       SYS_clone,
                                       SYS_clone3,
                                       SYS_exit,
                                       SYS_set_robust_list,
                                       SYS_rseq,
                                       SYS_rt_sigaction,
                                       SYS_rt_sigprocmask,
                                       SYS_rt_sigreturn,
                                       SYS_sigaltstack,
                                       SYS_tgkill,
                                       SYS_getpid,
                                       SYS_gettid,
                                       SYS_getcpu,
                                       SYS_getrusage,
                                       SYS_clock_gettime,
                                       SYS_prctl,
                                       SYS_sched_yield,
                                       SYS_sched_getaffinity,
                                       SYS_sched_setaffinity,
                                       SYS_sched_setscheduler,
                                       SYS_sched_setattr,
                                       SYS_sched_getattr,
                                       SYS_setpriority,
                                       SYS_membarrier,
                                       SYS_accept,
                                       SYS_recvmsg,
                                       SYS_sendmsg,
                                       SYS_recvfrom,
                                       SYS_sendto,
                                       SYS_getsockopt,
                                       SYS_shutdown};
  return calls;
}

std::string NameOf(long number) {
  static const std::map<long, std::string> names = {{SYS_openat, "openat"},
                                                    {SYS_openat2, "openat2"},
                                                    {SYS_newfstatat, "newfstatat"},
                                                    {SYS_fstat, "fstat"},
                                                    {SYS_statx, "statx"},
                                                    {SYS_getdents64, "getdents64"},
                                                    {SYS_getxattr, "getxattr"},
                                                    {SYS_lgetxattr, "lgetxattr"},
                                                    {SYS_fgetxattr, "fgetxattr"},
                                                    {SYS_setxattr, "setxattr"},
                                                    {SYS_lsetxattr, "lsetxattr"},
                                                    {SYS_fsetxattr, "fsetxattr"},
                                                    {SYS_listxattr, "listxattr"},
                                                    {SYS_llistxattr, "llistxattr"},
                                                    {SYS_flistxattr, "flistxattr"},
                                                    {SYS_removexattr, "removexattr"},
                                                    {SYS_lremovexattr, "lremovexattr"},
                                                    {SYS_fremovexattr, "fremovexattr"},
                                                    {SYS_readlinkat, "readlinkat"},
                                                    {SYS_mknodat, "mknodat"},
                                                    {SYS_mkdirat, "mkdirat"},
                                                    {SYS_symlinkat, "symlinkat"},
                                                    {SYS_linkat, "linkat"},
                                                    {SYS_renameat2, "renameat2"},
                                                    {SYS_unlinkat, "unlinkat"},
                                                    {SYS_fchmodat, "fchmodat"},
                                                    {SYS_fchmod, "fchmod"},
                                                    {SYS_fchownat, "fchownat"},
                                                    {SYS_utimensat, "utimensat"},
                                                    {SYS_ftruncate, "ftruncate"},
                                                    {SYS_preadv2, "preadv2"},
                                                    {SYS_pread64, "pread64"},
                                                    {SYS_pwrite64, "pwrite64"},
                                                    {SYS_ioctl, "ioctl"},
                                                    {SYS_fsync, "fsync"},
                                                    {SYS_fdatasync, "fdatasync"},
                                                    {SYS_copy_file_range, "copy_file_range"},
                                                    {SYS_lseek, "lseek"},
                                                    {SYS_fstatfs, "fstatfs"},
                                                    {SYS_setfsuid, "setfsuid"},
                                                    {SYS_setfsgid, "setfsgid"},
                                                    {SYS_name_to_handle_at, "name_to_handle_at"},
#ifdef SYS_chmod
                                                    {SYS_chmod, "chmod"},
#endif
                                                    {kFchmodat2, "fchmodat2"},
                                                    {kFileGetattr, "file_getattr"}};
  const auto found = names.find(number);
  return found == names.end() ? absl::StrCat("system call ", number) : found->second;
}

// Follows all threads of one process. All of it is called by one thread, which the kernel takes for the tracer.
class Tracer {
 public:
  explicit Tracer(pid_t pid) : pid_(pid) {}

  // Until no thread is left that is not followed: those that are not may start others.
  void Attach() {
    for (bool more = true; more;) {
      more = false;
      for (pid_t tid : Tasks()) {
        if (threads_.contains(tid)) continue;
        if (ptrace(PTRACE_SEIZE, tid, nullptr, PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE) != 0) {
          if (errno == ESRCH) continue;
          throw std::runtime_error(absl::StrCat("ptrace: ", strerror(errno)));
        }
        threads_[tid];
        ptrace(PTRACE_INTERRUPT, tid, nullptr, nullptr);
        more = true;
      }
      Settle("to be traced");
    }
    calls_.clear();
  }

  // Lets the process run on until `done`, and then until it waits.
  void Run(const std::atomic<bool>& done) {
    while (!done) {
      if (!HandleOne()) usleep(kPollMicroseconds);
    }
    Settle("to have done its work");
  }

  void Detach() {
    const auto end = std::chrono::steady_clock::now() + kPatience;
    for (const auto& [tid, state] : threads_) ptrace(PTRACE_INTERRUPT, tid, nullptr, nullptr);
    while (!threads_.empty() && std::chrono::steady_clock::now() < end) {
      int status = 0;
      const pid_t tid = waitpid(-1, &status, __WALL | __WNOTHREAD | WNOHANG);
      if (tid < 0) break;
      if (tid == 0) {
        usleep(kPollMicroseconds);
        continue;
      }
      if (WIFSTOPPED(status)) ptrace(PTRACE_DETACH, tid, nullptr, SignalOf(status));
      threads_.erase(tid);
    }
  }

  const SystemCalls& calls() const { return calls_; }

 private:
  struct Thread {
    bool inside = false;  // a system call
    long number = 0;
  };

  std::vector<pid_t> Tasks() const {
    std::vector<pid_t> tasks;
    DIR* dir = opendir(absl::StrCat("/proc/", pid_, "/task").c_str());
    if (dir == nullptr) throw std::runtime_error("the daemon is gone");
    while (const dirent* entry = readdir(dir)) {
      if (entry->d_name[0] != '.') tasks.push_back(atoi(entry->d_name));
    }
    closedir(dir);
    return tasks;
  }

  bool AllWait() const {
    return std::all_of(threads_.begin(), threads_.end(), [](const auto& entry) {
      return entry.second.inside && Waiting().contains(entry.second.number);
    });
  }

  void Settle(const char* what) {
    const auto end = std::chrono::steady_clock::now() + kPatience;
    auto quiet_since = std::chrono::steady_clock::now();
    while (!AllWait() || std::chrono::steady_clock::now() - quiet_since < kQuiet) {
      const bool waited = AllWait();
      if (HandleOne()) {
        // Who waits in turns, with nothing to do, is quiet.
        if (!waited) quiet_since = std::chrono::steady_clock::now();
        continue;
      }
      if (!AllWait()) quiet_since = std::chrono::steady_clock::now();
      if (std::chrono::steady_clock::now() > end) {
        throw std::runtime_error(absl::StrCat("the daemon was given a minute ", what));
      }
      usleep(kPollMicroseconds);
    }
  }

  // The signal that a stop is about, to be delivered.
  static long SignalOf(int status) {
    const int signal = WSTOPSIG(status);
    const bool by_tracing = signal == (SIGTRAP | 0x80) || status >> 16 != 0;
    return by_tracing ? 0 : signal;
  }

  // False when no thread has stopped.
  bool HandleOne() {
    int status = 0;
    const pid_t tid = waitpid(-1, &status, __WALL | __WNOTHREAD | WNOHANG);
    if (tid < 0) throw std::runtime_error("the daemon is gone");
    if (tid == 0) return false;
    if (!WIFSTOPPED(status)) {
      threads_.erase(tid);
      return true;
    }
    Thread& thread = threads_[tid];
    if (WSTOPSIG(status) == (SIGTRAP | 0x80)) {
      __ptrace_syscall_info info = {};
      ptrace(PTRACE_GET_SYSCALL_INFO, tid, sizeof(info), &info);
      thread.inside = info.op == PTRACE_SYSCALL_INFO_ENTRY;
      if (thread.inside) {
        thread.number = static_cast<long>(info.entry.nr);
        if (Counts(thread.number, info.entry.args)) ++calls_[NameOf(thread.number)];
      }
    }
    ptrace(PTRACE_SYSCALL, tid, nullptr, SignalOf(status));
    return true;
  }

  template <typename Arguments>
  bool Counts(long number, const Arguments& arguments) const {
    if (Waiting().contains(number) || Uncounted().contains(number)) return false;
    if (number == SYS_pread64 || number == SYS_lseek) {
      char target[256];
      const std::string link = absl::StrCat("/proc/", pid_, "/fd/", arguments[0]);
      const ssize_t length = readlink(link.c_str(), target, sizeof(target));
      return length < 0 || !absl::StartsWith(absl::string_view(target, static_cast<size_t>(length)), "/proc/");
    }
    if (number == SYS_openat && static_cast<int>(arguments[0]) == AT_FDCWD) {
      char path[64] = {};
      const iovec here = {path, sizeof(path) - 1};
      const iovec there = {reinterpret_cast<void*>(arguments[1]), sizeof(path) - 1};
      if (process_vm_readv(pid_, &here, 1, &there, 1, 0) < 0) return true;
      return !absl::StartsWith(path, "/proc/") || absl::StartsWith(path, "/proc/self/fd/");
    }
    return true;
  }

  const pid_t pid_;
  std::map<pid_t, Thread> threads_;
  SystemCalls calls_;
};

}  // namespace

SystemCalls SystemCallsOf(pid_t daemon, const std::function<void()>& act) {
  std::atomic<bool> ready = false, failed = false, done = false;
  std::exception_ptr problem;
  SystemCalls calls;
  std::thread tracing([&] {
    Tracer tracer(daemon);
    try {
      tracer.Attach();
      ready = true;
      tracer.Run(done);
      calls = tracer.calls();
    } catch (const std::runtime_error&) {
      problem = std::current_exception();
      failed = true;
    }
    tracer.Detach();
  });
  while (!ready && !failed) usleep(kPollMicroseconds);
  if (!failed) act();
  done = true;
  tracing.join();
  if (problem != nullptr) std::rethrow_exception(problem);
  return calls;
}

std::string WhyNoTracing() {
  const pid_t child = fork();
  if (child == 0) {
    pause();
    _exit(0);
  }
  if (child < 0) return absl::StrCat("fork: ", strerror(errno));
  const int error = ptrace(PTRACE_SEIZE, child, nullptr, nullptr) == 0 ? 0 : errno;
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  return error == 0 ? "" : absl::StrCat("child processes cannot be traced here: ", strerror(error));
}

int Total(const SystemCalls& calls) {
  int total = 0;
  for (const auto& [name, count] : calls) total += count;
  return total;
}

std::string Describe(const SystemCalls& calls) {
  std::string text;
  for (const auto& [name, count] : calls) {
    absl::StrAppend(&text, text.empty() ? "" : ", ", name, count == 1 ? "" : absl::StrCat(" x", count));
  }
  return text;
}

}  // namespace acetate
