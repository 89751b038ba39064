// Carries out the plan's host steps, noting for each how it is undone.
#pragma once

#include <vector>

#include "absl/status/status.h"
#include "common/unique_fd.h"
#include "launcher/plan.h"
#include "launcher/undo_list.h"

namespace acetate::launcher {

// What the steps leave for the processes to come.
struct HostState {
  UndoList undo;
  UniqueFd record;                 // locked
  UniqueFd id_lease;               // locked; invalid when the container has no ids of its own
  UniqueFd unified_cgroup;         // directory of the v2 cgroup; invalid when there is none
  std::vector<UniqueFd> v1_procs;  // cgroup.procs of each v1 cgroup
  // With --best-effort: why limits are not enforced, one sentence each; those that the plan knew of included.
  std::vector<std::string> unenforced;
};

// Runs the steps in order. On failure the error says which step failed and why; the caller undoes what was done.
absl::Status RunHostSteps(const Plan& plan, HostState* state);

}  // namespace acetate::launcher
