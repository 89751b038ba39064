// Where new objects and copies go: to a writable branch in which the union would show them, by the policies of
// placement.h.
#include "fusefs/placing.h"

#include "fusefs/placement.h"

namespace acetate::fusefs {

uint64_t FreeBytes(const Branch& branch) {
  ErrnoOr<struct statvfs> st = branch.StatFs(branch.root_fd());
  return st.ok() ? static_cast<uint64_t>(st->f_bavail) * st->f_frsize : 0;
}

bool UnionFs::Takes(const Inode* dir, BranchId branch) const {
  // The root is in all of them.
  for (; dir->dir->In(branch) == nullptr; dir = dir->names.front()->parent) {
    if (dir->dir->removed || !MayHold(branch, dir->names.front()->name)) return false;
    if (dir->dir->floor != kNoBranch && !branches_.Above(branch, dir->dir->floor)) return false;
  }
  return !dir->dir->removed;
}

bool UnionFs::MayHold(BranchId branch, absl::string_view name) const {
  return !branches_.writable(branch)->whiteouts->beside() || !IsDotWhName(name);
}

bool UnionFs::WouldShow(const Dentry* dentry, BranchId branch) const {
  if (dentry == nullptr) return true;
  if (!dentry->hidden()) return dentry->home() == branch || branches_.Above(branch, dentry->home());
  return dentry->end == branch || branches_.Above(branch, dentry->end);
}

UnionFs::Places UnionFs::PlacesForNewLocked(Inode* dir, const std::string& name) {
  const Dentry* dentry = Find(dir, name);
  const bool ask = several() && WantsFreeBytes(options_.create_policy);
  const BranchId top = dir->dir->top()->branch->id();
  std::vector<Candidate> candidates;
  size_t nearest = 0;
  for (BranchId id : branches_.writables()) {
    if (!Takes(dir, id) || !WouldShow(dentry, id) || !MayHold(id, name)) continue;
    if (branches_.Above(id, top)) ++nearest;
    candidates.push_back({id, dir->dir->In(id) != nullptr, ask ? FreeBytes(branches_.branch(id)) : 0});
  }
  return OrderForCreate(options_.create_policy, candidates, nearest, created_);
}

UnionFs::Places UnionFs::PlacesAboveLocked(const Inode* dir, const std::string& name, BranchId source) {
  std::vector<Candidate> candidates;
  for (BranchId id : branches_.writables()) {
    if (branches_.Above(id, source) && Takes(dir, id) && MayHold(id, name))
      candidates.push_back({id, dir->dir->In(id) != nullptr});
  }
  return OrderForCopyUp(options_.copy_up_policy, candidates);
}

UnionFs::Places UnionFs::PlacesForCopyLocked(const Inode* inode) {
  // What has no name any more is seen wherever it is.
  if (inode->names.empty()) return branches_.writables();
  const Dentry* dentry = inode->names.front();
  return PlacesAboveLocked(dentry->parent, dentry->name,
                           inode->is_dir() ? inode->dir->top()->branch->id() : inode->home);
}

void UnionFs::TouchTopLocked(Inode* dir, BranchId changed) {
  LayerDir* top = dir->dir->top();
  if (top->branch->id() == changed || branches_.writable(top->branch->id()) == nullptr) return;
  ErrnoOr<FdRef> fd = DirFd(top);
  const struct timespec times[2] = {{0, UTIME_OMIT}, {0, UTIME_NOW}};
  if (fd.ok()) top->branch->SetTimes((*fd)->get(), "", times).IgnoreError();
}

}  // namespace acetate::fusefs
