#include "fusefs/branch_set.h"

#include <algorithm>
#include <utility>

#include "fusefs/in_memory.h"
#include "fusefs/origin.h"

namespace acetate::fusefs {

BranchId BranchSet::FreeId() const {
  for (BranchId id = 0; id < members_.size(); ++id) {
    if (members_[id] == nullptr) return id;
  }
  return static_cast<BranchId>(members_.size());
}

Errno BranchSet::Insert(size_t position, Member member) {
  const BranchId id = member.branch->id();
  ACETATE_ASSIGN_OR_RETURN(struct stat st, member.branch->Stat(member.branch->root_fd(), ""));
  ACETATE_ASSIGN_OR_RETURN(member.layer_id, LayerId(*member.branch));
  member.in_memory = InMemory(member.branch->root_fd());
  auto device = std::find(devices_.begin(), devices_.end(), st.st_dev);
  member.device = static_cast<uint64_t>(device - devices_.begin());
  if (device == devices_.end()) devices_.push_back(st.st_dev);
  if (members_.size() <= id) members_.resize(id + 1U);
  members_[id] = std::make_unique<Member>(std::move(member));
  order_.insert(order_.begin() + static_cast<ptrdiff_t>(position), id);
  Number();
  return kOk;
}

BranchSet::Member BranchSet::Take(BranchId id) {
  Member member = std::move(*members_[id]);
  members_[id] = nullptr;
  order_.erase(std::find(order_.begin(), order_.end(), id));
  Number();
  return member;
}

void BranchSet::Move(BranchId id, size_t position) {
  order_.erase(std::find(order_.begin(), order_.end(), id));
  order_.insert(order_.begin() + static_cast<ptrdiff_t>(position), id);
  Number();
}

void BranchSet::Number() {
  positions_.assign(members_.size(), 0);
  writables_.clear();
  for (size_t i = 0; i < order_.size(); ++i) {
    positions_[order_[i]] = i;
    if (members_[order_[i]]->writable != nullptr) writables_.push_back(order_[i]);
  }
}

uint64_t BranchSet::UnionIno(BranchId branch, uint64_t ino) const {
  const uint64_t device = members_[branch]->device;
  return device == 0 ? ino : ino ^ (device << 48);
}

}  // namespace acetate::fusefs
