// The daemon's own confinement (-o confine): by Landlock it gives up all of the filesystem but the branches and the few
// things that it needs besides, the network, and executing programs. What is wrong in it, and whatever a layer makes of
// that, then reaches no further than the branches. Landlock does not know of stat, chmod, chown, times and extended
// attributes, nor of sockets that have a path.
#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "common/unique_fd.h"
#include "fusefs/open_branches.h"
#include "fusefs/options.h"
#include "fusefs/owner_calls.h"

namespace acetate::fusefs {

// One thread.
class Confinement {
 public:
  // What `options`, and the branches that are open for them, need. Where the kernel has no Landlock, or one that knows
  // no renames from directory to directory (before Linux 5.19), this confines nothing.
  static absl::StatusOr<Confinement> Prepare(const Options& options, const std::vector<OpenedBranch>& branches);

  // From here on this thread, those that it starts, and the helper of `calls` (may be null) are confined, for good. No
  // other thread is.
  absl::Status Enter(OwnerCalls* calls);

 private:
  UniqueFd with_helper_;  // rulesets; invalid: nothing is confined
  UniqueFd alone_;        // also against signals, which the helper gets
};

}  // namespace acetate::fusefs
