// Files that change their branch: out of a full one, or because a rename needs them in another.
//
// As copy-up: the copy is built in the work directory of the branch that it goes to and published by rename, then the
// old file is removed. Killed between the two, both are there, and the upper one is shown: they are the same.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <memory>

#include "absl/cleanup/cleanup.h"
#include "fusefs/blocking.h"
#include "fusefs/copy_data.h"
#include "fusefs/keeping_times.h"
#include "fusefs/placing.h"

namespace acetate::fusefs {
namespace {

Errno CopyShown(const LazyFile& from, int to, off_t size) {
  constexpr size_t kChunk = 1 << 20;
  const auto buffer = std::make_unique<char[]>(kChunk);
  for (off_t at = 0; at < size;) {
    ACETATE_ASSIGN_OR_RETURN(const size_t got, from.Read(buffer.get(), kChunk, at));
    if (got == 0) break;
    ACETATE_RETURN_IF_ERROR(WriteAll(to, buffer.get(), got, at));
    at += static_cast<off_t>(got);
  }
  return kOk;
}

}  // namespace

bool UnionFs::IsFreeBelowLocked(const Dentry& dentry, BranchId branch) {
  for (const LayerDirRef& layer : dentry.parent->dir->layers) {
    const BranchId id = layer->branch->id();
    if (!branches_.Above(dentry.home(), id)) continue;
    if (branches_.Above(branch, id)) break;
    ErrnoOr<FdRef> fd = DirFd(layer.get());
    if (!fd.ok()) return false;
    ErrnoOr<LayerListing> held = ReadLayerName(*layer->branch, xattrs_, (*fd)->get(), dentry.name);
    if (!held.ok() || !held->entries.empty()) return false;
  }
  return true;
}

UnionFs::Places UnionFs::PlacesForMoveLocked(const Inode* inode, uint64_t bytes) {
  std::vector<std::pair<uint64_t, BranchId>> room;
  const Dentry* dentry = inode->names.empty() ? nullptr : inode->names.front();
  for (BranchId id : branches_.writables()) {
    if (id == inode->home || branches_.member(id).device == branches_.member(inode->home).device) continue;
    if (dentry != nullptr) {
      if (!Takes(dentry->parent, id) || !MayHold(id, dentry->name)) continue;
      if (!branches_.Above(id, inode->home) && !IsFreeBelowLocked(*dentry, id)) continue;
    }
    const uint64_t free = FreeBytes(branches_.branch(id));
    if (free > bytes) room.emplace_back(free, id);
  }
  std::sort(room.rbegin(), room.rend());
  Places places;
  for (const auto& [free, id] : room) places.push_back(id);
  return places;
}

Errno UnionFs::MoveToRoomLocked(Inode* inode, BranchId from, Errno full) {
  if (!several() || HomeOf(inode) == nullptr) return full;
  while (inode->copying) copied_.Wait(&mu_);
  if (inode->home != from) return kOk;  // who else found it full has moved it
  ErrnoOr<struct stat> st = AttrLocked(inode);
  if (!st.ok()) return full;
  for (BranchId place : PlacesForMoveLocked(inode, static_cast<uint64_t>(st->st_blocks) * 512)) {
    Errno error = MoveFileLocked(*branches_.writable(place), inode);
    if (error.ok()) return kOk;
    if (!IsFull(error)) break;
  }
  return full;
}

Errno UnionFs::CopyShownLocked(Inode* inode, int to, off_t size) {
  ACETATE_RETURN_IF_ERROR(FindContentsLocked(inode));
  if (inode->lower_data == nullptr || !inode->lower_data->partial) {
    ACETATE_ASSIGN_OR_RETURN(FdRef source, DataFdLocked(inode, false));
    return CopyContentsLocked(inode, source->get(), to, size);
  }
  // Partly copied: read through what knows which part is where.
  ACETATE_RETURN_IF_ERROR(StartLazyCopyLocked(inode, kWhole).error());
  const std::shared_ptr<LazyFile> lazy = inode->lower_data->lazy;
  inode->copying = true;
  mu_.Unlock();
  Errno error = Blocking([&]() -> Errno {
    ACETATE_RETURN_IF_ERROR(CopyShown(*lazy, to, size));
    return options_.skip_sync || fdatasync(to) == 0 ? kOk : Errno::Last();
  });
  mu_.Lock();
  inode->copying = false;
  copied_.SignalAll();
  return error;
}

Errno UnionFs::ReplaceInBranchLocked(WritableBranch& from, WritableBranch& to, const std::string& temp,
                                     Dentry* dentry) {
  const Directory& dir = *dentry->parent->dir;
  const char* name = dentry->name.c_str();
  const bool below = dentry->below;
  ACETATE_RETURN_IF_ERROR(KeepingTimesLocked(
      dir.In(to.id()).get(), [&](int fd) { return to->Rename(to.work_fd(), temp.c_str(), fd, name, 0); }));
  Errno removed = KeepingTimesLocked(dir.In(from.id()).get(), [&](int fd) { return from->Unlink(fd, name); });
  if (!removed.ok() && branches_.Above(from.id(), to.id())) {
    // It would go on to be shown: the new one goes instead.
    KeepingTimesLocked(dir.In(to.id()).get(), [&](int fd) { return to->Unlink(fd, name); }).IgnoreError();
    return removed;
  }
  dentry->layers = {to.id()};
  dentry->below = below || !removed.ok();
  RefreshLocked(dentry);
  return kOk;
}

void UnionFs::DrainChangesLocked(Inode* inode) {
  while (inode->copying) copied_.Wait(&mu_);
  // New ones wait for that, as for any copy.
  inode->copying = true;
  while (inode->changing > 0) copied_.Wait(&mu_);
  inode->copying = false;
  copied_.SignalAll();
}

Errno UnionFs::MoveFileLocked(WritableBranch& to, Inode* inode) {
  DrainChangesLocked(inode);
  if (inode->home == to.id()) return kOk;  // who else wanted it there has moved it
  // Who has it open, or mapped, would stay with the old file.
  if (inode->passed) return Errno(EXDEV);
  WritableBranch& from = *HomeOf(inode);
  ACETATE_ASSIGN_OR_RETURN(Location where, Locate(inode));
  ACETATE_ASSIGN_OR_RETURN(struct stat st, where.branch->Stat(where.dirfd(), where.c_name()));
  // Its other names, known or not, would be left behind.
  const auto has_other_names = [&] {
    return inode->links != nullptr || inode->names.size() > 1 || st.st_nlink - (inode->parked ? 1 : 0) > 1;
  };
  if (has_other_names()) return Errno(EXDEV);
  if (!inode->names.empty()) ACETATE_RETURN_IF_ERROR(MakeDirInLocked(to, inode->names.front()->parent));
  const std::string temp = to.work->TempName();
  ACETATE_ASSIGN_OR_RETURN(UniqueFd data, MakeTempLocked(to, temp, where, st));
  auto undo = absl::MakeCleanup([&] { to.work->Remove(temp).IgnoreError(); });
  if (data.valid()) {
    // The size is that of the file, whatever of it has contents.
    if (ftruncate(data.get(), st.st_size) != 0) return Errno::Last();
    const off_t counts = inode->lower_data != nullptr && inode->lower_data->lazy == nullptr
                             ? std::min(st.st_size, inode->lower_data->size)
                             : st.st_size;
    ACETATE_RETURN_IF_ERROR(CopyShownLocked(inode, data.get(), counts));
    // Its attributes may have changed meanwhile, and it may have got another name or lost its only one.
    ACETATE_ASSIGN_OR_RETURN(where, Locate(inode));
    ACETATE_ASSIGN_OR_RETURN(st, where.branch->Stat(where.dirfd(), where.c_name()));
    if (has_other_names()) return Errno(EXDEV);
    if (!inode->names.empty()) ACETATE_RETURN_IF_ERROR(MakeDirInLocked(to, inode->names.front()->parent));
  }
  ACETATE_RETURN_IF_ERROR(CopyMetadata(to, where, st, temp.c_str(), inode));
  ACETATE_RETURN_IF_ERROR(KeepInoLocked(to, inode, where, st, temp.c_str()));
  if (inode->names.empty()) {
    ACETATE_ASSIGN_OR_RETURN(UniqueFd held, to->Open(to.work_fd(), temp.c_str(), O_PATH, 0));
    ACETATE_RETURN_IF_ERROR(to->Unlink(to.work_fd(), temp.c_str()));
    ReleaseOrphanLocked(inode);
    HoldByFdLocked(inode, std::make_shared<const UniqueFd>(std::move(held)));
  } else {
    ACETATE_RETURN_IF_ERROR(ReplaceInBranchLocked(from, to, temp, inode->names.front()));
  }
  std::move(undo).Cancel();
  inode->home = to.id();
  inode->object_ino = 0;
  data_fds_.Drop(&inode->data);
  if (data.valid()) KeepDataFdLocked(inode, std::move(data), /*writable=*/true);
  if (inode->linked_ino != 0) from.linked.erase(inode->linked_ino);
  inode->linked_ino = 0;
  inode->lower_data = nullptr;
  inode->contents_known = true;
  stats_->Add(Gauge::kCopyUps, 1);
  return kOk;
}

}  // namespace acetate::fusefs
