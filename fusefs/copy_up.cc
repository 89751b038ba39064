// Copy-up: an object of a read-only layer gets a copy in a writable branch above it, which is then written instead.
//
// As the kernel's ovl_copy_up(): the copy is built in the work directory with contents, owner, xattrs, mode and times,
// and published by one rename. A failure, or death, at any point leaves the object as it was. Directories above it are
// copied up first, one at a time from the top.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "fusefs/blocking.h"
#include "fusefs/copy_data.h"
#include "fusefs/keeping_times.h"
#include "fusefs/origin.h"
#include "fusefs/placing.h"
#include "fusefs/with_spare_fds.h"

namespace acetate::fusefs {
namespace {

// With the mode and the times that `change` sets; the current time stays what utimensat calls it.
struct stat Changed(struct stat st, const AttrChange& change) {
  if (change.set_mode) st.st_mode = (st.st_mode & S_IFMT) | (change.mode & 07777);
  if (!change.set_times) return st;
  if (change.times[0].tv_nsec != UTIME_OMIT) st.st_atim = change.times[0];
  if (change.times[1].tv_nsec != UTIME_OMIT) st.st_mtim = change.times[1];
  return st;
}

}  // namespace

Errno UnionFs::CopyUpLocked(Inode* inode) {
  if (!inode->is_dir()) return CopyUpChangedLocked(inode, {}).error();
  if (branches_.writable(inode->dir->top()->branch->id()) != nullptr) return kOk;
  if (inode->dir->removed) return Errno(branches_.writables().empty() ? EROFS : ENOENT);
  return InFirstWithRoom(PlacesForCopyLocked(inode), [&](WritableBranch& to) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return MakeDirInLocked(to, inode);
  });
}

ErrnoOr<bool> UnionFs::CopyUpChangedLocked(Inode* inode, const AttrChange& change) {
  while (inode->copying && HomeOf(inode) == nullptr) copied_.Wait(&mu_);
  if (HomeOf(inode) != nullptr) return false;
  ACETATE_RETURN_IF_ERROR(
      InFirstWithRoom(PlacesForCopyLocked(inode), [&](WritableBranch& to) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
        return CopyFileToLocked(to, inode, !options_.metacopy, kWhole, change);
      }));
  return true;
}

Errno UnionFs::CopyUpContentsLocked(Inode* inode, off_t size_limit) {
  ACETATE_ASSIGN_OR_RETURN(bool lazy, StartLazyCopyLocked(inode, size_limit));
  if (lazy) return kOk;
  while (inode->copying) copied_.Wait(&mu_);
  if (HomeOf(inode) == nullptr) {
    ACETATE_RETURN_IF_ERROR(
        InFirstWithRoom(PlacesForCopyLocked(inode), [&](WritableBranch& to) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
          return CopyFileToLocked(to, inode, true, size_limit);
        }));
  }
  return FetchContentsLocked(inode, size_limit);
}

Errno UnionFs::MakeDirInLocked(WritableBranch& to, Inode* dir) {
  std::vector<Inode*> missing;
  for (; dir->dir->In(to.id()) == nullptr; dir = dir->names.front()->parent) {
    if (dir->dir->removed) return Errno(ENOENT);
    missing.push_back(dir);
  }
  for (; !missing.empty(); missing.pop_back()) ACETATE_RETURN_IF_ERROR(CopyUpOneDirLocked(to, missing.back()));
  return kOk;
}

ErrnoOr<FdRef> UnionFs::DirFdIn(WritableBranch& to, Inode* dir) {
  ACETATE_RETURN_IF_ERROR(MakeDirInLocked(to, dir));
  return DirFd(dir->dir->In(to.id()).get());
}

