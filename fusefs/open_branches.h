// The check before the mount: opens every branch and the work directory, and refuses what could not work or would eat
// data. Nothing is created by a check that fails, and branches are held by fd from here on, so the mountpoint may be
// one of them or lie inside one. Called once, by main, before there are threads.
#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "common/unique_fd.h"
#include "fusefs/options.h"

namespace acetate::fusefs {

struct OpenedBranches {
  std::vector<UniqueFd> branch_fds;  // O_PATH | O_DIRECTORY, in the order of Options::branches
  UniqueFd work_fd;                  // O_RDONLY | O_DIRECTORY; invalid without a writable branch
  // Holds an flock for as long as the daemon lives, as work_fd does: an upper or work directory has one user.
  UniqueFd upper_lock_fd;
  bool made_work = false;  // the work directory did not exist before
};

// Errors are one line each: what is wrong with which path, and what to do.
absl::StatusOr<OpenedBranches> OpenBranches(const Options& options);

}  // namespace acetate::fusefs
