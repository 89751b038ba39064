// Starting the union filesystem's daemon on a FUSE connection that is mounted already.
#pragma once

#include <signal.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/unique_fd.h"

namespace acetate::launcher {

struct Daemon {
  UniqueFd pidfd;
  UniqueFd output;  // what it says on stdout and stderr; non-blocking
  UniqueFd stats;   // a file: its counters, once it has ended in order
};

// How many bytes of lower files have been copied up, of fusefs's counters as it writes them. Nothing when it does not
// say.
std::optional<uint64_t> BytesCopiedUp(absl::string_view counters);

// Path of fusefs: $ACETATE_FUSEFS, else beside this program, else in PATH.
absl::StatusOr<std::string> FindFusefs();

// Starts `words` with /dev/fd/N, for `device`, as its last argument, and kFusefsStatsFd open. The device then belongs
// to the daemon alone: when it dies the kernel takes the mount for dead, and who waits on it is told. `mask` is its
// signal mask.
absl::StatusOr<Daemon> StartFusefs(const std::vector<std::string>& words, UniqueFd device, const sigset_t& mask);

}  // namespace acetate::launcher
