// Rename: what rename_plan.h decided, carried out.
//
// The order keeps the union whole at every step: nothing is opened to view before what hides it is in place, and the
// names change in one renameat2.
#include <dirent.h>
#include <linux/fs.h>

#include <climits>

#include "absl/cleanup/cleanup.h"
#include "fusefs/rename_plan.h"
#include "fusefs/union_fs.h"

namespace acetate::fusefs {
namespace {

RenameSide SideOf(const Dentry* dentry) {
  RenameSide side;
  if (dentry == nullptr) return side;
  side.exists = !dentry->whiteout;
  side.whiteout = dentry->whiteout;
  side.below = dentry->below;
  if (dentry->whiteout) return side;
  side.is_dir = dentry->type == DT_DIR;
  side.in_upper = dentry->in_upper;
  side.merged = side.is_dir && dentry->inode != nullptr && dentry->inode->dir->merged();
  return side;
}

}  // namespace

Errno UnionFs::MakeOpaqueLocked(Dentry* dentry) {
  ACETATE_ASSIGN_OR_RETURN(FdRef fd, DirFd(dentry->inode->dir->upper.get()));
  return upper_->SetXattr(fd->get(), "", xattrs_.opaque().c_str(), "y", 1, 0);
}

Errno UnionFs::KeepLowerPartLocked(Dentry* dentry, bool redirect, Inode* new_dir) {
  if (redirect) ACETATE_RETURN_IF_ERROR(RedirectDirLocked(dentry));
  if (!dentry->inode->is_dir()) ACETATE_RETURN_IF_ERROR(RedirectFileLocked(dentry->inode));
  // A number that is not the upper object's own is looked for at the next mount where the directory says so.
  return dentry->inode->own_ino && !redirect ? kOk : MarkImpureLocked(new_dir);
}

Errno UnionFs::ClearForReplacementLocked(Dentry* dentry) {
  ACETATE_ASSIGN_OR_RETURN(Location where, Locate(dentry->inode));
  ACETATE_ASSIGN_OR_RETURN(std::vector<RawEntry> left, upper_->ReadDir(where.dirfd()));
  if (left.empty()) return kOk;
  // As the kernel's ovl_clear_empty(): an empty opaque directory like it takes its place, and the one with the
  // whiteouts is taken apart out of sight.
  ACETATE_ASSIGN_OR_RETURN(struct stat st, upper_->Stat(where.dirfd(), ""));
  ACETATE_ASSIGN_OR_RETURN(FdRef parent, DirFd(dentry->parent->dir->upper.get()));
  const std::string temp = work_->TempName();
  ACETATE_RETURN_IF_ERROR(upper_->MkDir(work_->fd(), temp.c_str(), 0700));
  auto remove_temp = absl::MakeCleanup([&] { work_->Remove(temp).IgnoreError(); });
  ACETATE_RETURN_IF_ERROR(upper_->SetXattr(work_->fd(), temp.c_str(), xattrs_.opaque().c_str(), "y", 1, 0));
  ACETATE_RETURN_IF_ERROR(CopyMetadata(where, st, work_->fd(), temp.c_str()));
  ACETATE_RETURN_IF_ERROR(
      upper_->Rename(work_->fd(), temp.c_str(), parent->get(), dentry->name.c_str(), RENAME_EXCHANGE));
  dir_fds_.Drop(&dentry->inode->dir->upper->slot);
  return kOk;
}

Errno UnionFs::MoveLocked(int old_fd, const char* old_name, int new_fd, const char* new_name, bool leave_whiteout,
                          bool is_dir) {
  if (!leave_whiteout) return upper_->Rename(old_fd, old_name, new_fd, new_name, 0);
  ACETATE_RETURN_IF_ERROR(whiteouts_->PrepareDir(old_fd));
  if (whiteouts_->RenameLeavesWhiteout()) {
    Errno error = upper_->Rename(old_fd, old_name, new_fd, new_name, RENAME_WHITEOUT);
    if (!(error == EINVAL)) return error;
  }
  // This filesystem cannot do both at once. A file has both names for a moment, as a link; a directory, which cannot,
  // is moved before its old name is hidden.
  if (is_dir) {
    ACETATE_RETURN_IF_ERROR(upper_->Rename(old_fd, old_name, new_fd, new_name, 0));
    return whiteouts_->Place(old_fd, old_name);
  }
  const std::string temp = work_->TempName();
  ACETATE_RETURN_IF_ERROR(upper_->Link(old_fd, old_name, work_->fd(), temp.c_str()));
  Errno error = upper_->Rename(work_->fd(), temp.c_str(), new_fd, new_name, 0);
  if (!error.ok()) {
    work_->Remove(temp).IgnoreError();
    return error;
  }
  return ReplaceByWhiteoutLocked(old_fd, old_name);
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
    struct stat st;
    ACETATE_ASSIGN_OR_RETURN(Inode * inode, Bind(source, &st));
    Inode* target_inode = nullptr;
    if (target != nullptr && !target->whiteout) {
      ACETATE_ASSIGN_OR_RETURN(target_inode, Bind(target, &st));
    }
    RenameSide target_side = SideOf(target);
    target_side.same_object = target_inode == inode;
    ACETATE_ASSIGN_OR_RETURN(RenamePlan plan, PlanRename(SideOf(source), target_side, flags, options_.write_redirects));
    if (plan.nothing_to_do) return kOk;
    ACETATE_RETURN_IF_ERROR(MayRenameLocked(source, new_dir, target));
    if (!writable()) return Errno(EROFS);
    if (plan.check_target_empty) ACETATE_RETURN_IF_ERROR(CheckEmptyLocked(target_inode));
    // Copying contents gives up the lock: afterwards all is looked at anew.
    if (plan.copy_up_source) {
      ACETATE_RETURN_IF_ERROR(inode->upper ? LinkUpLocked(source) : CopyUpLocked(inode));
      continue;
    }
    // A file with other names below is copied up before it loses this one: their count is kept in the copy.
    const bool loses_a_name = target_inode != nullptr && target_inode->links != nullptr && !target_inode->upper;
    if (plan.copy_up_target || loses_a_name) {
      ACETATE_RETURN_IF_ERROR(target_inode->upper ? LinkUpLocked(target) : CopyUpLocked(target_inode));
      continue;
    }
    ACETATE_RETURN_IF_ERROR(CopyUpDirLocked(new_dir));
    return ExecuteRenameLocked(plan, source, new_dir, target, new_name);
  }
}

