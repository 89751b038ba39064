#include "fusefs/fuse_ops.h"

#include <linux/fs.h>

#include <cstring>
#include <string>
#include <vector>

#include "fusefs/fuse_data.h"
#include "fusefs/fuse_ioctl.h"
#include "fusefs/fuse_reply.h"

namespace acetate::fusefs {
namespace {

// -- Names.

void Lookup(fuse_req_t req, fuse_ino_t parent, const char* name) {
  ErrnoOr<Entry> entry = Begin(req, Opcode::kLookup)->Lookup(parent, name);
  if (!entry.ok() && entry.error() == ENOENT) {
    // Told as an entry without a node, a missing name is remembered by the kernel and not asked for again.
    fuse_entry_param missing = {};
    missing.entry_timeout = ContextOf(req)->options->timeout;
    fuse_reply_entry(req, &missing);
    return;
  }
  Reply(req, entry);
}

void Forget(fuse_req_t req, fuse_ino_t node, uint64_t lookups) {
  Begin(req, Opcode::kForget)->Forget(node, lookups);
  fuse_reply_none(req);
}

void ForgetMulti(fuse_req_t req, size_t count, fuse_forget_data* forgets) {
  UnionFs* fs = Begin(req, Opcode::kBatchForget);
  for (size_t i = 0; i < count; ++i) fs->Forget(forgets[i].ino, forgets[i].nlookup);
  fuse_reply_none(req);
}

void List(fuse_req_t req, UnionFs* fs, fuse_ino_t node, size_t size, off_t offset, bool plus) {
  ReplySink sink(req, size, plus);
  Errno error = fs->ReadDir(node, static_cast<uint64_t>(offset), plus, &sink);
  if (!error.ok()) return Reply(req, error);
  sink.Send();
}

void ReadDir(fuse_req_t req, fuse_ino_t node, size_t size, off_t offset, fuse_file_info*) {
  List(req, Begin(req, Opcode::kReaddir), node, size, offset, false);
}

void ReadDirPlus(fuse_req_t req, fuse_ino_t node, size_t size, off_t offset, fuse_file_info*) {
  List(req, Begin(req, Opcode::kReaddirplus), node, size, offset, true);
}

void StatFs(fuse_req_t req, fuse_ino_t) {
  ErrnoOr<struct statvfs> st = Begin(req, Opcode::kStatfs)->StatFs();
  if (!st.ok()) return Reply(req, st.error());
  fuse_reply_statfs(req, &*st);
}

// -- Attributes.

void GetAttr(fuse_req_t req, fuse_ino_t node, fuse_file_info*) {
  ReplyAttr(req, node, Begin(req, Opcode::kGetattr)->GetAttr(node));
}

ErrnoOr<struct stat> ChangeAttr(fuse_req_t req, fuse_ino_t node, const AttrChange& change) {
  UnionFs* fs = ContextOf(req)->fs;
  // Asked before: the file may be given to another group.
  const bool clear_setgid = (change.kill_suid || change.set_uid || change.set_gid) && IsStrangerToSetgid(req, node);
  ErrnoOr<struct stat> changed = fs->SetAttr(node, change);
  if (changed.ok() && clear_setgid && !S_ISDIR(changed->st_mode)) {
    ACETATE_RETURN_IF_ERROR(fs->ClearSetgid(node));
    changed = fs->GetAttr(node);
  }
  return changed;
}

// FATTR_KILL_SUIDGID of linux/fuse.h, which libfuse passes on under a name of its own.
constexpr int kKillSuidgid = 1 << 11;

void SetAttr(fuse_req_t req, fuse_ino_t node, struct stat* attr, int to_set, fuse_file_info* info) {
  AttrChange change;
  change.set_mode = (to_set & FUSE_SET_ATTR_MODE) != 0;
  change.set_uid = (to_set & FUSE_SET_ATTR_UID) != 0;
  change.set_gid = (to_set & FUSE_SET_ATTR_GID) != 0;
  change.set_size = (to_set & FUSE_SET_ATTR_SIZE) != 0;
  change.by_fd = info != nullptr;
  change.kill_suid = (to_set & kKillSuidgid) != 0;
  change.mode = attr->st_mode;
  change.uid = attr->st_uid;
  change.gid = attr->st_gid;
  change.size = attr->st_size;
  change.times[0].tv_nsec = UTIME_OMIT;
  change.times[1].tv_nsec = UTIME_OMIT;
  if ((to_set & FUSE_SET_ATTR_ATIME) != 0) change.times[0] = attr->st_atim;
  if ((to_set & FUSE_SET_ATTR_MTIME) != 0) change.times[1] = attr->st_mtim;
  if ((to_set & FUSE_SET_ATTR_ATIME_NOW) != 0) change.times[0].tv_nsec = UTIME_NOW;
  if ((to_set & FUSE_SET_ATTR_MTIME_NOW) != 0) change.times[1].tv_nsec = UTIME_NOW;
  change.set_times = change.times[0].tv_nsec != UTIME_OMIT || change.times[1].tv_nsec != UTIME_OMIT;
  Begin(req, Opcode::kSetattr);
  ReplyAttr(req, node, ChangeAttr(req, node, change));
}

void ReadLink(fuse_req_t req, fuse_ino_t node) {
  ErrnoOr<std::string> target = Begin(req, Opcode::kReadlink)->ReadLink(node);
  if (!target.ok()) return Reply(req, target.error());
  fuse_reply_readlink(req, target->c_str());
}

void GetXattr(fuse_req_t req, fuse_ino_t node, const char* key, size_t size) {
  UnionFs* fs = Begin(req, Opcode::kGetxattr);
  if (ContextOf(req)->options->xattr_off) return Reply(req, Errno(ENOSYS));
  ReplyXattr(req, fs->GetXattr(node, key, size), size);
}

void ListXattr(fuse_req_t req, fuse_ino_t node, size_t size) {
  UnionFs* fs = Begin(req, Opcode::kListxattr);
  if (ContextOf(req)->options->xattr_off) return Reply(req, Errno(ENOSYS));
  ReplyXattr(req, fs->ListXattr(node, CallerOf(req)), size);
}

void SetXattr(fuse_req_t req, fuse_ino_t node, const char* key, const char* value, size_t size, int flags) {
  UnionFs* fs = Begin(req, Opcode::kSetxattr);
  if (ContextOf(req)->options->xattr_off) return Reply(req, Errno(ENOSYS));
  // The kernel would tell (FUSE_SETXATTR_EXT), but libfuse does not pass it on. Asked before: the list may give groups.
  const bool kills_setgid = strcmp(key, "system.posix_acl_access") == 0 && IsStrangerToSetgid(req, node);
  Errno error = fs->SetXattr(node, key, absl::string_view(value, size), flags);
  if (error.ok() && kills_setgid) error = fs->ClearSetgid(node);
  Reply(req, error);
}

void RemoveXattr(fuse_req_t req, fuse_ino_t node, const char* key) {
  UnionFs* fs = Begin(req, Opcode::kRemovexattr);
  if (ContextOf(req)->options->xattr_off) return Reply(req, Errno(ENOSYS));
  Reply(req, fs->RemoveXattr(node, key));
}

// -- New names. The umask comes along with the caller (DONT_MASK): a default ACL takes its place.

void MkNod(fuse_req_t req, fuse_ino_t parent, const char* name, mode_t mode, dev_t device) {
  Reply(req, Begin(req, Opcode::kMknod)->MkNod(parent, name, mode, device, CallerOf(req)));
}

void MkDir(fuse_req_t req, fuse_ino_t parent, const char* name, mode_t mode) {
  Reply(req, Begin(req, Opcode::kMkdir)->MkDir(parent, name, mode, CallerOf(req)));
}

void SymLink(fuse_req_t req, const char* target, fuse_ino_t parent, const char* name) {
  Reply(req, Begin(req, Opcode::kSymlink)->SymLink(target, parent, name, CallerOf(req)));
}

void Link(fuse_req_t req, fuse_ino_t node, fuse_ino_t new_parent, const char* new_name) {
  Reply(req, Begin(req, Opcode::kLink)->Link(node, new_parent, new_name));
}

// Of a file that was made and is open now.
void ReplyCreated(fuse_req_t req, const ErrnoOr<Entry>& entry, fuse_file_info* info) {
  if (!entry.ok()) return Reply(req, entry.error());
  Passthrough* passthrough = ContextOf(req)->passthrough;
  if (passthrough != nullptr) passthrough->Open(req, ContextOf(req)->session, entry->node, info);
  fuse_entry_param param = ToParam(req, *entry);
  if (fuse_reply_create(req, &param, info) == 0) return;
  if (passthrough != nullptr) passthrough->Release(ContextOf(req)->session, entry->node, *info);
  ContextOf(req)->fs->Forget(entry->node, 1);
}

#if ACETATE_LIBFUSE_HAS_TMPFILE
void TmpFile(fuse_req_t req, fuse_ino_t parent, mode_t mode, fuse_file_info* info) {
  ReplyCreated(req, Begin(req, Opcode::kTmpfile)->TmpFile(parent, mode, CallerOf(req)), info);
}
#endif

// -- Names that go.

void Unlink(fuse_req_t req, fuse_ino_t parent, const char* name) {
  Reply(req, Begin(req, Opcode::kUnlink)->Unlink(parent, name));
}

void RmDir(fuse_req_t req, fuse_ino_t parent, const char* name) {
  Reply(req, Begin(req, Opcode::kRmdir)->RmDir(parent, name));
}

void Rename(fuse_req_t req, fuse_ino_t parent, const char* name, fuse_ino_t new_parent, const char* new_name,
            unsigned flags) {
  UnionFs* fs = Begin(req, flags == 0 ? Opcode::kRename : Opcode::kRename2);
  Reply(req, fs->Rename(parent, name, new_parent, new_name, flags));
}

// -- What the kernel is told once not to ask again: from then on it opens, closes and flushes by itself, and creates
// files by MKNOD. Reads and writes name the node; there are no file handles. With --passthrough it asks for each open
// and each new file, and tells of each close.

Errno TruncateAtOpen(fuse_req_t req, fuse_ino_t node, const fuse_file_info* info) {
  AttrChange change;
  change.set_size = true;
  change.by_fd = true;
  change.kill_suid = KillsSuid(info);
  change.times[0].tv_nsec = UTIME_OMIT;
  change.times[1].tv_nsec = UTIME_OMIT;
  return ChangeAttr(req, node, change).error();
}

// The kernel agrees to 128 KiB at most when it mounts. Reads of half a megabyte keep client and daemon at work at the
// same time; those of a whole one no longer fit a pipe with their header.
void WidenReadahead(const FuseContext& context) {
  static constexpr char kKilobytes[] = "512";
  if (!context.readahead.valid()) return;
  // It stays as it was where it may not be changed.
  [[maybe_unused]] const ssize_t written = pwrite(context.readahead.get(), kKilobytes, sizeof(kKilobytes) - 1, 0);
}

void Open(fuse_req_t req, fuse_ino_t node, fuse_file_info* info) {
  Begin(req, Opcode::kOpen);
  Passthrough* passthrough = ContextOf(req)->passthrough;
  if (passthrough == nullptr) {
    WidenReadahead(*ContextOf(req));
    return Reply(req, Errno(ENOSYS));
  }
  if ((info->flags & O_TRUNC) != 0) {
    if (Errno error = TruncateAtOpen(req, node, info); !error.ok()) return Reply(req, error);
  }
  passthrough->Open(req, ContextOf(req)->session, node, info);
  if (fuse_reply_open(req, info) != 0) passthrough->Release(ContextOf(req)->session, node, *info);
}

void OpenDir(fuse_req_t req, fuse_ino_t, fuse_file_info* info) {
  Begin(req, Opcode::kOpendir);
  // Where others may have changed the branches, a listing is read each time.
  if (ContextOf(req)->options->udba == Udba::kReval) {
    fuse_reply_open(req, info);
    return;
  }
  Reply(req, Errno(ENOSYS));
}

void ReleaseDir(fuse_req_t req, fuse_ino_t, fuse_file_info*) {
  Begin(req, Opcode::kReleasedir);
  Reply(req, kOk);
}

void Flush(fuse_req_t req, fuse_ino_t, fuse_file_info*) {
  Begin(req, Opcode::kFlush);
  Reply(req, Errno(ENOSYS));
}

void Create(fuse_req_t req, fuse_ino_t parent, const char* name, mode_t mode, fuse_file_info* info) {
  UnionFs* fs = Begin(req, Opcode::kCreate);
  if (ContextOf(req)->passthrough == nullptr) return Reply(req, Errno(ENOSYS));
  ReplyCreated(req, fs->MkNod(parent, name, S_IFREG | (mode & 07777), 0, CallerOf(req)), info);
}

void Release(fuse_req_t req, fuse_ino_t node, fuse_file_info* info) {
  FuseContext* context = ContextOf(req);
  Begin(req, Opcode::kRelease);
  if (context->passthrough != nullptr) context->passthrough->Release(context->session, node, *info);
  Reply(req, kOk);
}

void Init(void* userdata, fuse_conn_info* connection) {
  auto* context = static_cast<FuseContext*>(userdata);
  context->stats->Count(Opcode::kInit);
  // Truncation is a SETATTR, since OPEN is not answered. Setuid bits are cleared by the kernel, or with KILLPRIV_V2 by
  // us where the request says so. With READDIRPLUS_AUTO only the beginning of a large directory comes with attributes,
  // since most programs list all of it before they ask for the first entry's.
  unsigned unwanted = FUSE_CAP_ATOMIC_O_TRUNC | FUSE_CAP_HANDLE_KILLPRIV | FUSE_CAP_READDIRPLUS_AUTO;
  unsigned wanted = FUSE_CAP_NO_OPEN_SUPPORT | FUSE_CAP_NO_OPENDIR_SUPPORT | FUSE_CAP_CACHE_SYMLINKS |
                    FUSE_CAP_PARALLEL_DIROPS | FUSE_CAP_POSIX_ACL | FUSE_CAP_DONT_MASK | FUSE_CAP_SPLICE_WRITE;
#if ACETATE_LIBFUSE_HAS_KILLPRIV_V2
  wanted |= FUSE_CAP_HANDLE_KILLPRIV_V2;
#endif
  // Where others change the branches, data are checked at each open, and attributes are asked for whenever they are
  // used.
  const bool reval = context->options->udba == Udba::kReval;
  (reval ? wanted : unwanted) |= FUSE_CAP_AUTO_INVAL_DATA;
  (reval ? unwanted : wanted) |= FUSE_CAP_READDIRPLUS;
  if (context->options->writeback) wanted |= FUSE_CAP_WRITEBACK_CACHE;
  connection->want &= ~unwanted;
  connection->want |= connection->capable & wanted;
  if (context->passthrough != nullptr && !Passthrough::Negotiate(connection)) {
    context->failure = absl::UnavailableError(
        "passthrough: this kernel was built without it (CONFIG_FUSE_PASSTHROUGH); leave the option out");
    fuse_session_exit(context->session);
  }
  connection->time_gran = 1;
  // From 5.13 on it asks as for every filesystem (fuse_fileattr_set()); which is not told, 5.14 is.
  context->guards_flags = connection->proto_minor >= 34;
  const Options& options = *context->options;
  if (options.max_read != 0) connection->max_read = options.max_read;
  if (options.max_write != 0) connection->max_write = options.max_write;
  if (options.max_readahead != 0) connection->max_readahead = options.max_readahead;
  if (options.max_background != 0) connection->max_background = options.max_background;
  if (options.congestion_threshold != 0) connection->congestion_threshold = options.congestion_threshold;
}

const fuse_lowlevel_ops kOps = {
    .init = Init,
    .lookup = Lookup,
    .forget = Forget,
    .getattr = GetAttr,
    .setattr = SetAttr,
    .readlink = ReadLink,
    .mknod = MkNod,
    .mkdir = MkDir,
    .unlink = Unlink,
    .rmdir = RmDir,
    .symlink = SymLink,
    .rename = Rename,
    .link = Link,
    .open = Open,
    .read = HandleRead,
    .write = HandleWrite,
    .flush = Flush,
    .release = Release,
    .fsync = HandleFSync,
    .opendir = OpenDir,
    .readdir = ReadDir,
    .releasedir = ReleaseDir,
    .fsyncdir = HandleFSyncDir,
    .statfs = StatFs,
    .setxattr = SetXattr,
    .getxattr = GetXattr,
    .listxattr = ListXattr,
    .removexattr = RemoveXattr,
    .create = Create,
    .ioctl = HandleIoctl,
    .forget_multi = ForgetMulti,
    .fallocate = HandleFallocate,
    .readdirplus = ReadDirPlus,
    .copy_file_range = HandleCopyFileRange,
    .lseek = HandleLSeek,
#if ACETATE_LIBFUSE_HAS_TMPFILE
    .tmpfile = TmpFile,
#endif
};

}  // namespace

void ForgetInKernel(fuse_session* session, const std::vector<KernelNote>& notes) {
  for (const KernelNote& note : notes) {
    if (note.parent != 0) {
      fuse_lowlevel_notify_inval_entry(session, note.parent, note.name.data(), note.name.size());
    } else {
      // An offset below zero: the attributes alone.
      fuse_lowlevel_notify_inval_inode(session, note.node, note.contents ? 0 : -1, 0);
    }
  }
}

fuse_session* NewFuseSession(FuseContext* context, fuse_args* args) {
  context->session = fuse_session_new(args, &kOps, sizeof(kOps), context);
  return context->session;
}

}  // namespace acetate::fusefs
