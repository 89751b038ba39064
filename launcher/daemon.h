// Starting the union filesystem's daemon on a FUSE connection that is mounted already.
#pragma once

#include <signal.h>

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/unique_fd.h"

namespace acetate::launcher {

struct Daemon {
  UniqueFd pidfd;
  UniqueFd output;  // what it says on stdout and stderr; non-blocking
};

// Path of fusefs: $ACETATE_FUSEFS, else beside this program, else in PATH.
absl::StatusOr<std::string> FindFusefs();

// Starts `words` with /dev/fd/N, for `device`, as its last argument. The device then belongs to the daemon alone: when
// it dies the kernel takes the mount for dead, and who waits on it is told. `mask` is its signal mask.
absl::StatusOr<Daemon> StartFusefs(const std::vector<std::string>& words, UniqueFd device, const sigset_t& mask);

}  // namespace acetate::launcher
