// Branches that are added, removed, moved and given another mode while the union is in use.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "fusefs/union_fs.h"

namespace acetate::fusefs {

ErrnoOr<BranchSet::Member> UnionFs::MakeMember(NewBranch added) {
  BranchSet::Member member;
  member.branch = std::move(added.branch);
  ACETATE_ASSIGN_OR_RETURN(member.own_mountpoint, OwnMountpointIn(*member.branch));
  if (added.workdir_fd.valid() && !options_.read_only) {
    ACETATE_ASSIGN_OR_RETURN(
        member.writable, WritableBranch::Open(member.branch.get(), std::move(added.workdir_fd), &xattrs_, options_));
  }
  return member;
}

std::vector<UnionFs::BranchState> UnionFs::Branches() {
  MutexLock lock(&mu_);
  std::vector<BranchState> states;
  for (BranchId id : branches_.order()) {
    const Branch& branch = branches_.branch(id);
    const WritableBranch* writable = branches_.writable(id);
    states.push_back({id, branch.spec(), branch.root_fd(), writable != nullptr ? writable->workdir_fd.get() : -1});
  }
  return states;
}

BranchId UnionFs::FreeBranchId() {
  MutexLock lock(&mu_);
  return branches_.FreeId();
}

std::string UnionFs::PathOf(const Inode* inode) const {
  std::string path;
  for (; inode != root_.get(); inode = inode->names.front()->parent) {
    if (inode->names.empty()) return absl::StrCat("(removed)", path);
    path = absl::StrCat("/", inode->names.front()->name, path);
  }
  return path.empty() ? "/" : path;
}

bool UnionFs::IsLostLocked(const Inode* inode, BranchId branch, bool dirs) const {
  if (inode->is_dir()) {
    const Directory& dir = *inode->dir;
    return dirs && inode != root_.get() && !dir.merged() && dir.top()->branch->id() == branch;
  }
  if (inode->home == branch) return true;
  if (inode->orphan_dir != nullptr && inode->orphan_dir->branch->id() == branch) return true;
  return inode->lower_data != nullptr && inode->lower_data->dir->branch->id() == branch;
}

std::string UnionFs::InUseLocked(BranchId branch, bool dirs, std::vector<KernelNote>* notes) {
  // The longest path: a directory is known as long as something in it is in use.
  std::string in_use;
  auto look_at = [&](const Inode* inode) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (!IsLostLocked(inode, branch, dirs)) return;
    std::string path = PathOf(inode);
    if (path.size() > in_use.size()) in_use = std::move(path);
    for (const Dentry* dentry : inode->names) notes->push_back({IdOf(dentry->parent), dentry->name, 0, false});
  };
  for (const Inode* orphan : orphans_) look_at(orphan);
  std::vector<const Inode*> known = {root_.get()};
  for (size_t i = 0; i < known.size(); ++i) {
    look_at(known[i]);
    if (!known[i]->is_dir()) continue;
    for (const auto& [name, dentry] : known[i]->dir->entries) {
      if (dentry->inode != nullptr && dentry->inode->names.front() == dentry.get()) known.push_back(dentry->inode);
    }
  }
  std::reverse(notes->begin(), notes->end());
  return in_use;
}

Errno UnionFs::AddBranch(size_t position, NewBranch added, std::vector<KernelNote>* notes) {
  MutexLock lock(&mu_);
  ACETATE_ASSIGN_OR_RETURN(BranchSet::Member member, MakeMember(std::move(added)));
  ACETATE_RETURN_IF_ERROR(branches_.Insert(std::min(position, branches_.order().size()), std::move(member)));
  RestackLocked(notes);
  return kOk;
}

Errno UnionFs::RemoveBranch(BranchId branch, std::string* in_use, std::vector<KernelNote>* notes) {
  MutexLock lock(&mu_);
  if (branches_.order().size() == 1) return Errno(EINVAL);
  *in_use = InUseLocked(branch, /*dirs=*/true, notes);
  if (!in_use->empty()) return Errno(EBUSY);
  BranchSet::Member member = branches_.Take(branch);
  if (member.writable != nullptr) member.writable->work->Sweep();
  retired_.push_back(std::move(member.branch));
  RestackLocked(notes);
  return kOk;
}

Errno UnionFs::ReplaceBranch(BranchId branch, NewBranch* replacement, std::string* in_use,
                             std::vector<KernelNote>* notes) {
  MutexLock lock(&mu_);
  *in_use = InUseLocked(branch, /*dirs=*/false, notes);
  if (!in_use->empty()) return Errno(EBUSY);
  const size_t position = branches_.position(branch);
  ACETATE_ASSIGN_OR_RETURN(BranchSet::Member member, MakeMember(std::move(*replacement)));
  BranchSet::Member old = branches_.Take(branch);
  if (Errno error = branches_.Insert(position, std::move(member)); !error.ok()) {
    branches_.Insert(position, std::move(old)).IgnoreError();
    return error;
  }
  retired_.push_back(std::move(old.branch));
  RestackLocked(notes);
  return kOk;
}

void UnionFs::MoveBranch(BranchId branch, size_t position, std::vector<KernelNote>* notes) {
  MutexLock lock(&mu_);
  branches_.Move(branch, std::min(position, branches_.order().size() - 1));
  RestackLocked(notes);
}

}  // namespace acetate::fusefs
