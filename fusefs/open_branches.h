// The check before the mount: opens every branch and the work directory, and refuses what could not work or would eat
// data. Nothing is created by a check that fails, and branches are held by fd from here on, so the mountpoint may be
// one of them or lie inside one.
#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "common/unique_fd.h"
#include "fusefs/options.h"

namespace acetate::fusefs {

struct OpenedBranch {
  UniqueFd fd;       // O_PATH | O_DIRECTORY
  UniqueFd work_fd;  // of a writable branch: its work directory, O_RDONLY | O_DIRECTORY
  // Holds an flock for as long as the daemon lives, as work_fd does: a writable layer or work directory has one user.
  UniqueFd lock_fd;
  bool made_work = false;  // the work directory did not exist before
};

// In the order of Options::branches. Errors are one line each: what is wrong with which path, and what to do.
absl::StatusOr<std::vector<OpenedBranch>> OpenBranches(const Options& options);

// A branch that is in use already.
struct HeldBranch {
  const BranchSpec* spec = nullptr;
  int fd = -1;
  int work_fd = -1;  // of a writable branch
};

// Opens one more branch for a union of `others`, with the same checks.
absl::StatusOr<OpenedBranch> OpenBranchBeside(const BranchSpec& spec, const std::vector<HeldBranch>& others);

}  // namespace acetate::fusefs
