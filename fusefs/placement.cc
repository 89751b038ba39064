#include "fusefs/placement.h"

#include <algorithm>

namespace acetate::fusefs {
namespace {

std::vector<BranchId> IdsOf(const std::vector<Candidate>& candidates) {
  std::vector<BranchId> ids;
  ids.reserve(candidates.size());
  for (const Candidate& candidate : candidates) ids.push_back(candidate.id);
  return ids;
}

void ParentsFirst(std::vector<Candidate>* candidates) {
  std::stable_partition(candidates->begin(), candidates->end(), [](const Candidate& c) { return c.holds_parent; });
}

void FreestFirst(std::vector<Candidate>* candidates) {
  std::stable_sort(candidates->begin(), candidates->end(),
                   [](const Candidate& a, const Candidate& b) { return a.free_bytes > b.free_bytes; });
}

}  // namespace

bool WantsFreeBytes(CreatePolicy policy) {
  return policy == CreatePolicy::kMostFreeSpace || policy == CreatePolicy::kParentMostFreeSpace;
}

std::vector<BranchId> OrderForCreate(CreatePolicy policy, const std::vector<Candidate>& candidates, size_t nearest,
                                     size_t round) {
  std::vector<Candidate> order = candidates;
  switch (policy) {
    case CreatePolicy::kFirst:
      break;
    case CreatePolicy::kParent:
      // Where no writable branch holds the parent, the nearest above it gets it first.
      std::reverse(order.begin(), order.begin() + static_cast<ptrdiff_t>(nearest));
      if (std::any_of(order.begin(), order.end(), [](const Candidate& c) { return c.holds_parent; })) {
        order = candidates;
        ParentsFirst(&order);
      }
      break;
    case CreatePolicy::kMostFreeSpace:
      FreestFirst(&order);
      break;
    case CreatePolicy::kRoundRobin:
      if (!order.empty()) {
        std::rotate(order.begin(), order.begin() + static_cast<ptrdiff_t>(round % order.size()), order.end());
      }
      break;
    case CreatePolicy::kParentMostFreeSpace:
      FreestFirst(&order);
      ParentsFirst(&order);
      break;
  }
  return IdsOf(order);
}

std::vector<BranchId> OrderForCopyUp(CopyUpPolicy policy, const std::vector<Candidate>& candidates) {
  std::vector<Candidate> order(candidates.rbegin(), candidates.rend());
  switch (policy) {
    case CopyUpPolicy::kBottomUp:
      break;
    case CopyUpPolicy::kBottomUpParent:
      ParentsFirst(&order);
      break;
    case CopyUpPolicy::kTopDownParent:
      if (std::any_of(order.begin(), order.end(), [](const Candidate& c) { return c.holds_parent; })) {
        order = candidates;
        ParentsFirst(&order);
      }
      break;
  }
  return IdsOf(order);
}

}  // namespace acetate::fusefs
