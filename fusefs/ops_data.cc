// Contents of files. The lock is held to find an fd, not while data moves.
#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <atomic>
#include <chrono>

#include "fusefs/blocking.h"
#include "fusefs/copy_data.h"
#include "fusefs/in_memory.h"
#include "fusefs/placing.h"
#include "fusefs/with_spare_fds.h"

namespace acetate::fusefs {
namespace {

ErrnoOr<size_t> ReadSome(int fd, char* buffer, size_t size, off_t offset, int flags) {
  const iovec part = {buffer, size};
  for (;;) {
    const ssize_t result = preadv2(fd, &part, 1, offset, flags);
    if (result >= 0) return static_cast<size_t>(result);
    if (errno != EINTR) return Errno::Last();
  }
}

// What is in the page cache at once; for the disk, others go on meanwhile. `at_end`: it is known to be the file's end.
// `in_memory`: it is known to be so (in_memory.h).
//
// A filesystem that can tell what is cached (RWF_NOWAIT) reads through the page cache, or from memory that is mapped
// like one: what is missing there is missing by pages, and cuts a read short at a page's boundary (filemap_read()). So
// one that ends elsewhere has met the end. Those that cannot tell, such as FUSE and 9p, may answer any part of what is
// asked for: with them only 0 is the end.
ErrnoOr<size_t> ReadSome(int fd, bool in_memory, char* buffer, size_t size, off_t offset, bool* at_end) {
  static const off_t page_size = sysconf(_SC_PAGESIZE);
  ErrnoOr<size_t> cached = ReadSome(fd, buffer, size, offset, in_memory ? 0 : RWF_NOWAIT);
  *at_end = cached.ok() && *cached < size && (offset + static_cast<off_t>(*cached)) % page_size != 0;
  if (cached.error() == EAGAIN) return Blocking([&] { return ReadSome(fd, buffer, size, offset, 0); });
  // Not every filesystem can tell.
  return cached.error() == EOPNOTSUPP ? ReadSome(fd, buffer, size, offset, 0) : cached;
}

// A sync is taken to be as long as the one before: to have others go on meanwhile, two threads are woken, which takes
// as long as a short one.
constexpr std::chrono::microseconds kShortSync(1000);

Errno SyncFile(int fd, bool data_only) {
  static std::atomic<bool> is_long{false};
  if (InMemory(fd)) return kOk;
  const auto sync = [&] {
    const auto start = std::chrono::steady_clock::now();
    const Errno error = (data_only ? fdatasync(fd) : fsync(fd)) == 0 ? kOk : Errno::Last();
    is_long.store(std::chrono::steady_clock::now() - start > kShortSync, std::memory_order_relaxed);
    return error;
  };
  return is_long.load(std::memory_order_relaxed) ? Blocking(sync) : sync();
}

}  // namespace

ErrnoOr<FdRef> UnionFs::DataFdLocked(Inode* inode, bool write) {
  if (inode->type == S_IFDIR) return Errno(EISDIR);
  if (inode->type != S_IFREG) return Errno(EINVAL);
  if (FdRef fd = data_fds_.Get(&inode->data); fd != nullptr && (!write || inode->data_writable)) return fd;
  ACETATE_RETURN_IF_ERROR(FindContentsLocked(inode));
  ACETATE_ASSIGN_OR_RETURN(Location where, LocateContents(inode));
  auto open = [&](int flags) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return WithSpareFds([&] { return where.branch->Open(where.dirfd(), where.c_name(), flags, 0); });
  };
  // An upper file is opened for both at once where its mode allows. A lower one is only looked at: not even its access
  // time changes where the owner can ask for that.
  bool writable = HomeOf(inode) != nullptr && inode->lower_data == nullptr;
  ErrnoOr<UniqueFd> fd = open(writable ? O_RDWR : O_RDONLY | O_NOATIME);
  if (!fd.ok() && !write && (fd.error() == EPERM || fd.error() == EACCES || fd.error() == ETXTBSY)) {
    writable = false;
    fd = open(O_RDONLY);
  }
  if (!fd.ok()) return fd.error();
  FdRef kept = KeepDataFdLocked(inode, *std::move(fd), writable);
  inode->data_in_memory = branches_.member(where.branch->id()).in_memory && InMemory(kept->get());
  return kept;
}

FdRef UnionFs::KeepDataFdLocked(Inode* inode, UniqueFd fd, bool writable) {
  inode->data_writable = writable;
  inode->data_in_memory = false;  // who is about to read finds out
  return data_fds_.Put(&inode->data, std::move(fd));
}

