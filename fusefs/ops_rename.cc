// Rename: what rename_plan.h decided, carried out.
//
// The order keeps the union whole at every step: nothing is opened to view before what hides it is in place, and the
// names change in one renameat2.
#include <dirent.h>
#include <linux/fs.h>

#include <climits>

#include "absl/cleanup/cleanup.h"
#include "fusefs/keeping_times.h"
#include "fusefs/rename_plan.h"

namespace acetate::fusefs {

RenameSide UnionFs::SideOf(const Dentry* dentry, BranchId branch) const {
  RenameSide side;
  if (dentry == nullptr) return side;
  if (dentry->hidden()) {
    side.whiteout = dentry->end == branch;
    side.below = side.whiteout && dentry->below;
    return side;
  }
  side.exists = true;
  side.is_dir = dentry->type == DT_DIR;
  side.in_upper = dentry->home() == branch;
  side.below = dentry->below || !side.in_upper;
  side.merged = side.is_dir && dentry->inode != nullptr && dentry->inode->dir->merged();
  return side;
}

ErrnoOr<WritableBranch*> UnionFs::PlaceForRename(const Dentry* source, const Inode* new_dir,
                                                 const std::string& new_name, bool exchange) const {
  const Dentry* target = Find(new_dir, new_name);
  WritableBranch* place = nullptr;
  bool writable = false, forbidden = false;
  // The lowest that will do is the nearest to the source, or its own.
  for (BranchId id : branches_.writables()) {
    if (!WouldShow(source, id)) continue;
    writable = true;
    if (!MayHold(id, new_name) || !MayHold(id, source->name)) {
      forbidden = true;  // it would be a whiteout
      continue;
    }
    if (Takes(source->parent, id) && Takes(new_dir, id) && WouldShow(target, id)) place = branches_.writable(id);
  }
  if (place == nullptr && forbidden) return Errno(EPERM);
  if (place == nullptr) return Errno(writable ? EXDEV : EROFS);
  // Other names of a file that would move between writable branches would stay behind.
  auto stays = [&](const Dentry* dentry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    const Inode* inode = dentry->inode;
    return !inode->is_dir() && inode->home != place->id() && branches_.writable(inode->home) != nullptr &&
           inode->linked_ino != 0;
  };
  if (stays(source) || (exchange && target != nullptr && target->inode != nullptr && stays(target)))
    return Errno(EXDEV);
  return place;
}

Errno UnionFs::BringToLocked(WritableBranch& branch, Dentry* dentry) {
  Inode* inode = dentry->inode;
  if (inode->is_dir()) return MakeDirInLocked(branch, inode);
  if (inode->links != nullptr && inode->home == branch.id()) return LinkUpLocked(dentry);
  if (HomeOf(inode) != nullptr) return MoveFileLocked(branch, inode);
  while (inode->copying) copied_.Wait(&mu_);
  return HomeOf(inode) != nullptr ? kOk : CopyFileToLocked(branch, inode, !options_.metacopy, kWhole);
}

Errno UnionFs::MakeOpaqueLocked(WritableBranch& branch, Dentry* dentry) {
  ACETATE_ASSIGN_OR_RETURN(FdRef fd, DirFd(dentry->inode->dir->top()));
  ACETATE_RETURN_IF_ERROR(branch.whiteouts->MakeOpaque(fd->get(), ""));
  dentry->inode->dir->floor = branch.id();
  return kOk;
}

Errno UnionFs::KeepLowerPartLocked(WritableBranch& branch, Dentry* dentry, bool redirect, Inode* new_dir) {
  if (redirect) ACETATE_RETURN_IF_ERROR(RedirectDirLocked(dentry));
  if (!dentry->inode->is_dir()) ACETATE_RETURN_IF_ERROR(RedirectFileLocked(dentry->inode));
  // A number that is not the upper object's own is looked for at the next mount where the directory says so.
  return dentry->inode->own_ino && !redirect ? kOk : MarkImpureLocked(branch, new_dir);
}

Errno UnionFs::ClearForReplacementLocked(WritableBranch& branch, Dentry* dentry) {
  ACETATE_ASSIGN_OR_RETURN(Location where, Locate(dentry->inode));
  ACETATE_ASSIGN_OR_RETURN(std::vector<RawEntry> left, branch->ReadDir(where.dirfd()));
  if (left.empty()) return kOk;
  // As the kernel's ovl_clear_empty(): an empty opaque directory like it takes its place, and the one with the
  // whiteouts is taken apart out of sight. Opaque marks that are files are put in once it is there: a rename replaces
  // empty directories only.
  ACETATE_ASSIGN_OR_RETURN(struct stat st, branch->Stat(where.dirfd(), ""));
  ACETATE_ASSIGN_OR_RETURN(FdRef parent, DirFd(dentry->parent->dir->In(branch.id()).get()));
  const std::string temp = branch.work->TempName();
  ACETATE_RETURN_IF_ERROR(branch->MkDir(branch.work_fd(), temp.c_str(), 0700));
  auto remove_temp = absl::MakeCleanup([&] { branch.work->Remove(temp).IgnoreError(); });
  if (!branch.whiteouts->beside()) {
    ACETATE_RETURN_IF_ERROR(branch.whiteouts->MakeOpaque(branch.work_fd(), temp.c_str()));
  } else if (dentry->below) {
    ACETATE_RETURN_IF_ERROR(branch.whiteouts->Place(parent->get(), dentry->name.c_str()));
  }
  ACETATE_RETURN_IF_ERROR(CopyMetadata(branch, where, st, temp.c_str(), dentry->inode));
  ACETATE_RETURN_IF_ERROR(
      branch->Rename(branch.work_fd(), temp.c_str(), parent->get(), dentry->name.c_str(), RENAME_EXCHANGE));
  dir_fds_.Drop(&dentry->inode->dir->top()->slot);
  return kOk;
}

Errno UnionFs::MoveNameLocked(WritableBranch& branch, int old_fd, const char* old_name, int new_fd,
                              const char* new_name, bool leave_whiteout, bool is_dir) {
  if (!leave_whiteout) return branch->Rename(old_fd, old_name, new_fd, new_name, 0);
  if (branch.whiteouts->beside()) {
    ACETATE_RETURN_IF_ERROR(branch.whiteouts->Place(old_fd, old_name));
    return branch->Rename(old_fd, old_name, new_fd, new_name, 0);
  }
  ACETATE_RETURN_IF_ERROR(branch.whiteouts->PrepareDir(old_fd));
  if (branch.whiteouts->RenameLeavesWhiteout()) {
    Errno error = branch->Rename(old_fd, old_name, new_fd, new_name, RENAME_WHITEOUT);
    if (!(error == EINVAL)) return error;
  }
  // This filesystem cannot do both at once. A file has both names for a moment, as a link; a directory, which cannot,
  // is moved before its old name is hidden.
  if (is_dir) {
    ACETATE_RETURN_IF_ERROR(branch->Rename(old_fd, old_name, new_fd, new_name, 0));
    return branch.whiteouts->Place(old_fd, old_name);
  }
  const std::string temp = branch.work->TempName();
  ACETATE_RETURN_IF_ERROR(branch->Link(old_fd, old_name, branch.work_fd(), temp.c_str()));
  Errno error = branch->Rename(branch.work_fd(), temp.c_str(), new_fd, new_name, 0);
  if (!error.ok()) {
    branch.work->Remove(temp).IgnoreError();
    return error;
  }
  return ReplaceByWhiteoutLocked(branch, old_fd, old_name);
}

Errno UnionFs::Rename(NodeId parent, const std::string& name, NodeId new_parent, const std::string& new_name,
                      unsigned flags) {
  MutexLock lock(&mu_);
  for (;;) {
    ACETATE_ASSIGN_OR_RETURN(Inode * old_dir, ListedDirLocked(parent));
    ACETATE_ASSIGN_OR_RETURN(Inode * new_dir, ListedDirLocked(new_parent));
    ACETATE_ASSIGN_OR_RETURN(Dentry * source, FindShown(old_dir, name));
    if (new_name.size() > NAME_MAX) return Errno(ENAMETOOLONG);
    Dentry* target = Find(new_dir, new_name);
    ACETATE_ASSIGN_OR_RETURN(Inode * inode, Bind(source));
    Inode* target_inode = nullptr;
    if (target != nullptr && !target->hidden()) {
      ACETATE_ASSIGN_OR_RETURN(target_inode, Bind(target));
    }
    // What is wrong whatever the branch is said before what is wrong with that.
    ErrnoOr<WritableBranch*> place = PlaceForRename(source, new_dir, new_name, (flags & RENAME_EXCHANGE) != 0);
    const BranchId id = place.ok() ? (*place)->id() : kNoBranch;
    const bool beside = place.ok() && (*place)->whiteouts->beside();
    RenameSide target_side = SideOf(target, id);
    target_side.same_object = target_inode == inode;
    ACETATE_ASSIGN_OR_RETURN(RenamePlan plan,
                             PlanRename(SideOf(source, id), target_side, flags, options_.write_redirects, beside));
    if (plan.nothing_to_do) return kOk;
    ACETATE_RETURN_IF_ERROR(MayRenameLocked(source, new_dir, target));
    if (!place.ok()) return place.error();
    WritableBranch& branch = **place;
    if (plan.check_target_empty) ACETATE_RETURN_IF_ERROR(CheckEmptyLocked(target_inode));
    // Copying contents gives up the lock: afterwards all is looked at anew.
    if (plan.copy_up_source) {
      ACETATE_RETURN_IF_ERROR(BringToLocked(branch, source));
      continue;
    }
    // A file with other names below is copied up before it loses this one: their count is kept in the copy.
    const bool loses_a_name =
        target_inode != nullptr && target_inode->links != nullptr && HomeOf(target_inode) == nullptr;
    if (plan.copy_up_target || loses_a_name) {
      ACETATE_RETURN_IF_ERROR(BringToLocked(branch, target));
      continue;
    }
    ACETATE_RETURN_IF_ERROR(MakeDirInLocked(branch, new_dir));
    return ExecuteRenameLocked(branch, plan, source, new_dir, target, new_name);
  }
}

Errno UnionFs::ExecuteRenameLocked(WritableBranch& branch, const RenamePlan& plan, Dentry* source, Inode* new_dir,
                                   Dentry* target, const std::string& new_name) {
  const bool target_exists = target != nullptr && !target->hidden();
  const bool is_dir = source->type == DT_DIR;
  ACETATE_RETURN_IF_ERROR(KeepLowerPartLocked(branch, source, plan.redirect_source, new_dir));
  if (plan.exchange && target_exists) {
    ACETATE_RETURN_IF_ERROR(KeepLowerPartLocked(branch, target, plan.redirect_target, source->parent));
  }
  if (plan.make_source_opaque) ACETATE_RETURN_IF_ERROR(MakeOpaqueLocked(branch, source));
  if (plan.make_target_opaque) ACETATE_RETURN_IF_ERROR(MakeOpaqueLocked(branch, target));
  if (plan.clear_target) ACETATE_RETURN_IF_ERROR(ClearForReplacementLocked(branch, target));
  ACETATE_ASSIGN_OR_RETURN(FdRef old_fd, DirFd(source->parent->dir->In(branch.id()).get()));
  ACETATE_ASSIGN_OR_RETURN(FdRef new_fd, DirFd(new_dir->dir->In(branch.id()).get()));

  if (plan.exchange) {
    ACETATE_RETURN_IF_ERROR(
        branch->Rename(old_fd->get(), source->name.c_str(), new_fd->get(), new_name.c_str(), RENAME_EXCHANGE));
    TouchTopLocked(source->parent, branch.id());
    TouchTopLocked(new_dir, branch.id());
    if (target_exists) {
      SwapLocked(branch, source, target);
      return kOk;
    }
    // A whiteout that stays behind unneeded hides nothing: failing to remove it is no failure.
    bool dropped = plan.drop_old_whiteout && branch->Unlink(old_fd->get(), source->name.c_str()).ok();
    TransferLocked(branch, source, new_dir, target, new_name, !dropped);
    return kOk;
  }
  bool last = false;
  FdRef held;
  if (target_exists && target->type == DT_DIR) {
    ACETATE_ASSIGN_OR_RETURN(held, DirFd(target->inode->dir->top()));
  } else if (target_exists) {
    ACETATE_ASSIGN_OR_RETURN(last, IsLastNameLocked(target->inode));
    if (last) ACETATE_RETURN_IF_ERROR(KeepOrphanLocked(target));
  }
  ACETATE_RETURN_IF_ERROR(MoveNameLocked(branch, old_fd->get(), source->name.c_str(), new_fd->get(), new_name.c_str(),
                                         plan.leave_whiteout, is_dir));
  if (plan.drop_new_whiteout) branch.whiteouts->RemoveBeside(new_fd->get(), new_name.c_str()).IgnoreError();
  TouchTopLocked(source->parent, branch.id());
  TouchTopLocked(new_dir, branch.id());
  if (held != nullptr) {
    target->inode->dir->top()->pinned = std::move(held);
    target->inode->dir->removed = true;
  } else if (target_exists) {
    RemoveHiddenLocked(branch, *target);
    DropLinkLocked(target->inode, branches_.writable(target->home()) != nullptr, last).IgnoreError();
  }
  TransferLocked(branch, source, new_dir, target, new_name, plan.leave_whiteout);
  return kOk;
}

void UnionFs::RemoveHiddenLocked(const WritableBranch& branch, const Dentry& target) {
  const WritableBranch* home = branches_.writable(target.home());
  if (home == nullptr || home == &branch) return;
  KeepingTimesLocked(target.parent->dir->In(home->id()).get(), [&](int fd) {
    return home->branch->Unlink(fd, target.name.c_str());
  }).IgnoreError();
}

void UnionFs::TransferLocked(const WritableBranch& branch, Dentry* source, Inode* new_dir, Dentry* target,
                             const std::string& new_name, bool whiteout_at_source) {
  const bool below = SideOf(target, branch.id()).below;
  BranchId end = target != nullptr ? target->end : kNoBranch;
  if (end == branch.id()) end = kNoBranch;
  if (target != nullptr) {
    if (target->hidden()) {
      new_dir->dir->entries.erase(new_name);
    } else {
      target->end = kNoBranch;
      ForgetNameLocked(target, kNoBranch);
    }
  }
  Dentry* moved = AddDentry(new_dir, new_name);
  moved->below = below;
  moved->end = end;
  moved->type = source->type;
  moved->ino = source->ino;
  moved->layers = {branch.id()};
  ShowDentry(moved);
  Inode* inode = source->inode;
  BindTo(moved, inode);
  MoveLayerDirLocked(inode, *moved);
  ForgetNameLocked(source, whiteout_at_source ? branch.id() : kNoBranch);
  if (several()) RefreshLocked(moved);
}

void UnionFs::SwapLocked(const WritableBranch& branch, Dentry* a, Dentry* b) {
  Inode* inode_a = a->inode;
  Inode* inode_b = b->inode;
  Unbind(a);
  Unbind(b);
  std::swap(a->type, b->type);
  std::swap(a->ino, b->ino);
  // A directory that trades places has nothing of lower layers, whatever lies below its name.
  a->layers = {branch.id()};
  b->layers = {branch.id()};
  BindTo(a, inode_b);
  BindTo(b, inode_a);
  MoveLayerDirLocked(inode_b, *a);
  MoveLayerDirLocked(inode_a, *b);
  if (!several()) return;
  RefreshLocked(a);
  RefreshLocked(b);
}

void UnionFs::MoveLayerDirLocked(Inode* inode, const Dentry& dentry) {
  if (!inode->is_dir()) return;
  LayerDir* top = inode->dir->top();
  top->parent = dentry.parent->dir->In(dentry.home());
  top->name = dentry.name;
}

}  // namespace acetate::fusefs
