#include "fusefs/fuse_data.h"

#include <sys/uio.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <vector>

#include "fusefs/blocking.h"
#include "fusefs/fuse_reply.h"

namespace acetate::fusefs {

bool KillsSuid([[maybe_unused]] const fuse_file_info* info) {
#if ACETATE_LIBFUSE_HAS_KILLPRIV_V2
  return info->kill_suidgid != 0;
#else
  return false;
#endif
}

bool IsStrangerToSetgid(fuse_req_t req, fuse_ino_t node) {
  const fuse_ctx* ctx = fuse_req_ctx(req);
  if (ctx->uid == 0) return false;
  ErrnoOr<struct stat> st = ContextOf(req)->fs->GetAttr(node);
  if (!st.ok() || (st->st_mode & S_ISGID) == 0 || ctx->gid == st->st_gid) return false;
  std::vector<gid_t> groups(65536);  // as many as there can be
  const int count = fuse_req_getgroups(req, static_cast<int>(groups.size()), groups.data());
  groups.resize(static_cast<size_t>(std::max(count, 0)));
  return std::find(groups.begin(), groups.end(), st->st_gid) == groups.end();
}

namespace {

// From here on contents that go straight from file to file are there sooner than by way of the daemon's memory.
constexpr size_t kSpliced = 64 << 10;

// Clears the bit that KillSuid leaves, when the caller is a stranger to the file's group.
Errno FinishSuidKill(fuse_req_t req, fuse_ino_t node, SuidKill kill) {
  const bool clear_setgid = kill.setgid_left && IsStrangerToSetgid(req, node);
  if (clear_setgid) ACETATE_RETURN_IF_ERROR(ContextOf(req)->fs->ClearSetgid(node));
  // The kernel goes on to show the old mode unless told; for attributes alone that is safe while it waits for us.
  if (kill.cleared || clear_setgid) fuse_lowlevel_notify_inval_inode(ContextOf(req)->session, node, -1, 0);
  return kOk;
}

// These requests change contents too, but do not say whether their caller's changes clear setuid bits: taken from its
// user.
Errno ClearSuidOf([[maybe_unused]] fuse_req_t req, [[maybe_unused]] fuse_ino_t node) {
#if ACETATE_LIBFUSE_HAS_KILLPRIV_V2
  if (fuse_req_ctx(req)->uid == 0) return kOk;
  ACETATE_ASSIGN_OR_RETURN(SuidKill kill, ContextOf(req)->fs->ClearSuid(node));
  return FinishSuidKill(req, node, kill);
#else
  return kOk;
#endif
}

// Whether a read that begins there would not wait for the disk, as far as the filesystem can tell.
bool IsCached(int fd, off_t offset) {
  char byte;
  const iovec part = {&byte, 1};
  return preadv2(fd, &part, 1, offset, RWF_NOWAIT) >= 0 || errno != EAGAIN;
}

void ReplyRange(fuse_req_t req, const FileRange& range, off_t offset) {
  auto reply = [&] {
    fuse_bufvec data = FUSE_BUFVEC_INIT(range.size);
    data.buf[0].flags = static_cast<fuse_buf_flags>(FUSE_BUF_IS_FD | FUSE_BUF_FD_SEEK);
    data.buf[0].fd = range.fd->get();
    data.buf[0].pos = offset;
    // Copied into the kernel's cache of the union: moved there, they would be lost to that of the layer, which other
    // unions have, too.
    fuse_reply_data(req, &data, fuse_buf_copy_flags{});
  };
  if (range.in_memory || IsCached(range.fd->get(), offset)) return reply();
  RunBlocking(reply);
}

}  // namespace

void HandleRead(fuse_req_t req, fuse_ino_t node, size_t size, off_t offset, fuse_file_info*) {
  UnionFs* fs = Begin(req, Opcode::kRead);
  if (size >= kSpliced) {
    ErrnoOr<FileRange> range = fs->RangeToRead(node, size, offset);
    if (!range.ok()) return Reply(req, range.error());
    if (range->fd != nullptr) return ReplyRange(req, *range, offset);
  }
  // Kept from request to request: a fresh megabyte costs more in page faults than the read itself.
  thread_local std::unique_ptr<char[]> buffer;
  thread_local size_t capacity = 0;
  if (capacity < size) {
    buffer.reset(new char[size]);
    capacity = size;
  }
  ErrnoOr<size_t> read = fs->Read(node, buffer.get(), size, offset);
  if (!read.ok()) return Reply(req, read.error());
  fuse_reply_buf(req, buffer.get(), *read);
}

void HandleWrite(fuse_req_t req, fuse_ino_t node, const char* data, size_t size, off_t offset, fuse_file_info* info) {
  ErrnoOr<Written> written = Begin(req, Opcode::kWrite)->Write(node, data, size, offset, KillsSuid(info));
  if (!written.ok()) return Reply(req, written.error());
  // What was written counts, whatever becomes of the mode.
  FinishSuidKill(req, node, written->suid).IgnoreError();
  fuse_reply_write(req, written->size);
}

void HandleFSync(fuse_req_t req, fuse_ino_t node, int data_only, fuse_file_info*) {
  Reply(req, Begin(req, Opcode::kFsync)->FSync(node, data_only != 0));
}

void HandleFSyncDir(fuse_req_t req, fuse_ino_t node, int data_only, fuse_file_info*) {
  Reply(req, Begin(req, Opcode::kFsyncdir)->FSyncDir(node, data_only != 0));
}

void HandleFallocate(fuse_req_t req, fuse_ino_t node, int mode, off_t offset, off_t length, fuse_file_info*) {
  UnionFs* fs = Begin(req, Opcode::kFallocate);
  if (Errno error = ClearSuidOf(req, node); !error.ok()) return Reply(req, error);
  Reply(req, fs->Fallocate(node, mode, offset, length));
}

void HandleLSeek(fuse_req_t req, fuse_ino_t node, off_t offset, int whence, fuse_file_info*) {
  ErrnoOr<off_t> position = Begin(req, Opcode::kLseek)->LSeek(node, offset, whence);
  if (!position.ok()) return Reply(req, position.error());
  fuse_reply_lseek(req, *position);
}

void HandleCopyFileRange(fuse_req_t req, fuse_ino_t in, off_t in_offset, fuse_file_info*, fuse_ino_t out,
                         off_t out_offset, fuse_file_info*, size_t size, int flags) {
  UnionFs* fs = Begin(req, Opcode::kCopyFileRange);
  if (Errno error = ClearSuidOf(req, out); !error.ok()) return Reply(req, error);
  ErrnoOr<size_t> copied = fs->CopyFileRange(in, in_offset, out, out_offset, size, static_cast<unsigned>(flags));
  if (!copied.ok()) return Reply(req, copied.error());
  fuse_reply_write(req, *copied);
}

}  // namespace acetate::fusefs
