#include "launcher/freezer.h"

#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/errno_or.h"
#include "common/syscalls.h"
#include "launcher/cgroup.h"

namespace acetate::launcher {
namespace {

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

}  // namespace

absl::Status Pause(const Freezable& container) {
  if (!container.cgroup.empty()) return FreezeCgroup(container.cgroup);
  // PID 1 first: it would see its children stop.
  Errno error = sys::PidFdSendSignal(container.init_pidfd, SIGSTOP);
  if (error.ok()) error = SignalOthers(container.pid_namespace, SIGSTOP);
  if (error.ok()) return absl::OkStatus();
  Unpause(container).IgnoreError();
  return ErrnoToStatus(error, "stop the container's processes");
}

absl::Status Unpause(const Freezable& container) {
  if (!container.cgroup.empty()) return ThawCgroup(container.cgroup);
  Errno error = SignalOthers(container.pid_namespace, SIGCONT);
  Errno first = sys::PidFdSendSignal(container.init_pidfd, SIGCONT);
  if (error.ok()) error = first;
  return error.ok() ? absl::OkStatus() : ErrnoToStatus(error, "continue the container's processes");
}

}  // namespace acetate::launcher
