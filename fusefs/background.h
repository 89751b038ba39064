// Becoming a daemon: the process that the user started stays until the mount is ready, and its exit status tells.
#pragma once

#include "absl/status/statusor.h"
#include "common/unique_fd.h"

namespace acetate::fusefs {

// Used by main, before there are threads.
class Background {
 public:
  // In the foreground nothing happens. Otherwise forks, and returns in the child alone; the parent exits with 0 when
  // the child calls Ready(), or with the child's status when it ends before.
  static absl::StatusOr<Background> Enter(bool foreground);

  // The mount is ready: leaves the terminal, the session and the current directory (in the foreground the last only),
  // and lets the parent go.
  void Ready();

 private:
  explicit Background(UniqueFd parent) : parent_(std::move(parent)) {}
  UniqueFd parent_;  // invalid in the foreground
};

// Opens /dev/null on those of fds 0, 1 and 2 that are closed, so that no other file takes their place.
void EnsureStandardFds();

}  // namespace acetate::fusefs