ErrnoOr<UnionFs::Source> UnionFs::SourceOf(NodeId node, bool may_wait) {
  MutexLock lock(&mu_);
  Inode* inode = Get(node);
  Source source;
  ACETATE_RETURN_IF_ERROR(FindContentsLocked(inode));
  if (inode->lower_data != nullptr && inode->lower_data->partial) {
    if (inode->copying && !may_wait) return Errno(EBUSY);
    ACETATE_RETURN_IF_ERROR(StartLazyCopyLocked(inode, kWhole).error());
    // It waits for a move of the file, after which there is nothing left to be copied.
    if (inode->lower_data != nullptr) {
      source.lazy = inode->lower_data->lazy;
      return source;
    }
  }
  ACETATE_ASSIGN_OR_RETURN(source.fd, DataFdLocked(inode, false));
  source.in_memory = inode->data_in_memory;
  if (inode->lower_data != nullptr) source.end = inode->lower_data->size;
  return source;
}

ErrnoOr<UnionFs::Target> UnionFs::TargetOf(NodeId node, off_t size_limit, bool whole) {
  MutexLock lock(&mu_);
  Inode* inode = Get(node);
  if (inode->type != S_IFREG) return Errno(inode->is_dir() ? EISDIR : EINVAL);
  Errno prepared = CopyUpContentsLocked(inode, size_limit);
  const BranchId home = inode->home;
  if (prepared.ok() && whole) prepared = CopyRestLocked(inode);
  if (IsFull(prepared)) prepared = MoveToRoomLocked(inode, home, prepared);
  if (!prepared.ok()) return prepared;
  Target target;
  target.branch = &branches_.branch(inode->home);
  if (inode->lower_data != nullptr) target.lazy = inode->lower_data->lazy;
  if (target.lazy == nullptr) {
    ACETATE_ASSIGN_OR_RETURN(target.fd, DataFdLocked(inode, true));
  }
  ++inode->changing;
  target.changing = {inode, Target::EndChange{this}};
  return target;
}

void UnionFs::Target::EndChange::operator()(Inode* inode) const {
  MutexLock lock(&fs->mu_);
  if (--inode->changing == 0) fs->copied_.SignalAll();
}

template <typename Change>
Errno UnionFs::ChangeContents(NodeId node, off_t size_limit, bool whole, const Change& change) {
  for (size_t moves = 0;; ++moves) {
    ACETATE_ASSIGN_OR_RETURN(Target target, TargetOf(node, size_limit, whole));
    Errno error = change(target);
    if (!IsFull(error)) return error;
    target.changing.reset();
    MutexLock lock(&mu_);
    if (moves == branches_.writables().size()) return error;
    ACETATE_RETURN_IF_ERROR(MoveToRoomLocked(Get(node), target.branch->id(), error));
  }
}

ErrnoOr<size_t> UnionFs::Read(NodeId node, char* buffer, size_t size, off_t offset) {
  ACETATE_ASSIGN_OR_RETURN(Source source, SourceOf(node));
  if (source.lazy != nullptr) return Blocking([&] { return source.lazy->Read(buffer, size, offset); });
  size = source.Clamp(size, offset);
  size_t done = 0;
  bool at_end = false;
  while (done < size && !at_end) {
    ACETATE_ASSIGN_OR_RETURN(const size_t got, ReadSome(source.fd->get(), source.in_memory, buffer + done, size - done,
                                                        offset + static_cast<off_t>(done), &at_end));
    if (got == 0) break;
    done += got;
  }
  return done;
}

ErrnoOr<FileRange> UnionFs::RangeToRead(NodeId node, size_t size, off_t offset) {
  ACETATE_ASSIGN_OR_RETURN(Source source, SourceOf(node));
  return FileRange{std::move(source.fd), source.Clamp(size, offset), source.in_memory};
}

ErrnoOr<Written> UnionFs::Write(NodeId node, const char* data, size_t size, off_t offset, bool kill_suid) {
  ACETATE_RETURN_IF_ERROR(MayWrite(node, offset));
  Written written;
  auto write = [&](const Target& target) -> Errno {
    if (kill_suid) {
      ACETATE_ASSIGN_OR_RETURN(SuidKill suid, target.branch->KillSuid(target.raw()));
      written.suid = {.cleared = written.suid.cleared || suid.cleared, .setgid_left = suid.setgid_left};
    }
    // To the end or an error: where the kernel collects writes, it does not ask how much of one was done.
    while (written.size < size) {
      const char* const rest = data + written.size;
      const off_t at = offset + static_cast<off_t>(written.size);
      ACETATE_ASSIGN_OR_RETURN(const size_t done,
                               target.lazy != nullptr
                                   ? Blocking([&] { return target.lazy->Write(rest, size - written.size, at); })
                                   : WriteSome(target.raw(), rest, size - written.size, at));
      written.size += done;
    }
    return kOk;
  };
  Errno error = ChangeContents(node, kWhole, /*whole=*/false, write);
  // What was written before the error counts; the caller meets the error with its next write. There is none where the
  // kernel collects writes.
  if (!error.ok() && (written.size == 0 || options_.writeback)) return error;
  return written;
}

