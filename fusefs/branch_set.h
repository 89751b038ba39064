// The branches of a union in their order, each under an id that it keeps when others come, go or move. Guarded by
// UnionFs's mutex.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "common/errno_or.h"
#include "fusefs/branch.h"
#include "fusefs/writable_branch.h"

namespace acetate::fusefs {

class BranchSet {
 public:
  struct Member {
    std::unique_ptr<Branch> branch;
    std::unique_ptr<WritableBranch> writable;  // null: nothing is written to it
    uint64_t device = 0;                       // which of the union's filesystems it is on, counted from 0
    uint64_t layer_id = 0;                     // origin.h
    bool in_memory = false;                    // its root (in_memory.h); what is mounted below it may not be
    // Where the union's own mountpoint is in it, from the last name to the first; empty where it is not inside.
    std::vector<std::string> own_mountpoint;
  };

  bool empty() const { return order_.empty(); }
  // Top first.
  const std::vector<BranchId>& order() const { return order_; }
  // Those that are writable, top first.
  const std::vector<BranchId>& writables() const { return writables_; }

  bool Has(BranchId id) const { return id < members_.size() && members_[id] != nullptr; }
  const Member& member(BranchId id) const { return *members_[id]; }
  const Branch& branch(BranchId id) const { return *members_[id]->branch; }
  // Null for a read-only branch, and for none.
  WritableBranch* writable(BranchId id) const { return Has(id) ? members_[id]->writable.get() : nullptr; }

  // 0 on top.
  size_t position(BranchId id) const { return positions_[id]; }
  bool Above(BranchId a, BranchId b) const { return positions_[a] < positions_[b]; }
  bool IsLast(BranchId id) const { return order_.back() == id; }

  // An id that no branch has.
  BranchId FreeId() const;
  // Puts a branch, whose id is free, at `position` from the top. Finds out its filesystem and its layer id.
  Errno Insert(size_t position, Member member);
  Member Take(BranchId id);
  void Move(BranchId id, size_t position);

  // The inode number that the union shows for an object of a branch.
  uint64_t UnionIno(BranchId branch, uint64_t ino) const;

 private:
  // After a change of the order.
  void Number();

  std::vector<std::unique_ptr<Member>> members_;  // by id
  std::vector<size_t> positions_;                 // by id
  std::vector<BranchId> order_;
  std::vector<BranchId> writables_;
  std::vector<dev_t> devices_;
};

}  // namespace acetate::fusefs
