// Flags of files and directories (FS_IOC_GETFLAGS and its like), and what they forbid.
//
// As the kernel's ovl_fileattr_get() and ovl_fileattr_set(): shown is what the object's topmost layer has; a change
// copies up first. The kernel knows nothing of immutable FUSE files, so that what it checks elsewhere (may_delete(),
// may_setattr(), xattr_permission(), and at open for writing) is checked here; an open that sends no request cannot
// fail, the write does.
#include <fcntl.h>
#include <unistd.h>

#include "fusefs/file_flags.h"
#include "fusefs/union_fs.h"
#include "fusefs/with_spare_fds.h"

namespace acetate::fusefs {

ErrnoOr<UniqueFd> UnionFs::OpenForFlagsLocked(const Inode* inode, const Location& where) {
  if (inode->type != S_IFREG && !inode->is_dir()) return Errno(ENOTTY);
  return WithSpareFds(
      [&] { return where.branch->Open(where.dirfd(), where.c_name(), O_RDONLY | O_NONBLOCK | O_NOCTTY); });
}

unsigned UnionFs::ReadProtectionLocked(const Location& where) {
  if (branches_.writable(where.branch->id()) == nullptr) return ReadProtection(where.dirfd(), where.c_name());
  ErrnoOr<std::string> value = OverlayXattr::Get(*where.branch, where.dirfd(), where.c_name(), xattrs_.protattr());
  return value.ok() ? DecodeProtection(*value) : 0;
}

Errno UnionFs::WriteProtectionLocked(Inode* inode, const Location& where, unsigned flags) {
  const std::string value = EncodeProtection(flags);
  if (!value.empty()) {
    Errno error = where.branch->SetXattr(where.dirfd(), where.c_name(), xattrs_.protattr().c_str(), value.data(),
                                         value.size(), 0);
    if (error == EOPNOTSUPP) return Errno(EPERM);
    ACETATE_RETURN_IF_ERROR(error);
  } else if (ReadProtectionLocked(where) != 0) {
    ACETATE_RETURN_IF_ERROR(where.branch->RemoveXattr(where.dirfd(), where.c_name(), xattrs_.protattr().c_str()));
  }
  inode->protection = ProtectionBy(flags);
  inode->plain = false;
  return kOk;
}

ErrnoOr<unsigned> UnionFs::GetFlags(NodeId node) {
  MutexLock lock(&mu_);
  Inode* inode = Get(node);
  ACETATE_ASSIGN_OR_RETURN(Location where, Locate(inode));
  ACETATE_ASSIGN_OR_RETURN(UniqueFd fd, OpenForFlagsLocked(inode, where));
  ACETATE_ASSIGN_OR_RETURN(unsigned flags, ReadFlags(fd.get()));
  return flags | ReadProtectionLocked(where);
}

Errno UnionFs::SetFlags(NodeId node, unsigned flags) {
  MutexLock lock(&mu_);
  Inode* inode = Get(node);
  ACETATE_RETURN_IF_ERROR(CopyUpLocked(inode));
  ACETATE_ASSIGN_OR_RETURN(Location where, Locate(inode));
  ACETATE_ASSIGN_OR_RETURN(UniqueFd fd, OpenForFlagsLocked(inode, where));
  ACETATE_ASSIGN_OR_RETURN(unsigned old, ReadFlags(fd.get()));
  ACETATE_RETURN_IF_ERROR(WriteProtectionLocked(inode, where, flags & kProtectingFlags));
  flags &= ~kProtectingFlags;
  return flags == old ? kOk : WriteFlags(fd.get(), flags);
}

ErrnoOr<fsxattr> UnionFs::GetFsXattr(NodeId node) {
  MutexLock lock(&mu_);
  Inode* inode = Get(node);
  ACETATE_ASSIGN_OR_RETURN(Location where, Locate(inode));
  ACETATE_ASSIGN_OR_RETURN(UniqueFd fd, OpenForFlagsLocked(inode, where));
  ACETATE_ASSIGN_OR_RETURN(fsxattr attributes, ReadFsXattr(fd.get()));
  attributes.fsx_xflags |= XflagsOfProtection(ReadProtectionLocked(where));
  return attributes;
}

Errno UnionFs::SetFsXattr(NodeId node, const fsxattr& attributes) {
  MutexLock lock(&mu_);
  Inode* inode = Get(node);
  ACETATE_RETURN_IF_ERROR(CopyUpLocked(inode));
  ACETATE_ASSIGN_OR_RETURN(Location where, Locate(inode));
  ACETATE_ASSIGN_OR_RETURN(UniqueFd fd, OpenForFlagsLocked(inode, where));
  ACETATE_RETURN_IF_ERROR(ReadFsXattr(fd.get()).error());
  ACETATE_RETURN_IF_ERROR(WriteProtectionLocked(inode, where, ProtectionOfXflags(attributes.fsx_xflags)));
  fsxattr own = attributes;
  own.fsx_xflags &= ~kProtectingXflags;
  return WriteFsXattr(fd.get(), own);
}

Errno UnionFs::CarryFlags(const WritableBranch& to, const Location& from, const struct stat& st, const char* temp,
                          const Inode* inode) {
  if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode)) return kOk;
  std::optional<unsigned> known;
  if (branches_.writable(from.branch->id()) == nullptr) {
    if (inode->plain) return kOk;
    known = ReadFlagsAt(from.dirfd(), from.c_name());
  }
  const unsigned protection = known.has_value() ? *known & kProtectingFlags : ReadProtectionLocked(from);
  if (const std::string value = EncodeProtection(protection); !value.empty()) {
    Errno error = to->SetXattr(to.work_fd(), temp, xattrs_.protattr().c_str(), value.data(), value.size(), 0);
    if (!error.ok() && !(error == EOPNOTSUPP)) return error;
  }
  if (known.has_value() && (*known & kCarriedFlags) == 0) return kOk;
  // The others guard nothing: a copy without them is better than none.
  constexpr int kFlags = O_RDONLY | O_NONBLOCK | O_NOCTTY;
  ErrnoOr<UniqueFd> source = from.branch->Open(from.dirfd(), from.c_name(), kFlags);
  if (!source.ok()) return kOk;
  ErrnoOr<unsigned> flags = ReadFlags(source->get());
  if (!flags.ok() || (*flags & kCarriedFlags) == 0) return kOk;
  ErrnoOr<UniqueFd> copy = to->Open(to.work_fd(), temp, kFlags);
  if (!copy.ok()) return kOk;
  ErrnoOr<unsigned> own = ReadFlags(copy->get());
  if (own.ok()) WriteFlags(copy->get(), *own | (*flags & kCarriedFlags)).IgnoreError();
  return kOk;
}

