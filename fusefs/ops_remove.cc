// Names that go: unlink and rmdir, and what is kept of an object that is still in use.
#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>

#include "absl/cleanup/cleanup.h"
#include "fusefs/union_fs.h"
#include "fusefs/with_spare_fds.h"

namespace acetate::fusefs {

Errno UnionFs::KeepOrphanLocked(Dentry* dentry) {
  Inode* inode = dentry->inode;
  if (!inode->upper) {
    // A lower object stays where it is; only the union loses it.
    ACETATE_ASSIGN_OR_RETURN(Location where, Locate(inode));
    const Directory& parent = *dentry->parent->dir;
    inode->orphan_dir = parent.lowers[dentry->lowers.front()];
    inode->orphan_name = dentry->name;
    return kOk;
  }
  ACETATE_RETURN_IF_ERROR(FindContentsLocked(inode));            // by its name, while it has one
  if (inode->orphan_fd != nullptr || inode->parked) return kOk;  // kept already, for a removal that then failed
  ACETATE_ASSIGN_OR_RETURN(Location where, Locate(inode));
  if (orphan_fds_ < max_orphan_fds_) {
    ErrnoOr<UniqueFd> fd = WithSpareFds([&] { return upper_->Open(where.dirfd(), where.c_name(), O_PATH, 0); });
    if (fd.ok()) {
      HoldByFdLocked(inode, *std::move(fd));
      return kOk;
    }
    if (!(fd.error() == EMFILE || fd.error() == ENFILE)) return fd.error();
  }
  const std::string temp = work_->TempName();
  ACETATE_RETURN_IF_ERROR(upper_->Link(where.dirfd(), where.c_name(), work_->fd(), temp.c_str()));
  inode->parked = true;
  inode->orphan_dir = work_layer_;
  inode->orphan_name = temp;
  return kOk;
}

void UnionFs::HoldByFdLocked(Inode* inode, UniqueFd fd) {
  inode->orphan_fd = std::make_shared<const UniqueFd>(std::move(fd));
  ++orphan_fds_;
}

void UnionFs::ReleaseOrphanLocked(Inode* inode) {
  if (inode->orphan_fd != nullptr) {
    inode->orphan_fd.reset();
    --orphan_fds_;
  }
  if (inode->parked) {
    inode->parked = false;
    work_->Remove(inode->orphan_name).IgnoreError();
  }
  inode->orphan_dir.reset();
}

void UnionFs::ForgetNameLocked(Dentry* dentry, bool whiteout) {
  Inode* inode = dentry->inode;
  if (inode != nullptr) {
    Unbind(dentry);
    if (inode->names.empty()) orphans_.insert(inode);
  }
  DropDentry(dentry, whiteout);
  if (inode != nullptr) FreeIfUnused(inode);
}

Errno UnionFs::ReplaceByWhiteoutLocked(int dirfd, const char* name) {
  const std::string temp = work_->TempName();
  ACETATE_RETURN_IF_ERROR(whiteouts_->PrepareDir(dirfd));
  ACETATE_RETURN_IF_ERROR(whiteouts_->Place(work_->fd(), temp.c_str()));
  Errno error = upper_->Rename(work_->fd(), temp.c_str(), dirfd, name, 0);
  if (!error.ok()) work_->Remove(temp).IgnoreError();
  return error;
}

Errno UnionFs::Unlink(NodeId parent, const std::string& name) {
  MutexLock lock(&mu_);
  ACETATE_ASSIGN_OR_RETURN(Inode * dir, ListedDirLocked(parent));
  ACETATE_ASSIGN_OR_RETURN(Dentry * dentry, FindShown(dir, name));
  ACETATE_RETURN_IF_ERROR(MayRemoveLocked(dentry));
  if (dentry->type == DT_DIR) return Errno(EISDIR);
  if (dentry->inode == nullptr && index_ != nullptr) {
    struct stat st;
    ACETATE_RETURN_IF_ERROR(Bind(dentry, &st).error());  // it may be one of several names
  }
  if (Inode* inode = dentry->inode; inode != nullptr && inode->links != nullptr && !inode->upper) {
    // How many names are left can only be written down with a copy (ovl_nlink_start()).
    ACETATE_RETURN_IF_ERROR(CopyUpLocked(inode));
    dentry = Find(dir, name);
    if (dentry == nullptr || dentry->inode != inode) return Errno(ENOENT);
  }
  ACETATE_RETURN_IF_ERROR(CopyUpDirLocked(dir));
  ACETATE_ASSIGN_OR_RETURN(FdRef fd, DirFd(dir->dir->upper.get()));
  ACETATE_ASSIGN_OR_RETURN(bool last, IsLastNameLocked(dentry->inode));
  if (last) ACETATE_RETURN_IF_ERROR(KeepOrphanLocked(dentry));
  const bool was_upper = dentry->in_upper;
  if (!dentry->below) {
    ACETATE_RETURN_IF_ERROR(upper_->Unlink(fd->get(), name.c_str()));
  } else if (dentry->in_upper) {
    ACETATE_RETURN_IF_ERROR(ReplaceByWhiteoutLocked(fd->get(), name.c_str()));
  } else {
    ACETATE_RETURN_IF_ERROR(whiteouts_->PrepareDir(fd->get()));
    ACETATE_RETURN_IF_ERROR(whiteouts_->Place(fd->get(), name.c_str()));
  }
  DropLinkLocked(dentry->inode, was_upper, last).IgnoreError();
  ForgetNameLocked(dentry, dentry->below);
  return kOk;
}

Errno UnionFs::CheckEmptyLocked(Inode* dir) {
  ACETATE_RETURN_IF_ERROR(ListLocked(dir));
  return dir->dir->shown == 0 ? kOk : Errno(ENOTEMPTY);
}

Errno UnionFs::RemoveDirLocked(Dentry* dentry) {
  Directory& dir = *dentry->inode->dir;
  ACETATE_ASSIGN_OR_RETURN(FdRef parent, DirFd(dentry->parent->dir->upper.get()));
  // Whoever stands in the directory keeps it: its attributes can be asked for until it is forgotten.
  ACETATE_ASSIGN_OR_RETURN(FdRef held, DirFd(dir.top()));
  if (dir.upper == nullptr) {
    ACETATE_RETURN_IF_ERROR(whiteouts_->PrepareDir(parent->get()));
    ACETATE_RETURN_IF_ERROR(whiteouts_->Place(parent->get(), dentry->name.c_str()));
  } else if (dentry->below) {
    // A whiteout cannot be renamed over a directory: they change places, and the directory is removed in the work
    // directory with the whiteouts that may be in it.
    const std::string temp = work_->TempName();
    ACETATE_RETURN_IF_ERROR(whiteouts_->PrepareDir(parent->get()));
    ACETATE_RETURN_IF_ERROR(whiteouts_->Place(work_->fd(), temp.c_str()));
    auto undo = absl::MakeCleanup([&] { work_->Remove(temp).IgnoreError(); });
    ACETATE_RETURN_IF_ERROR(
        upper_->Rename(work_->fd(), temp.c_str(), parent->get(), dentry->name.c_str(), RENAME_EXCHANGE));
  } else {
    Errno error = upper_->RmDir(parent->get(), dentry->name.c_str());
    // Empty in the union, yet not in the branch: whiteouts.
    if (error == ENOTEMPTY || error == EEXIST) error = work_->RemoveDirFrom(parent->get(), dentry->name.c_str());
    if (!error.ok()) return error;
  }
  dir.top()->pinned = std::move(held);
  dir.removed = true;
  return kOk;
}

Errno UnionFs::RmDir(NodeId parent, const std::string& name) {
  MutexLock lock(&mu_);
  ACETATE_ASSIGN_OR_RETURN(Inode * dir, ListedDirLocked(parent));
  ACETATE_ASSIGN_OR_RETURN(Dentry * dentry, FindShown(dir, name));
  if (dentry->type != DT_DIR) return Errno(ENOTDIR);
  struct stat st;
  ACETATE_ASSIGN_OR_RETURN(Inode * inode, Bind(dentry, &st));
  ACETATE_RETURN_IF_ERROR(MayRemoveLocked(dentry));
  ACETATE_RETURN_IF_ERROR(CheckEmptyLocked(inode));
  ACETATE_RETURN_IF_ERROR(CopyUpDirLocked(dir));
  ACETATE_RETURN_IF_ERROR(RemoveDirLocked(dentry));
  ForgetNameLocked(dentry, dentry->below);
  return kOk;
}

}  // namespace acetate::fusefs
