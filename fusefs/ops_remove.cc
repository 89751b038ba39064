// Names that go: unlink and rmdir, and what is kept of an object that is still in use.
#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>

#include "absl/cleanup/cleanup.h"
#include "fusefs/placing.h"
#include "fusefs/with_spare_fds.h"

namespace acetate::fusefs {

Errno UnionFs::KeepOrphanLocked(Dentry* dentry) {
  Inode* inode = dentry->inode;
  WritableBranch* home = HomeOf(inode);
  if (home == nullptr) {
    // A lower object stays where it is; only the union loses it.
    inode->orphan_dir = dentry->parent->dir->In(dentry->home());
    inode->orphan_name = dentry->name;
    return kOk;
  }
  ACETATE_RETURN_IF_ERROR(FindContentsLocked(inode));            // by its name, while it has one
  if (inode->orphan_fd != nullptr || inode->parked) return kOk;  // kept already, for a removal that then failed
  ACETATE_ASSIGN_OR_RETURN(Location where, Locate(inode));
  if (orphan_fds_ < fd_share_) {
    // Open for its contents, it needs no other fd.
    if (FdRef open = data_fds_.Get(&inode->data); open != nullptr && inode->lower_data == nullptr) {
      HoldByFdLocked(inode, std::move(open));
      return kOk;
    }
    ErrnoOr<UniqueFd> fd = WithSpareFds([&] { return where.branch->Open(where.dirfd(), where.c_name(), O_PATH, 0); });
    if (fd.ok()) {
      HoldByFdLocked(inode, std::make_shared<const UniqueFd>(*std::move(fd)));
      return kOk;
    }
    if (!(fd.error() == EMFILE || fd.error() == ENFILE)) return fd.error();
  }
  const std::string temp = home->work->TempName();
  ACETATE_RETURN_IF_ERROR(where.branch->Link(where.dirfd(), where.c_name(), home->work_fd(), temp.c_str()));
  inode->parked = true;
  inode->orphan_dir = home->work_layer;
  inode->orphan_name = temp;
  return kOk;
}

void UnionFs::HoldByFdLocked(Inode* inode, FdRef fd) {
  inode->orphan_fd = std::move(fd);
  ++orphan_fds_;
}

void UnionFs::ReleaseOrphanLocked(Inode* inode) {
  if (inode->orphan_fd != nullptr) {
    inode->orphan_fd.reset();
    --orphan_fds_;
  }
  if (inode->parked) {
    inode->parked = false;
    HomeOf(inode)->work->Remove(inode->orphan_name).IgnoreError();
  }
  inode->orphan_dir.reset();
}

void UnionFs::ForgetNameLocked(Dentry* dentry, BranchId hider) {
  Inode* inode = dentry->inode;
  if (inode != nullptr) {
    Unbind(dentry);
    if (inode->names.empty()) orphans_.insert(inode);
  }
  DropDentry(dentry, hider);
  if (inode != nullptr) FreeIfUnused(inode);
}

Errno UnionFs::ReplaceByWhiteoutLocked(WritableBranch& branch, int dirfd, const char* name) {
  if (branch.whiteouts->beside()) {
    ACETATE_RETURN_IF_ERROR(branch.whiteouts->Place(dirfd, name));
    return branch->Unlink(dirfd, name);
  }
  const std::string temp = branch.work->TempName();
  ACETATE_RETURN_IF_ERROR(branch.whiteouts->PrepareDir(dirfd));
  ACETATE_RETURN_IF_ERROR(branch.whiteouts->Place(branch.work_fd(), temp.c_str()));
  Errno error = branch->Rename(branch.work_fd(), temp.c_str(), dirfd, name, 0);
  if (!error.ok()) branch.work->Remove(temp).IgnoreError();
  return error;
}

ErrnoOr<BranchId> UnionFs::HideLowerLocked(const Dentry& dentry) {
  BranchId place = kNoBranch;
  ACETATE_RETURN_IF_ERROR(InFirstWithRoom(PlacesAboveLocked(dentry.parent, dentry.name, dentry.home()),
                                          [&](WritableBranch& branch) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) -> Errno {
                                            place = branch.id();
                                            ACETATE_ASSIGN_OR_RETURN(FdRef fd, DirFdIn(branch, dentry.parent));
                                            ACETATE_RETURN_IF_ERROR(branch.whiteouts->PrepareDir(fd->get()));
                                            return branch.whiteouts->Place(fd->get(), dentry.name.c_str());
                                          }));
  return place;
}

