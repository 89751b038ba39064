// Stopping all processes of a container for a while, and letting them go on: through its cgroup where there is one
// that can (of v2, or of v1's freezer), which the processes do not notice; else by SIGSTOP and SIGCONT, of which
// parents inside may learn by wait(2).
#pragma once

#include <string>

#include "absl/status/status.h"
#include "common/unique_fd.h"

namespace acetate::launcher {

struct Freezable {
  std::string cgroup;  // that holds all of them and can be frozen; empty: none
  int init_pidfd = -1;
  int pid_namespace = -1;  // fd of the container's
};

// To be called in the container's user namespace, by its root. They return when it is done.
absl::Status Pause(const Freezable& container);
absl::Status Unpause(const Freezable& container);

}  // namespace acetate::launcher
