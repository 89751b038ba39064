#include "launcher/freezer.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/errno_or.h"
#include "common/syscalls.h"
#include "launcher/files.h"

namespace acetate::launcher {
namespace {

constexpr int kFreezeSeconds = 10;

// Sends `signal` to all processes of a pid namespace but its PID 1, at once: kill(-1), from within.
Errno SignalOthers(int pid_namespace, int signal) {
  ErrnoOr<pid_t> child = sys::Fork(0, nullptr);
  if (!child.ok()) return child.error();
  if (*child == 0) {
    // Only children are born in the namespace that setns(2) chose.
    if (setns(pid_namespace, CLONE_NEWPID) != 0) _exit(errno);
    ErrnoOr<pid_t> inside = sys::Fork(0, nullptr);
    if (!inside.ok()) _exit(inside.error().value());
    if (*inside == 0) _exit(kill(-1, signal) == 0 || errno == ESRCH ? 0 : errno);
    int status;
    _exit(waitpid(*inside, &status, 0) == *inside && WIFEXITED(status) ? WEXITSTATUS(status) : EINTR);
  }
  int status;
  while (waitpid(*child, &status, 0) < 0) {
    if (errno != EINTR) return Errno::Last();
  }
  return WIFEXITED(status) ? Errno(WEXITSTATUS(status)) : Errno(EINTR);
}

bool IsFrozen(const std::string& cgroup) {
  return absl::StrContains(ReadFileOrEmpty(cgroup + "/cgroup.events"), "frozen 1");
}

absl::Status Freeze(const std::string& cgroup) {
  Errno error = WriteExisting(cgroup + "/cgroup.freeze", "1");
  if (!error.ok()) return ErrnoToStatus(error, absl::StrCat("write 1 to ", cgroup, "/cgroup.freeze"));
  ErrnoOr<UniqueFd> events = sys::OpenAt(AT_FDCWD, (cgroup + "/cgroup.events").c_str(), O_RDONLY);
  if (!events.ok()) return ErrnoToStatus(events.error(), absl::StrCat("open ", cgroup, "/cgroup.events"));
  for (int i = 0; i < kFreezeSeconds && !IsFrozen(cgroup); ++i) {
    // The kernel tells of a change after the file was read through this fd.
    char buffer[256];
    if (pread(events->get(), buffer, sizeof(buffer), 0) >= 0 && IsFrozen(cgroup)) break;
    pollfd changed = {events->get(), POLLPRI, 0};
    poll(&changed, 1, 1000);
  }
  if (IsFrozen(cgroup)) return absl::OkStatus();
  WriteExisting(cgroup + "/cgroup.freeze", "0").IgnoreError();
  return absl::DeadlineExceededError("a process of the container cannot be frozen: it waits in the kernel");
}

}  // namespace

absl::Status Pause(const Freezable& container) {
  if (!container.cgroup.empty()) return Freeze(container.cgroup);
  // PID 1 first: it would see its children stop.
  Errno error = sys::PidFdSendSignal(container.init_pidfd, SIGSTOP);
  if (error.ok()) error = SignalOthers(container.pid_namespace, SIGSTOP);
  if (error.ok()) return absl::OkStatus();
  Unpause(container).IgnoreError();
  return ErrnoToStatus(error, "stop the container's processes");
}

absl::Status Unpause(const Freezable& container) {
  if (!container.cgroup.empty()) {
    Errno error = WriteExisting(container.cgroup + "/cgroup.freeze", "0");
    return error.ok() ? absl::OkStatus()
                      : ErrnoToStatus(error, absl::StrCat("write 0 to ", container.cgroup, "/cgroup.freeze"));
  }
  Errno error = SignalOthers(container.pid_namespace, SIGCONT);
  Errno first = sys::PidFdSendSignal(container.init_pidfd, SIGCONT);
  if (error.ok()) error = first;
  return error.ok() ? absl::OkStatus() : ErrnoToStatus(error, "continue the container's processes");
}

}  // namespace acetate::launcher
