// Watching over a running container: its PID 1, its fusefs, and those who want something of it. A further command of a
// container (exec) is watched over in the same way, as one without a fusefs.
#pragma once

#include <signal.h>

#include <functional>

#include "absl/strings/string_view.h"
#include "common/unique_fd.h"
#include "launcher/daemon.h"
#include "launcher/fake_id_keeper.h"
#include "launcher/outcome.h"
#include "launcher/plan.h"
#include "launcher/profile.h"
#include "launcher/session.h"

namespace acetate::launcher {

// The processes of a container, as the helper sees them.
struct Processes {
  pid_t init = 0;
  UniqueFd init_pidfd;
  UniqueFd init_report;   // helper's end of PID 1's socket
  Daemon daemon;          // without a pidfd: there is none
  UniqueFd bridge;        // socket of the bridge's keeper, where there is one
  sigset_t mask = {};     // for what is still to be started
  FakeIdKeeper fake_ids;  // started where ids are faked
  Profile profile;
};

// Waits for the end of both processes and of what they wrote. Passes signals on to PID 1 and does what else the
// session's clients ask for; kills the container when fusefs dies, or an owner that had to stay. Once the command runs
// calls `started` with PID 1's number, and keeps the container's state file up to date if the plan has a container.
Outcome Supervise(const Plan& plan, Processes processes, Session* session, const std::function<void(pid_t)>& started);

// Whether the kernel would drop `signal` if sent to a PID 1 whose /proc/PID/status has this text, though it ends any
// other process: it is the default action, and that action is to terminate.
bool WouldBeLost(absl::string_view proc_status, int signal);

// Whether a process with this text in /proc/PID/syscall waits for signals (sigwaitinfo(3), as small inits do). As long
// as it does, the kernel shows those signals as not blocked, but keeps them for it all the same.
bool AwaitsSignals(absl::string_view proc_syscall);

// Whether a process with this text in /proc/PID/stat has begun to exit.
bool IsExiting(absl::string_view proc_stat);

}  // namespace acetate::launcher