Errno UnionFs::CopyUpOneDirLocked(WritableBranch& to, Inode* dir) {
  Dentry* dentry = dir->names.front();
  const LayerDirRef parent = dentry->parent->dir->In(to.id());
  ACETATE_ASSIGN_OR_RETURN(Location from, Locate(dir));
  ACETATE_ASSIGN_OR_RETURN(struct stat st, from.branch->Stat(from.dirfd(), ""));
  const std::string temp = to.work->TempName();
  ACETATE_RETURN_IF_ERROR(to->MkDir(to.work_fd(), temp.c_str(), 0700));
  auto undo = absl::MakeCleanup([&] { to.work->Remove(temp).IgnoreError(); });
  ACETATE_RETURN_IF_ERROR(CopyMetadata(to, from, st, temp.c_str(), dir));

  ACETATE_RETURN_IF_ERROR(KeepingTimesLocked(
      parent.get(), [&](int fd) { return to->Rename(to.work_fd(), temp.c_str(), fd, dentry->name.c_str(), 0); }));
  std::move(undo).Cancel();
  // In both lists to where the branch's position puts it.
  std::vector<LayerDirRef>& layers = dir->dir->layers;
  auto layer = layers.begin();
  while (layer != layers.end() && branches_.Above((*layer)->branch->id(), to.id())) ++layer;
  if (layer == layers.begin()) dir->object_ino = 0;
  dentry->below = true;  // what was the top, or the new one
  layers.insert(layer, ChildLayer(parent, dentry->name));
  auto id = dentry->layers.begin();
  while (id != dentry->layers.end() && branches_.Above(*id, to.id())) ++id;
  dentry->layers.insert(id, to.id());
  stats_->Add(Gauge::kCopyUps, 1);
  return kOk;
}

ErrnoOr<UniqueFd> UnionFs::MakeTempLocked(WritableBranch& to, const std::string& temp, const Location& from,
                                          const struct stat& st) {
  if (S_ISREG(st.st_mode)) {
    return WithSpareFds([&] { return to->Open(to.work_fd(), temp.c_str(), O_CREAT | O_EXCL | O_RDWR, 0600); });
  }
  if (S_ISLNK(st.st_mode)) {
    ACETATE_ASSIGN_OR_RETURN(std::string target, from.branch->ReadLink(from.dirfd(), from.c_name()));
    ACETATE_RETURN_IF_ERROR(to->SymLink(target.c_str(), to.work_fd(), temp.c_str()));
  } else {
    ACETATE_RETURN_IF_ERROR(to->MkNod(to.work_fd(), temp.c_str(), (st.st_mode & S_IFMT) | 0600, st.st_rdev));
  }
  return UniqueFd();
}

Errno UnionFs::CopyFileToLocked(WritableBranch& to, Inode* inode, bool contents, off_t size_limit,
                                const AttrChange& change) {
  if (!inode->names.empty()) ACETATE_RETURN_IF_ERROR(MakeDirInLocked(to, inode->names.front()->parent));
  ACETATE_ASSIGN_OR_RETURN(Location from, Locate(inode));
  ACETATE_ASSIGN_OR_RETURN(struct stat st, from.branch->Stat(from.dirfd(), from.c_name()));
  ACETATE_RETURN_IF_ERROR(FindContentsLocked(inode));
  if (!S_ISREG(st.st_mode) || st.st_size == 0) contents = true;  // there is nothing to leave below
  const std::string temp = to.work->TempName();
  ACETATE_ASSIGN_OR_RETURN(UniqueFd data, MakeTempLocked(to, temp, from, st));
  auto undo = absl::MakeCleanup([&] { to.work->Remove(temp).IgnoreError(); });

  const off_t size = size_limit < 0 ? st.st_size : std::min(st.st_size, size_limit);
  if (!contents) {
    if (ftruncate(data.get(), st.st_size) != 0) return Errno::Last();
    ACETATE_RETURN_IF_ERROR(to->SetXattr(data.get(), "", xattrs_.metacopy().c_str(), "", 0, 0));
  } else if (data.valid() && size > 0) {
    ACETATE_ASSIGN_OR_RETURN(FdRef source, DataFdLocked(inode, false));
    ACETATE_RETURN_IF_ERROR(CopyContentsLocked(inode, source->get(), data.get(), size));
    // It may have lost its name meanwhile; it has not moved otherwise, since that needs a copy-up and waits.
    ACETATE_ASSIGN_OR_RETURN(from, Locate(inode));
  }
  ACETATE_RETURN_IF_ERROR(CopyMetadata(to, from, Changed(st, change), temp.c_str(), inode));
  if (size < st.st_size) {
    // What is published is the truncated file, and its time.
    const struct timespec times[2] = {st.st_atim, {0, UTIME_NOW}};
    ACETATE_RETURN_IF_ERROR(to->SetTimes(to.work_fd(), temp.c_str(), times));
  }
  ACETATE_RETURN_IF_ERROR(KeepInoLocked(to, inode, from, st, temp.c_str()));
  if (inode->links != nullptr) {
    ACETATE_RETURN_IF_ERROR(MarkForIndexLocked(to, inode, st, temp.c_str(), contents));
  }
  std::unique_ptr<LowerData> lower_data;
  if (!contents) {
    lower_data =
        std::make_unique<LowerData>(inode->lower_data != nullptr ? *inode->lower_data : PlaceOfLowerLocked(inode, st));
  }
  ACETATE_RETURN_IF_ERROR(PublishCopyLocked(to, inode, temp, contents ? &data : nullptr));
  std::move(undo).Cancel();
  inode->lower_data = std::move(lower_data);
  inode->contents_known = true;
  if (inode->links != nullptr) {
    // Names in use are in the same branch, where who reads the layer alone looks for them.
    for (size_t i = 0; i < inode->names.size(); ++i) ACETATE_RETURN_IF_ERROR(LinkUpLocked(inode->names[i]));
  }
  stats_->Add(Gauge::kCopyUps, 1);
  return kOk;
}