ErrnoOr<SuidKill> UnionFs::ClearSuid(NodeId node) {
  ACETATE_ASSIGN_OR_RETURN(Target target, TargetOf(node, kWhole, /*whole=*/false));
  return target.branch->KillSuid(target.raw());
}

Errno UnionFs::FSync(NodeId node, bool data_only) {
  FdRef fd;
  {
    MutexLock lock(&mu_);
    Inode* inode = Get(node);
    if (HomeOf(inode) == nullptr || options_.skip_sync || inode->type != S_IFREG) return kOk;
    ACETATE_RETURN_IF_ERROR(FindContentsLocked(inode));
    if (inode->lower_data != nullptr) {
      // Of a metadata-only copy the attributes are what there is to be made durable.
      ACETATE_ASSIGN_OR_RETURN(Location where, Locate(inode));
      ACETATE_ASSIGN_OR_RETURN(
          UniqueFd copy, WithSpareFds([&] { return where.branch->Open(where.dirfd(), where.c_name(), O_RDONLY); }));
      fd = std::make_shared<const UniqueFd>(std::move(copy));
    } else {
      ACETATE_ASSIGN_OR_RETURN(fd, DataFdLocked(inode, false));
    }
  }
  return SyncFile(fd->get(), data_only);
}

Errno UnionFs::FSyncDir(NodeId node, bool data_only) {
  std::vector<UniqueFd> fds;
  {
    MutexLock lock(&mu_);
    Inode* inode = Get(node);
    if (!inode->is_dir() || options_.skip_sync) return kOk;
    for (const LayerDirRef& layer : inode->dir->layers) {
      if (branches_.writable(layer->branch->id()) == nullptr) continue;
      ACETATE_ASSIGN_OR_RETURN(FdRef path, DirFd(layer.get()));
      ACETATE_ASSIGN_OR_RETURN(UniqueFd fd, layer->branch->Open(path->get(), ".", O_RDONLY | O_DIRECTORY));
      fds.push_back(std::move(fd));
    }
  }
  for (const UniqueFd& fd : fds) ACETATE_RETURN_IF_ERROR(SyncFile(fd.get(), data_only));
  return kOk;
}

Errno UnionFs::Fallocate(NodeId node, int mode, off_t offset, off_t length) {
  ACETATE_RETURN_IF_ERROR(MayFallocate(node, mode));
  // Holes that are made, or filled with nothing, must not be taken for what is still to be copied.
  return ChangeContents(node, kWhole, /*whole=*/true, [&](const Target& target) {
    return Blocking([&] { return fallocate(target.raw(), mode, offset, length) == 0 ? kOk : Errno::Last(); });
  });
}

ErrnoOr<off_t> UnionFs::LSeek(NodeId node, off_t offset, int whence) {
  ACETATE_ASSIGN_OR_RETURN(Source source, SourceOf(node));
  if (source.lazy != nullptr) {
    // Which of its holes are holes is not known before it is whole: until then all is data.
    struct stat st;
    if (fstat(source.lazy->upper_fd(), &st) != 0) return Errno::Last();
    if (offset < 0 || offset >= st.st_size) return Errno(ENXIO);
    return whence == SEEK_DATA ? offset : st.st_size;
  }
  if (offset >= source.end) return Errno(ENXIO);
  // The position of the shared fd means nothing: all reads and writes name theirs.
  off_t result = lseek(source.fd->get(), offset, whence);
  if (result < 0) return Errno::Last();
  if (result >= source.end && whence == SEEK_DATA) return Errno(ENXIO);
  return std::min(result, source.end);
}

ErrnoOr<size_t> UnionFs::CopyFileRange(NodeId in, off_t in_offset, NodeId out, off_t out_offset, size_t size,
                                       unsigned flags) {
  ACETATE_RETURN_IF_ERROR(MayWrite(out, out_offset));
  size_t copied = 0;
  ACETATE_RETURN_IF_ERROR(ChangeContents(out, kWhole, /*whole=*/true, [&](const Target& target) -> Errno {
    // It must not wait for a move of the one while a move of the other may be waiting for this.
    ErrnoOr<Source> found = SourceOf(in, /*may_wait=*/false);
    if (found.error() == EBUSY || (found.ok() && found->lazy != nullptr)) {
      return Errno(EXDEV);  // the kernel copies by reading and writing then
    }
    ACETATE_ASSIGN_OR_RETURN(const Source source, std::move(found));
    const size_t clamped = source.Clamp(size, in_offset);
    if (clamped == 0) return kOk;
    return Blocking([&]() -> Errno {
      ssize_t result = copy_file_range(source.fd->get(), &in_offset, target.raw(), &out_offset, clamped, flags);
      if (result < 0) return Errno::Last();
      copied = static_cast<size_t>(result);
      return kOk;
    });
  }));
  return copied;
}

}  // namespace acetate::fusefs