Errno UnionFs::ExecuteRenameLocked(const RenamePlan& plan, Dentry* source, Inode* new_dir, Dentry* target,
                                   const std::string& new_name) {
  const bool target_exists = target != nullptr && !target->whiteout;
  const bool is_dir = source->type == DT_DIR;
  ACETATE_RETURN_IF_ERROR(KeepLowerPartLocked(source, plan.redirect_source, new_dir));
  if (plan.exchange && target_exists) {
    ACETATE_RETURN_IF_ERROR(KeepLowerPartLocked(target, plan.redirect_target, source->parent));
  }
  if (plan.make_source_opaque) ACETATE_RETURN_IF_ERROR(MakeOpaqueLocked(source));
  if (plan.make_target_opaque) ACETATE_RETURN_IF_ERROR(MakeOpaqueLocked(target));
  if (plan.clear_target) ACETATE_RETURN_IF_ERROR(ClearForReplacementLocked(target));
  ACETATE_ASSIGN_OR_RETURN(FdRef old_fd, DirFd(source->parent->dir->upper.get()));
  ACETATE_ASSIGN_OR_RETURN(FdRef new_fd, DirFd(new_dir->dir->upper.get()));

  if (plan.exchange) {
    ACETATE_RETURN_IF_ERROR(
        upper_->Rename(old_fd->get(), source->name.c_str(), new_fd->get(), new_name.c_str(), RENAME_EXCHANGE));
    if (target_exists) {
      SwapLocked(source, target);
      return kOk;
    }
    // A whiteout that stays behind unneeded hides nothing: failing to remove it is no failure.
    bool dropped = plan.drop_old_whiteout && upper_->Unlink(old_fd->get(), source->name.c_str()).ok();
    TransferLocked(source, new_dir, target, new_name, !dropped);
    return kOk;
  }
  bool last = false;
  if (target_exists) {
    if (target->type == DT_DIR) {
      ACETATE_ASSIGN_OR_RETURN(FdRef held, DirFd(target->inode->dir->top()));
      ACETATE_RETURN_IF_ERROR(MoveLocked(old_fd->get(), source->name.c_str(), new_fd->get(), new_name.c_str(),
                                         plan.leave_whiteout, is_dir));
      target->inode->dir->top()->pinned = std::move(held);
      target->inode->dir->removed = true;
      TransferLocked(source, new_dir, target, new_name, plan.leave_whiteout);
      return kOk;
    }
    ACETATE_ASSIGN_OR_RETURN(last, IsLastNameLocked(target->inode));
    if (last) ACETATE_RETURN_IF_ERROR(KeepOrphanLocked(target));
  }
  ACETATE_RETURN_IF_ERROR(
      MoveLocked(old_fd->get(), source->name.c_str(), new_fd->get(), new_name.c_str(), plan.leave_whiteout, is_dir));
  if (target_exists) DropLinkLocked(target->inode, target->in_upper, last).IgnoreError();
  TransferLocked(source, new_dir, target, new_name, plan.leave_whiteout);
  return kOk;
}

void UnionFs::TransferLocked(Dentry* source, Inode* new_dir, Dentry* target, const std::string& new_name,
                             bool whiteout_at_source) {
  bool below = target != nullptr && target->below;
  if (target != nullptr) ForgetNameLocked(target, /*whiteout=*/false);
  Dentry* moved = AddDentry(new_dir, new_name);
  moved->below = below;
  moved->type = source->type;
  moved->ino = source->ino;
  moved->in_upper = true;
  ShowDentry(moved);
  Inode* inode = source->inode;
  BindTo(moved, inode);
  MoveLayerDirLocked(inode, new_dir, new_name);
  ForgetNameLocked(source, whiteout_at_source);
}

void UnionFs::SwapLocked(Dentry* a, Dentry* b) {
  Inode* inode_a = a->inode;
  Inode* inode_b = b->inode;
  Unbind(a);
  Unbind(b);
  std::swap(a->type, b->type);
  std::swap(a->ino, b->ino);
  // A directory that trades places has nothing of lower layers, whatever lies below its name.
  a->lowers.clear();
  b->lowers.clear();
  BindTo(a, inode_b);
  BindTo(b, inode_a);
  MoveLayerDirLocked(inode_b, a->parent, a->name);
  MoveLayerDirLocked(inode_a, b->parent, b->name);
}

void UnionFs::MoveLayerDirLocked(Inode* inode, Inode* new_dir, const std::string& new_name) {
  if (!inode->is_dir()) return;
  inode->dir->upper->parent = new_dir->dir->upper;
  inode->dir->upper->name = new_name;
}

}  // namespace acetate::fusefs