Errno UnionFs::CopyContentsLocked(Inode* inode, int from, int to, off_t size) {
  inode->copying = true;
  mu_.Unlock();
  ErrnoOr<off_t> copied = Blocking([&] {
    ErrnoOr<off_t> size_copied = CopyData(from, to, size);
    // What comes next, a rename or the end of a mark, says that they are there: a power cut must not make that a lie.
    if (size_copied.ok() && !options_.skip_sync && fdatasync(to) != 0) size_copied = Errno::Last();
    return size_copied;
  });
  mu_.Lock();
  inode->copying = false;
  copied_.SignalAll();
  if (!copied.ok()) return copied.error();
  stats_->Add(Gauge::kBytesCopiedUp, *copied);
  return kOk;
}

Errno UnionFs::PublishCopyLocked(WritableBranch& to, Inode* inode, const std::string& temp, UniqueFd* data) {
  if (inode->names.empty()) {
    // Removed while in use: the copy has no name either and lives as long as its fd.
    ACETATE_ASSIGN_OR_RETURN(UniqueFd held, to->Open(to.work_fd(), temp.c_str(), O_PATH, 0));
    ACETATE_RETURN_IF_ERROR(to->Unlink(to.work_fd(), temp.c_str()));
    inode->orphan_dir = nullptr;
    HoldByFdLocked(inode, std::make_shared<const UniqueFd>(std::move(held)));
  } else if (inode->links != nullptr) {
    ACETATE_RETURN_IF_ERROR(PublishInIndexLocked(to, inode, temp));
  } else {
    Dentry* dentry = inode->names.front();
    ACETATE_RETURN_IF_ERROR(KeepingTimesLocked(dentry->parent->dir->In(to.id()).get(), [&](int fd) {
      return to->Rename(to.work_fd(), temp.c_str(), fd, dentry->name.c_str(), 0);
    }));
    dentry->layers = {to.id()};
    dentry->below = true;
  }
  inode->home = to.id();
  inode->object_ino = 0;
  if (data == nullptr) return kOk;
  // From here on reads go to the copy; the lower file's fd is never used for this object again.
  data_fds_.Drop(&inode->data);
  if (data->valid()) KeepDataFdLocked(inode, std::move(*data), /*writable=*/true);
  return kOk;
}

LowerData UnionFs::PlaceOfLowerLocked(const Inode* inode, const struct stat& st) const {
  const Dentry* dentry = NameIn(inode);
  LowerData place;
  place.dir = dentry == nullptr ? inode->orphan_dir : dentry->parent->dir->In(dentry->home());
  place.name = dentry == nullptr ? inode->orphan_name : dentry->name;
  place.size = st.st_size;
  if (StaysAsItIs(*place.dir->branch)) place.blocks = st.st_blocks;
  return place;
}

bool UnionFs::StaysAsItIs(const Branch& branch) const {
  return branches_.writable(branch.id()) == nullptr && options_.udba == Udba::kNone;
}

