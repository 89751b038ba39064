// Large files: written while they are copied.
//
// The first write makes a metadata-only copy (metacopy.cc), which is then filled: by writes, and in the background by
// one thread. Until it is whole it is marked overlay.partial, with the length of the lower file that still counts. What
// was begun is finished when the union ends, and goes on at the next use of the file when it was killed.
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <chrono>

#include "absl/strings/str_cat.h"
#include "fusefs/blocking.h"
#include "fusefs/complain.h"
#include "fusefs/placing.h"
#include "fusefs/with_spare_fds.h"

namespace acetate::fusefs {
namespace {

// Who wrote the first byte has the answer by then, and who reads requests knows of the copying.
constexpr std::chrono::milliseconds kBeforeCopying(30);

}  // namespace

ErrnoOr<bool> UnionFs::StartLazyCopyLocked(Inode* inode, off_t size_limit) {
  if (inode->type != S_IFREG || branches_.writables().empty()) return false;
  while (inode->copying) copied_.Wait(&mu_);
  ACETATE_RETURN_IF_ERROR(FindContentsLocked(inode));
  if (HomeOf(inode) != nullptr && inode->lower_data == nullptr) return false;
  const bool begun = inode->lower_data != nullptr && inode->lower_data->partial;
  if (begun && inode->lower_data->lazy != nullptr) return true;
  if (!begun) {
    if (!options_.metacopy || lazy_.size() >= max_lazy_) return false;
    ACETATE_ASSIGN_OR_RETURN(Location where, Locate(inode));
    ACETATE_ASSIGN_OR_RETURN(struct stat st, where.branch->Stat(where.dirfd(), where.c_name()));
    const off_t size = size_limit < 0 ? st.st_size : std::min(st.st_size, size_limit);
    if (options_.lazy_copy_up_min < 0 || size < options_.lazy_copy_up_min) return false;
    ACETATE_RETURN_IF_ERROR(CopyUpLocked(inode));
    if (!HomeOf(inode)->tells_holes) return false;
  }
  LowerData& data = *inode->lower_data;
  auto open = [&](const Location& where, int flags) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return WithSpareFds([&] { return where.branch->Open(where.dirfd(), where.c_name(), flags); });
  };
  ACETATE_ASSIGN_OR_RETURN(Location from, LocateContents(inode));
  ACETATE_ASSIGN_OR_RETURN(UniqueFd lower, open(from, O_RDONLY));
  ACETATE_ASSIGN_OR_RETURN(Location to, Locate(inode));
  ACETATE_ASSIGN_OR_RETURN(UniqueFd upper, open(to, O_RDWR));
  if (!begun && ioctl(upper.get(), FICLONE, lower.get()) == 0) return false;  // the copy is a matter of a moment
  // Of one that was begun, too: killed right after a truncation, the mark says more than counts. It must not once the
  // file grows again.
  ACETATE_RETURN_IF_ERROR(WritePartial(*to.branch, upper.get(), data.size));
  data.partial = true;
  data.lazy = std::make_shared<LazyFile>(std::move(upper), std::move(lower), data.size);
  data_fds_.Drop(&inode->data);
  inode->queued = true;
  lazy_.push_back(inode);
  lazy_work_.SignalAll();
  return true;
}

Errno UnionFs::WritePartial(const Branch& branch, int fd, off_t floor) const {
  const std::string value = absl::StrCat(floor);
  return branch.SetXattr(fd, "", xattrs_.partial().c_str(), value.data(), value.size(), 0);
}

ErrnoOr<bool> UnionFs::CopySome(LazyFile* file) const {
  ACETATE_ASSIGN_OR_RETURN(bool done, file->CopySome());
  if (done && !options_.skip_sync && fdatasync(file->upper_fd()) != 0) return Errno::Last();
  return done;
}

Errno UnionFs::TruncateLazily(NodeId node, LazyFile* file, off_t size) {
  ACETATE_ASSIGN_OR_RETURN(off_t floor, Blocking([&] { return file->Truncate(size); }));
  MutexLock lock(&mu_);
  Inode* inode = Get(node);
  LowerData* data = inode->lower_data.get();
  if (data == nullptr || data->lazy.get() != file || floor >= data->size) return kOk;
  // Before the file can grow again: until this is answered the kernel lets nobody else change its contents
  // (fuse_do_setattr() holds the inode's lock and waits for writes that are under way).
  data->size = floor;
  return WritePartial(branches_.branch(inode->home), file->upper_fd(), floor);
}

Errno UnionFs::CopyRestLocked(Inode* inode) {
  const std::shared_ptr<LazyFile> file = inode->lower_data != nullptr ? inode->lower_data->lazy : nullptr;
  if (file == nullptr) return kOk;
  mu_.Unlock();
  ErrnoOr<bool> done = false;
  RunBlocking([&] {
    while (done.ok() && !*done) done = CopySome(file.get());
  });
  mu_.Lock();
  return done.ok() ? FinishLazyCopyLocked(inode, file.get()) : done.error();
}

Errno UnionFs::FinishLazyCopyLocked(Inode* inode, LazyFile* file) {
  if (inode->lower_data == nullptr || inode->lower_data->lazy.get() != file) return kOk;  // somebody else has
  ACETATE_RETURN_IF_ERROR(RemoveMetacopyMarks(branches_.branch(inode->home), file->upper_fd()));
  file->Finish();
  stats_->Add(Gauge::kBytesCopiedUp, inode->lower_data->size);
  inode->lower_data.reset();
  data_fds_.Drop(&inode->data);
  return kOk;
}

void UnionFs::CopyInBackground() {
  MutexLock lock(&mu_);
  for (;;) {
    while (lazy_.empty() && !ending_) lazy_work_.Wait(&mu_);
    if (lazy_.empty()) return;
    const ScopedBackgroundWork work;
    if (!ending_) lazy_work_.WaitFor(&mu_, kBeforeCopying);
    while (!lazy_.empty()) {
      Inode* inode = lazy_.front();
      while (CopyMoreLocked(inode)) {
      }
      lazy_.pop_front();
      inode->queued = false;
      FreeIfUnused(inode);
    }
  }
}

bool UnionFs::CopyMoreLocked(Inode* inode) {
  // Who reads or writes meanwhile goes on; what has lost its name needs no copy to be found by later.
  const std::shared_ptr<LazyFile> file = inode->lower_data != nullptr ? inode->lower_data->lazy : nullptr;
  if (file == nullptr || inode->names.empty()) return false;
  mu_.Unlock();
  ErrnoOr<bool> done = CopySome(file.get());
  mu_.Lock();
  Errno error = done.error();
  if (done.ok() && *done) error = FinishLazyCopyLocked(inode, file.get());
  if (error.ok()) return !*done;
  // In a full branch it stops: the next write that meets that moves the file. Moved from here, a write that is under
  // way would be lost.
  Complain(absl::StrCat("copying a large file up has stopped: ", ErrnoToStatus(error, "").message(),
                        "; it is read from both layers, and goes on at the next mount"));
  return false;
}

void UnionFs::EndBackground() {
  {
    MutexLock lock(&mu_);
    ending_ = true;
    lazy_work_.SignalAll();
  }
  if (copier_.joinable()) copier_.join();
}

}  // namespace acetate::fusefs
