// Watching over a running container: its PID 1, its fusefs, and the launcher that wants to signal it.
#pragma once

#include <string>

#include "absl/strings/string_view.h"
#include "common/unique_fd.h"
#include "launcher/daemon.h"
#include "launcher/plan.h"

namespace acetate::launcher {

// The processes of a container, as the helper sees them.
struct Processes {
  pid_t init = 0;
  UniqueFd init_pidfd;
  UniqueFd init_report;  // reading end of PID 1's report pipe, non-blocking
  Daemon daemon;
  UniqueFd control;  // reading end of the launcher's pipe
};

struct Outcome {
  bool started = false;  // the command was executed
  int exit_status = 0;
  std::string message;  // one line for stderr; empty: nothing to say
};

// Waits for the end of both processes. Passes signals on to PID 1; kills the container when fusefs or the launcher
// dies.
Outcome Supervise(const Plan& plan, Processes processes);

// Whether the kernel would drop `signal` if sent to a PID 1 whose /proc/PID/status has this text, though it ends any
// other process: it is the default action, and that action is to terminate.
bool WouldBeLost(absl::string_view proc_status, int signal);

// Whether a process with this text in /proc/PID/stat has begun to exit.
bool IsExiting(absl::string_view proc_stat);

}  // namespace acetate::launcher