Errno UnionFs::KeepInoLocked(WritableBranch& to, Inode* inode, const Location& from, const struct stat& st,
                             const char* temp) {
  // Copies of a lower file's several names become files of their own without an index, and must not pass for one.
  if ((st.st_nlink > 1 && inode->links == nullptr) || inode->names.empty()) return kOk;
  std::string value = Origin{st.st_ino, branches_.member(from.branch->id()).layer_id}.Encode();
  if (!inode->own_ino) {
    // A copy already, it has the number of what it was made of.
    ErrnoOr<std::string> origin = OverlayXattr::Get(*from.branch, from.dirfd(), from.c_name(), xattrs_.ino());
    if (origin.ok()) value = *std::move(origin);
  }
  Errno error = to->SetXattr(to.work_fd(), temp, xattrs_.ino().c_str(), value.data(), value.size(), 0);
  // What cannot be kept is the number after a remount: no reason not to copy.
  if (!error.ok()) return kOk;
  inode->own_ino = false;
  return MarkImpureLocked(to, inode->names.front()->parent);
}

Errno UnionFs::MarkImpureLocked(WritableBranch& branch, Inode* dir) {
  LayerDir* layer = dir->dir->In(branch.id()).get();
  if (layer->impure) return kOk;
  ACETATE_ASSIGN_OR_RETURN(FdRef fd, DirFd(layer));
  branch->SetXattr(fd->get(), "", xattrs_.impure().c_str(), "y", 1, 0).IgnoreError();
  layer->impure = true;
  layer->marks.reset();
  return kOk;
}

Errno UnionFs::CopyOwner(WritableBranch& to, const struct stat& st, const char* temp) {
  const std::pair owner(identity_.ShownUid(st.st_uid), identity_.ShownGid(st.st_gid));
  // What is made in the work directory is all made alike: once asked whose it is, only that of others is given away.
  if (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode)) {
    if (!to.maker.has_value()) {
      ErrnoOr<struct stat> made = to->Stat(to.work_fd(), temp);
      if (made.ok()) to.maker.emplace(made->st_uid, made->st_gid);
    }
    if (to.maker == owner) return kOk;
  }
  Errno error = to->Chown(to.work_fd(), temp, owner.first, owner.second);
  // An unprivileged daemon cannot give files away: what it copies up becomes its own user's.
  return (error == EPERM || error == EINVAL) && !identity_.can_switch() ? kOk : error;
}

Errno UnionFs::CopyMetadata(WritableBranch& to, const Location& from, const struct stat& st, const char* temp,
                            const Inode* inode) {
  ACETATE_RETURN_IF_ERROR(CopyOwner(to, st, temp));
  // After the owner, which would clear security.capability.
  ACETATE_RETURN_IF_ERROR(CopyXattrs(to, from, temp));
  if (!S_ISLNK(st.st_mode)) ACETATE_RETURN_IF_ERROR(to->Chmod(to.work_fd(), temp, st.st_mode & 07777));
  ACETATE_RETURN_IF_ERROR(CarryFlags(to, from, st, temp, inode));
  const struct timespec times[2] = {st.st_atim, st.st_mtim};
  return to->SetTimes(to.work_fd(), temp, times);
}

Errno UnionFs::CopyXattrs(const WritableBranch& to, const Location& from, const char* temp) {
  ErrnoOr<std::string> list = from.branch->ListXattr(from.dirfd(), from.c_name());
  if (list.error() == EOPNOTSUPP) return kOk;
  if (!list.ok()) return list.error();
  for (const std::string& key : xattrs_.ToCopy(*list)) {
    ErrnoOr<std::string> value = OverlayXattr::Get(*from.branch, from.dirfd(), from.c_name(), key);
    if (!value.ok()) continue;  // listed, but not ours to read: not ours to carry over
    Errno error = to->SetXattr(to.work_fd(), temp, key.c_str(), value->data(), value->size(), 0);
    // As the kernel's ovl_copy_xattr(): an attribute that the upper's filesystem does not know is left behind, and so
    // is a label that this user may not set.
    if (error == EOPNOTSUPP || error == EPERM) continue;
    if (!error.ok()) return error;
  }
  return kOk;
}

}  // namespace acetate::fusefs
