// The helper: a process forked by the launcher into the container's user namespace and a mount namespace of its own. It
// mounts the union, starts fusefs and PID 1, watches over both (supervise.h) and cleans up when they have ended. It is
// apart from the launcher for two reasons: only inside of the user namespace may it do these things, and it is there to
// clean up when the launcher is killed. It has a session of its own, so a terminal's signals do not reach it, and it
// blocks all others; the launcher passes on what is meant for the container. Of a container that goes on without its
// launcher (-d, or detached from) it is the supervisor that stays.
#pragma once

#include <signal.h>

#include <vector>

#include "common/unique_fd.h"
#include "launcher/host_steps.h"
#include "launcher/plan.h"
#include "launcher/profile.h"
#include "launcher/record.h"

namespace acetate::launcher {

// Everything the helper works on. The two processes hold copies.
struct HelperInputs {
  const Plan* plan;
  HostState host;
  std::vector<Stale> stale;  // left by others; their trees still have to be removed
  UniqueFd bridge;           // socket of the bridge's keeper, if the network is that
  UniqueFd control;          // the connection to the launcher, who owns the container (protocol.h)
  sigset_t mask;             // signal mask for fusefs and the command
  Profile profile;
};

// In the helper process. Returns the status that launch exits with, after having said on stderr what went wrong.
int RunHelper(HelperInputs inputs);

}  // namespace acetate::launcher