Protection UnionFs::ProtectionLocked(Inode* inode) {
  if (inode->protection != Protection::kUnknown) return inode->protection;
  if (inode->type != S_IFREG && !inode->is_dir()) return Protection::kNone;
  ErrnoOr<Location> where = Locate(inode);
  if (!where.ok()) return Protection::kNone;  // what is asked for next says why
  if (branches_.writable(where->branch->id()) == nullptr) {
    const std::optional<unsigned> flags = ReadFlagsAt(where->dirfd(), where->c_name());
    inode->plain = flags == 0U;
    if (flags.has_value()) return inode->protection = ProtectionBy(*flags);
  } else if (inode->type == S_IFREG && !inode->contents_known) {
    // Whoever asks will want to know next where the contents are. Most files have neither mark.
    if (ErrnoOr<std::string> list = where->branch->ListXattr(where->dirfd(), where->c_name()); list.ok()) {
      inode->contents_known = !OverlayXattr::Lists(*list, xattrs_.metacopy());
      if (!OverlayXattr::Lists(*list, xattrs_.protattr())) return inode->protection = Protection::kNone;
    }
  }
  inode->protection = ProtectionBy(ReadProtectionLocked(*where));
  return inode->protection;
}

Errno UnionFs::MayChangeLocked(Inode* inode) {
  return ProtectionLocked(inode) == Protection::kNone ? kOk : Errno(EPERM);
}

Errno UnionFs::MayAddToLocked(Inode* dir) {
  return ProtectionLocked(dir) == Protection::kImmutable ? Errno(EPERM) : kOk;
}

Errno UnionFs::MayRemoveLocked(const Dentry* dentry) {
  ACETATE_RETURN_IF_ERROR(MayChangeLocked(dentry->parent));
  // The kernel has looked up what it removes.
  return dentry->inode != nullptr ? MayChangeLocked(dentry->inode) : kOk;
}

Errno UnionFs::MayRenameLocked(const Dentry* source, Inode* new_dir, const Dentry* target) {
  ACETATE_RETURN_IF_ERROR(MayRemoveLocked(source));
  return target != nullptr && !target->hidden() ? MayRemoveLocked(target) : MayAddToLocked(new_dir);
}

Errno UnionFs::MayWrite(NodeId node, off_t from) {
  MutexLock lock(&mu_);
  Inode* inode = Get(node);
  switch (ProtectionLocked(inode)) {
    case Protection::kImmutable:
      return Errno(EPERM);
    case Protection::kAppendOnly: {
      // Pages that the kernel collected before it sent them hold what was there already.
      if (options_.writeback) return kOk;
      ACETATE_ASSIGN_OR_RETURN(struct stat st, AttrLocked(inode));
      return from < st.st_size ? Errno(EPERM) : kOk;
    }
    case Protection::kUnknown:
    case Protection::kNone:
      break;
  }
  return kOk;
}

Errno UnionFs::MayFallocate(NodeId node, int mode) {
  MutexLock lock(&mu_);
  const Protection protection = ProtectionLocked(Get(node));
  if (protection == Protection::kAppendOnly && (mode & ~FALLOC_FL_KEEP_SIZE) == 0) return kOk;
  return protection == Protection::kNone ? kOk : Errno(EPERM);
}

Errno UnionFs::MaySetAttr(NodeId node, const AttrChange& change) {
  MutexLock lock(&mu_);
  const auto is_now = [](const timespec& time) { return time.tv_nsec == UTIME_NOW || time.tv_nsec == UTIME_OMIT; };
  const bool only_times = !change.set_mode && !change.set_uid && !change.set_gid && !change.set_size;
  // Times that the kernel collected with the writes cannot be told from those that a caller chose.
  const bool touched = only_times && (options_.writeback || (is_now(change.times[0]) && is_now(change.times[1])));
  const Protection protection = ProtectionLocked(Get(node));
  if (protection == Protection::kAppendOnly && touched) return kOk;
  return protection == Protection::kNone ? kOk : Errno(EPERM);
}

}  // namespace acetate::fusefs