Errno UnionFs::Unlink(NodeId parent, const std::string& name) {
  MutexLock lock(&mu_);
  ACETATE_ASSIGN_OR_RETURN(Inode * dir, ListedDirLocked(parent));
  ACETATE_ASSIGN_OR_RETURN(Dentry * dentry, FindShown(dir, name));
  ACETATE_RETURN_IF_ERROR(MayRemoveLocked(dentry));
  if (dentry->type == DT_DIR) return Errno(EISDIR);
  if (dentry->inode == nullptr && options_.index && !branches_.writables().empty()) {
    ACETATE_RETURN_IF_ERROR(Bind(dentry).error());  // it may be one of several names
  }
  if (Inode* inode = dentry->inode; inode != nullptr && inode->links != nullptr && HomeOf(inode) == nullptr) {
    // How many names are left can only be written down with a copy (ovl_nlink_start()).
    ACETATE_RETURN_IF_ERROR(CopyUpLocked(inode));
    dentry = Find(dir, name);
    if (dentry == nullptr || dentry->inode != inode) return Errno(ENOENT);
  }
  WritableBranch* home = branches_.writable(dentry->home());
  if (home == nullptr && PlacesAboveLocked(dir, name, dentry->home()).empty()) return Errno(EROFS);
  ACETATE_ASSIGN_OR_RETURN(bool last, IsLastNameLocked(dentry->inode));
  if (last) ACETATE_RETURN_IF_ERROR(KeepOrphanLocked(dentry));
  BranchId changed = dentry->home();
  BranchId hider = kNoBranch;
  if (home == nullptr) {
    ACETATE_ASSIGN_OR_RETURN(hider, HideLowerLocked(*dentry));
    changed = hider;
  } else {
    ACETATE_ASSIGN_OR_RETURN(FdRef fd, DirFd(dir->dir->In(home->id()).get()));
    if (dentry->below) hider = home->id();
    ACETATE_RETURN_IF_ERROR(dentry->below ? ReplaceByWhiteoutLocked(*home, fd->get(), name.c_str())
                                          : home->branch->Unlink(fd->get(), name.c_str()));
  }
  TouchTopLocked(dir, changed);
  DropLinkLocked(dentry->inode, home != nullptr, last).IgnoreError();
  ForgetNameLocked(dentry, hider);
  return kOk;
}

Errno UnionFs::CheckEmptyLocked(Inode* dir) {
  ACETATE_RETURN_IF_ERROR(ListLocked(dir));
  return dir->dir->shown == 0 ? kOk : Errno(ENOTEMPTY);
}

Errno UnionFs::RemoveOwnDirLocked(WritableBranch& branch, Dentry* dentry) {
  ACETATE_ASSIGN_OR_RETURN(FdRef parent, DirFd(dentry->parent->dir->In(branch.id()).get()));
  const char* name = dentry->name.c_str();
  if (!dentry->below) {
    Errno error = branch->RmDir(parent->get(), name);
    // Empty in the union, yet not in the branch: whiteouts.
    if (error == ENOTEMPTY || error == EEXIST) error = branch.work->RemoveDirFrom(parent->get(), name);
    return error;
  }
  if (branch.whiteouts->beside()) {
    ACETATE_RETURN_IF_ERROR(branch.whiteouts->Place(parent->get(), name));
    return branch.work->RemoveDirFrom(parent->get(), name);
  }
  // A whiteout cannot be renamed over a directory: they change places, and the directory is removed in the work
  // directory with the whiteouts that may be in it.
  const std::string temp = branch.work->TempName();
  ACETATE_RETURN_IF_ERROR(branch.whiteouts->PrepareDir(parent->get()));
  ACETATE_RETURN_IF_ERROR(branch.whiteouts->Place(branch.work_fd(), temp.c_str()));
  auto undo = absl::MakeCleanup([&] { branch.work->Remove(temp).IgnoreError(); });
  return branch->Rename(branch.work_fd(), temp.c_str(), parent->get(), name, RENAME_EXCHANGE);
}

Errno UnionFs::RmDir(NodeId parent, const std::string& name) {
  MutexLock lock(&mu_);
  ACETATE_ASSIGN_OR_RETURN(Inode * dir, ListedDirLocked(parent));
  ACETATE_ASSIGN_OR_RETURN(Dentry * dentry, FindShown(dir, name));
  if (dentry->type != DT_DIR) return Errno(ENOTDIR);
  ACETATE_ASSIGN_OR_RETURN(Inode * inode, Bind(dentry));
  ACETATE_RETURN_IF_ERROR(MayRemoveLocked(dentry));
  ACETATE_RETURN_IF_ERROR(CheckEmptyLocked(inode));
  // Whoever stands in the directory keeps it: its attributes can be asked for until it is forgotten.
  LayerDir* top = inode->dir->top();
  ACETATE_ASSIGN_OR_RETURN(FdRef held, DirFd(top));
  BranchId changed = dentry->home();
  BranchId hider = kNoBranch;
  if (WritableBranch* home = branches_.writable(dentry->home())) {
    if (dentry->below) hider = home->id();
    ACETATE_RETURN_IF_ERROR(RemoveOwnDirLocked(*home, dentry));
  } else {
    ACETATE_ASSIGN_OR_RETURN(hider, HideLowerLocked(*dentry));
    changed = hider;
  }
  TouchTopLocked(dir, changed);
  top->pinned = std::move(held);
  inode->dir->removed = true;
  ForgetNameLocked(dentry, hider);
  return kOk;
}

}  // namespace acetate::fusefs
