// Copy-up: an object of a lower layer gets a copy in the upper branch, which is then written instead.
//
// As the kernel's ovl_copy_up(): the copy is built in the work directory with contents, owner, xattrs, mode and times,
// and published by one rename. A failure, or death, at any point leaves the object as it was. Directories above it are
// copied up first, one at a time from the top.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "fusefs/copy_data.h"
#include "fusefs/keeping_times.h"
#include "fusefs/union_fs.h"
#include "fusefs/with_spare_fds.h"

namespace acetate::fusefs {

Errno UnionFs::CopyUpLocked(Inode* inode) {
  return inode->is_dir() ? CopyUpDirLocked(inode) : CopyUpFileLocked(inode, !options_.metacopy, kWhole);
}

Errno UnionFs::CopyUpContentsLocked(Inode* inode, off_t size_limit) {
  ACETATE_ASSIGN_OR_RETURN(bool lazy, StartLazyCopyLocked(inode, size_limit));
  return lazy ? kOk : CopyUpFileLocked(inode, true, size_limit);
}

Errno UnionFs::CopyUpDirLocked(Inode* dir) {
  if (!writable()) return Errno(EROFS);
  std::vector<Inode*> missing;
  for (; dir->dir->upper == nullptr; dir = dir->names.front()->parent) {
    if (dir->dir->removed) return Errno(ENOENT);
    missing.push_back(dir);
  }
  for (; !missing.empty(); missing.pop_back()) ACETATE_RETURN_IF_ERROR(CopyUpOneDirLocked(missing.back()));
  return kOk;
}

Errno UnionFs::CopyUpOneDirLocked(Inode* dir) {
  Dentry* dentry = dir->names.front();
  LayerDirRef parent = dentry->parent->dir->upper;
  ACETATE_ASSIGN_OR_RETURN(Location from, Locate(dir));
  ACETATE_ASSIGN_OR_RETURN(struct stat st, from.branch->Stat(from.dirfd(), ""));
  const std::string temp = work_->TempName();
  ACETATE_RETURN_IF_ERROR(upper_->MkDir(work_->fd(), temp.c_str(), 0700));
  auto undo = absl::MakeCleanup([&] { work_->Remove(temp).IgnoreError(); });
  ACETATE_RETURN_IF_ERROR(CopyMetadata(from, st, work_->fd(), temp.c_str()));

  ACETATE_RETURN_IF_ERROR(KeepingTimesLocked(
      parent.get(), [&](int fd) { return upper_->Rename(work_->fd(), temp.c_str(), fd, dentry->name.c_str(), 0); }));
  std::move(undo).Cancel();
  dir->dir->upper = ChildLayer(parent, dentry->name);
  dentry->in_upper = true;
  stats_->Add(Gauge::kCopyUps, 1);
  return kOk;
}

Errno UnionFs::CopyUpFileLocked(Inode* inode, bool contents, off_t size_limit) {
  // Attributes of a file whose contents are being fetched can change; of one that is not there yet they cannot.
  while (inode->copying && (contents || !inode->upper)) copied_.Wait(&mu_);
  if (inode->upper) return contents ? FetchContentsLocked(inode, size_limit) : kOk;
  if (!writable()) return Errno(EROFS);
  if (!inode->names.empty()) ACETATE_RETURN_IF_ERROR(CopyUpDirLocked(inode->names.front()->parent));

  ACETATE_ASSIGN_OR_RETURN(Location from, Locate(inode));
  ACETATE_ASSIGN_OR_RETURN(struct stat st, from.branch->Stat(from.dirfd(), from.c_name()));
  ACETATE_RETURN_IF_ERROR(FindContentsLocked(inode));
  if (!S_ISREG(st.st_mode) || st.st_size == 0) contents = true;  // there is nothing to leave below
  const std::string temp = work_->TempName();
  UniqueFd data;
  if (S_ISREG(st.st_mode)) {
    ACETATE_ASSIGN_OR_RETURN(
        data, WithSpareFds([&] { return upper_->Open(work_->fd(), temp.c_str(), O_CREAT | O_EXCL | O_RDWR, 0600); }));
  } else if (S_ISLNK(st.st_mode)) {
    ACETATE_ASSIGN_OR_RETURN(std::string target, from.branch->ReadLink(from.dirfd(), from.c_name()));
    ACETATE_RETURN_IF_ERROR(upper_->SymLink(target.c_str(), work_->fd(), temp.c_str()));
  } else {
    ACETATE_RETURN_IF_ERROR(upper_->MkNod(work_->fd(), temp.c_str(), (st.st_mode & S_IFMT) | 0600, st.st_rdev));
  }
  auto undo = absl::MakeCleanup([&] { work_->Remove(temp).IgnoreError(); });

  const off_t size = size_limit < 0 ? st.st_size : std::min(st.st_size, size_limit);
  if (!contents) {
    if (ftruncate(data.get(), st.st_size) != 0) return Errno::Last();
    ACETATE_RETURN_IF_ERROR(upper_->SetXattr(work_->fd(), temp.c_str(), xattrs_.metacopy().c_str(), "", 0, 0));
  } else if (data.valid() && size > 0) {
    ACETATE_ASSIGN_OR_RETURN(FdRef source, DataFdLocked(inode, false));
    ACETATE_RETURN_IF_ERROR(CopyContentsLocked(inode, source->get(), data.get(), size));
    // It may have lost its name meanwhile; it has not moved otherwise, since that needs a copy-up and waits.
    ACETATE_ASSIGN_OR_RETURN(from, Locate(inode));
  }
  ACETATE_RETURN_IF_ERROR(CopyMetadata(from, st, work_->fd(), temp.c_str()));
  if (size < st.st_size) {
    // What is published is the truncated file, and its time.
    const struct timespec times[2] = {st.st_atim, {0, UTIME_NOW}};
    ACETATE_RETURN_IF_ERROR(upper_->SetTimes(work_->fd(), temp.c_str(), times));
  }
  ACETATE_RETURN_IF_ERROR(KeepInoLocked(inode, from, st, temp.c_str()));
  if (inode->links != nullptr) {
    ACETATE_RETURN_IF_ERROR(MarkForIndexLocked(inode, st, temp.c_str(), contents));
  }
  std::unique_ptr<LowerData> lower_data;
  if (!contents) {
    lower_data = std::make_unique<LowerData>(inode->lower_data != nullptr ? *inode->lower_data
                                                                          : PlaceOfLowerLocked(inode, st.st_size));
  }
  ACETATE_RETURN_IF_ERROR(PublishCopyLocked(inode, temp, contents ? &data : nullptr));
  std::move(undo).Cancel();
  inode->lower_data = std::move(lower_data);
  inode->contents_known = true;
  if (inode->links != nullptr) {
    // Names in use are in the upper branch, where who reads the layer alone looks for them.
    for (size_t i = 0; i < inode->names.size(); ++i) ACETATE_RETURN_IF_ERROR(LinkUpLocked(inode->names[i]));
  }
  stats_->Add(Gauge::kCopyUps, 1);
  return kOk;
}

Errno UnionFs::CopyContentsLocked(Inode* inode, int from, int to, off_t size) {
  inode->copying = true;
  mu_.Unlock();
  ErrnoOr<off_t> copied = CopyData(from, to, size);
  // What comes next, a rename or the end of a mark, says that they are there: a power cut must not make that a lie.
  if (copied.ok() && !options_.skip_sync && fdatasync(to) != 0) copied = Errno::Last();
  mu_.Lock();
  inode->copying = false;
  copied_.SignalAll();
  if (!copied.ok()) return copied.error();
  stats_->Add(Gauge::kBytesCopiedUp, *copied);
  return kOk;
}

Errno UnionFs::PublishCopyLocked(Inode* inode, const std::string& temp, UniqueFd* data) {
  if (inode->names.empty()) {
    // Removed while in use: the copy has no name either and lives as long as its fd.
    ACETATE_ASSIGN_OR_RETURN(UniqueFd held, upper_->Open(work_->fd(), temp.c_str(), O_PATH, 0));
    ACETATE_RETURN_IF_ERROR(upper_->Unlink(work_->fd(), temp.c_str()));
    inode->orphan_dir = nullptr;
    HoldByFdLocked(inode, std::move(held));
  } else if (inode->links != nullptr) {
    ACETATE_RETURN_IF_ERROR(PublishInIndexLocked(inode, temp));
  } else {
    Dentry* dentry = inode->names.front();
    ACETATE_RETURN_IF_ERROR(KeepingTimesLocked(dentry->parent->dir->upper.get(), [&](int fd) {
      return upper_->Rename(work_->fd(), temp.c_str(), fd, dentry->name.c_str(), 0);
    }));
    dentry->in_upper = true;
    dentry->lowers.clear();
  }
  inode->upper = true;
  if (data == nullptr) return kOk;
  // From here on reads go to the copy; the lower file's fd is never used for this object again.
  data_fds_.Drop(&inode->data);
  if (data->valid()) {
    data_fds_.Put(&inode->data, std::move(*data));
    inode->data_writable = true;
  }
  return kOk;
}

LowerData UnionFs::PlaceOfLowerLocked(const Inode* inode, off_t size) const {
  const Dentry* dentry = NameIn(inode);
  if (dentry == nullptr) return {inode->orphan_dir, inode->orphan_name, size};
  return {dentry->parent->dir->lowers[dentry->lowers.front()], dentry->name, size};
}

Errno UnionFs::KeepInoLocked(Inode* inode, const Location& from, const struct stat& st, const char* temp) {
  // Copies of a lower file's several names become files of their own without an index, and must not pass for one.
  if ((st.st_nlink > 1 && inode->links == nullptr) || inode->names.empty()) return kOk;
  const std::string value = Origin{st.st_ino, layer_ids_[static_cast<size_t>(from.branch->index())]}.Encode();
  Errno error = upper_->SetXattr(work_->fd(), temp, xattrs_.ino().c_str(), value.data(), value.size(), 0);
  // What cannot be kept is the number after a remount: no reason not to copy.
  if (!error.ok()) return kOk;
  inode->own_ino = false;
  return MarkImpureLocked(inode->names.front()->parent);
}

Errno UnionFs::MarkImpureLocked(Inode* dir) {
  if (dir->dir->impure) return kOk;
  ACETATE_ASSIGN_OR_RETURN(FdRef fd, DirFd(dir->dir->upper.get()));
  upper_->SetXattr(fd->get(), "", xattrs_.impure().c_str(), "y", 1, 0).IgnoreError();
  dir->dir->impure = true;
  return kOk;
}

Errno UnionFs::CopyMetadata(const Location& from, const struct stat& st, int to_dirfd, const char* to_name) {
  // An unprivileged daemon cannot give files away: what it copies up becomes its own user's.
  Errno error = upper_->Chown(to_dirfd, to_name, identity_.ShownUid(st.st_uid), identity_.ShownGid(st.st_gid));
  if (!error.ok() && !((error == EPERM || error == EINVAL) && !identity_.can_switch())) return error;
  // After the owner, which would clear security.capability.
  ACETATE_RETURN_IF_ERROR(CopyXattrs(from, to_dirfd, to_name));
  if (!S_ISLNK(st.st_mode)) ACETATE_RETURN_IF_ERROR(upper_->Chmod(to_dirfd, to_name, st.st_mode & 07777));
  ACETATE_RETURN_IF_ERROR(CarryFlags(from, st, to_dirfd, to_name));
  const struct timespec times[2] = {st.st_atim, st.st_mtim};
  return upper_->SetTimes(to_dirfd, to_name, times);
}

Errno UnionFs::CopyXattrs(const Location& from, int to_dirfd, const char* to_name) {
  ErrnoOr<std::string> list = from.branch->ListXattr(from.dirfd(), from.c_name());
  if (list.error() == EOPNOTSUPP) return kOk;
  if (!list.ok()) return list.error();
  for (const std::string& key : xattrs_.ToCopy(*list)) {
    ErrnoOr<std::string> value = OverlayXattr::Get(*from.branch, from.dirfd(), from.c_name(), key);
    if (!value.ok()) continue;  // listed, but not ours to read: not ours to carry over
    Errno error = upper_->SetXattr(to_dirfd, to_name, key.c_str(), value->data(), value->size(), 0);
    // As the kernel's ovl_copy_xattr(): an attribute that the upper's filesystem does not know is left behind, and so
    // is a label that this user may not set.
    if (error == EOPNOTSUPP || error == EPERM) continue;
    if (!error.ok()) return error;
  }
  return kOk;
}

}  // namespace acetate::fusefs
