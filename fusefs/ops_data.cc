// Contents of files. The lock is held to find an fd, not while data moves.
#include <fcntl.h>
#include <unistd.h>

#include "fusefs/union_fs.h"
#include "fusefs/with_spare_fds.h"

namespace acetate::fusefs {

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
  bool writable = inode->upper && inode->lower_data == nullptr;
  ErrnoOr<UniqueFd> fd = open(writable ? O_RDWR : O_RDONLY | O_NOATIME);
  if (!fd.ok() && !write && (fd.error() == EPERM || fd.error() == EACCES || fd.error() == ETXTBSY)) {
    writable = false;
    fd = open(O_RDONLY);
  }
  if (!fd.ok()) return fd.error();
  inode->data_writable = writable;
  return data_fds_.Put(&inode->data, *std::move(fd));
}

ErrnoOr<UnionFs::Source> UnionFs::SourceOf(NodeId node) {
  MutexLock lock(&mu_);
  Inode* inode = Get(node);
  Source source;
  ACETATE_RETURN_IF_ERROR(FindContentsLocked(inode));
  if (inode->lower_data != nullptr && inode->lower_data->partial) {
    ACETATE_RETURN_IF_ERROR(StartLazyCopyLocked(inode, kWhole).error());
    source.lazy = inode->lower_data->lazy;
    return source;
  }
  ACETATE_ASSIGN_OR_RETURN(source.fd, DataFdLocked(inode, false));
  if (inode->lower_data != nullptr) source.end = inode->lower_data->size;
  return source;
}

ErrnoOr<UnionFs::Target> UnionFs::TargetOf(NodeId node, off_t size_limit, bool whole) {
  MutexLock lock(&mu_);
  Inode* inode = Get(node);
  if (inode->type != S_IFREG) return Errno(inode->is_dir() ? EISDIR : EINVAL);
  ACETATE_RETURN_IF_ERROR(CopyUpContentsLocked(inode, size_limit));
  if (whole) ACETATE_RETURN_IF_ERROR(CopyRestLocked(inode));
  Target target;
  if (inode->lower_data != nullptr) target.lazy = inode->lower_data->lazy;
  if (target.lazy == nullptr) {
    ACETATE_ASSIGN_OR_RETURN(target.fd, DataFdLocked(inode, true));
  }
  return target;
}

ErrnoOr<size_t> UnionFs::Read(NodeId node, char* buffer, size_t size, off_t offset) {
  ACETATE_ASSIGN_OR_RETURN(Source source, SourceOf(node));
  if (source.lazy != nullptr) return source.lazy->Read(buffer, size, offset);
  size = source.Clamp(size, offset);
  size_t done = 0;
  while (done < size) {
    ssize_t result = pread(source.fd->get(), buffer + done, size - done, offset + static_cast<off_t>(done));
    if (result < 0 && errno == EINTR) continue;
    if (result < 0) return Errno::Last();
    if (result == 0) break;
    done += static_cast<size_t>(result);
  }
  return done;
}

ErrnoOr<Written> UnionFs::Write(NodeId node, const char* data, size_t size, off_t offset, bool kill_suid) {
  ACETATE_RETURN_IF_ERROR(MayWrite(node, offset));
  ACETATE_ASSIGN_OR_RETURN(Target target, TargetOf(node, kWhole, /*whole=*/false));
  Written written;
  if (kill_suid) {
    ACETATE_ASSIGN_OR_RETURN(written.mode_changed, upper_->KillSuid(target.raw()));
  }
  if (target.lazy != nullptr) {
    ACETATE_ASSIGN_OR_RETURN(written.size, target.lazy->Write(data, size, offset));
    return written;
  }
  while (written.size < size) {
    ssize_t result =
        pwrite(target.raw(), data + written.size, size - written.size, offset + static_cast<off_t>(written.size));
    if (result < 0 && errno == EINTR) continue;
    // What was written before the error counts; the caller meets the error with its next write.
    if (result < 0 && written.size == 0) return Errno::Last();
    if (result < 0) break;
    written.size += static_cast<size_t>(result);
  }
  return written;
}

ErrnoOr<bool> UnionFs::ClearSuid(NodeId node) {
  ACETATE_ASSIGN_OR_RETURN(Target target, TargetOf(node, kWhole, /*whole=*/false));
  return upper_->KillSuid(target.raw());
}

Errno UnionFs::FSync(NodeId node, bool data_only) {
  FdRef fd;
  {
    MutexLock lock(&mu_);
    Inode* inode = Get(node);
    if (!inode->upper || options_.skip_sync || inode->type != S_IFREG) return kOk;
    ACETATE_RETURN_IF_ERROR(FindContentsLocked(inode));
    if (inode->lower_data != nullptr) {
      // Of a metadata-only copy the attributes are what there is to be made durable.
      ACETATE_ASSIGN_OR_RETURN(Location where, Locate(inode));
      ACETATE_ASSIGN_OR_RETURN(UniqueFd copy,
                               WithSpareFds([&] { return upper_->Open(where.dirfd(), where.c_name(), O_RDONLY); }));
      fd = std::make_shared<const UniqueFd>(std::move(copy));
    } else {
      ACETATE_ASSIGN_OR_RETURN(fd, DataFdLocked(inode, false));
    }
  }
  int result = data_only ? fdatasync(fd->get()) : fsync(fd->get());
  return result == 0 ? kOk : Errno::Last();
}

Errno UnionFs::FSyncDir(NodeId node, bool data_only) {
  UniqueFd fd;
  {
    MutexLock lock(&mu_);
    Inode* inode = Get(node);
    if (!inode->is_dir() || inode->dir->upper == nullptr || options_.skip_sync) return kOk;
    ACETATE_ASSIGN_OR_RETURN(FdRef path, DirFd(inode->dir->upper.get()));
    ACETATE_ASSIGN_OR_RETURN(fd, upper_->Open(path->get(), ".", O_RDONLY | O_DIRECTORY, 0));
  }
  int result = data_only ? fdatasync(fd.get()) : fsync(fd.get());
  return result == 0 ? kOk : Errno::Last();
}

Errno UnionFs::Fallocate(NodeId node, int mode, off_t offset, off_t length) {
  ACETATE_RETURN_IF_ERROR(MayFallocate(node, mode));
  // Holes that are made, or filled with nothing, must not be taken for what is still to be copied.
  ACETATE_ASSIGN_OR_RETURN(Target target, TargetOf(node, kWhole, /*whole=*/true));
  return fallocate(target.raw(), mode, offset, length) == 0 ? kOk : Errno::Last();
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
  ACETATE_ASSIGN_OR_RETURN(Target target, TargetOf(out, kWhole, /*whole=*/true));
  ACETATE_ASSIGN_OR_RETURN(Source source, SourceOf(in));
  if (source.lazy != nullptr) return Errno(EXDEV);  // the kernel copies by reading and writing then
  size = source.Clamp(size, in_offset);
  if (size == 0) return 0;
  ssize_t result = copy_file_range(source.fd->get(), &in_offset, target.raw(), &out_offset, size, flags);
  if (result < 0) return Errno::Last();
  return static_cast<size_t>(result);
}

}  // namespace acetate::fusefs
