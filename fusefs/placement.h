// Which of several writable branches takes a new object, or a copy: AUFS's policies. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "fusefs/branch.h"
#include "fusefs/options.h"

namespace acetate::fusefs {

// A branch in which the object would be seen.
struct Candidate {
  BranchId id = kNoBranch;
  bool holds_parent = false;  // the directory that it is to be in is in the branch already
  uint64_t free_bytes = 0;    // asked for where the policy wants it
};

// Whether a policy looks at free_bytes.
bool WantsFreeBytes(CreatePolicy policy);

// In which order new objects are tried in the branches; a later one when an earlier one is full. `candidates` top
// first; those from `nearest` on are at the parent's topmost layer or below it. `round` counts new objects.
std::vector<BranchId> OrderForCreate(CreatePolicy policy, const std::vector<Candidate>& candidates, size_t nearest,
                                     size_t round);

// The same for a copy; the candidates are above its source.
std::vector<BranchId> OrderForCopyUp(CopyUpPolicy policy, const std::vector<Candidate>& candidates);

}  // namespace acetate::fusefs
