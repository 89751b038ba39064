// Attributes of objects: stat, its changes, link targets, extended attributes.
#include <sys/xattr.h>
#include <unistd.h>

#include <climits>

#include "absl/strings/match.h"
#include "fusefs/union_fs.h"

namespace acetate::fusefs {

ErrnoOr<struct stat> UnionFs::GetAttr(NodeId node) {
  MutexLock lock(&mu_);
  return AttrLocked(Get(node));
}

Errno UnionFs::Resize(NodeId node, const AttrChange& change) {
  // truncate() to the size that a file has leaves its times, unlike ftruncate() and O_TRUNC, which looks the same.
  bool resize = true;
  if (!change.by_fd && change.size != 0) {
    ACETATE_ASSIGN_OR_RETURN(struct stat st, GetAttr(node));
    resize = st.st_size != change.size;
  }
  ACETATE_ASSIGN_OR_RETURN(Target target, TargetOf(node, change.size, /*whole=*/false));
  if (change.kill_suid) ACETATE_RETURN_IF_ERROR(target.branch->KillSuid(target.raw()).error());
  if (!resize) return kOk;
  if (target.lazy != nullptr) return TruncateLazily(node, target.lazy.get(), change.size);
  return ftruncate(target.raw(), change.size) == 0 ? kOk : Errno::Last();
}

ErrnoOr<struct stat> UnionFs::SetAttr(NodeId node, const AttrChange& change) {
  ACETATE_RETURN_IF_ERROR(MaySetAttr(node, change));
  // First, and by the fd: it clears suid bits and moves times, which the other changes may then set.
  if (change.set_size) ACETATE_RETURN_IF_ERROR(Resize(node, change));
  MutexLock lock(&mu_);
  Inode* inode = Get(node);
  if (change.set_mode || change.set_uid || change.set_gid || change.set_times) {
    if (inode->type == S_IFREG && !change.set_uid && !change.set_gid) {
      ACETATE_ASSIGN_OR_RETURN(const bool changed, CopyUpChangedLocked(inode, change));
      if (changed) return AttrLocked(inode);
    }
    ACETATE_RETURN_IF_ERROR(CopyUpLocked(inode));
    ACETATE_ASSIGN_OR_RETURN(Location where, Locate(inode));
    if (change.set_uid || change.set_gid) {
      uid_t uid = change.set_uid ? change.uid : static_cast<uid_t>(-1);
      gid_t gid = change.set_gid ? change.gid : static_cast<gid_t>(-1);
      ACETATE_RETURN_IF_ERROR(where.branch->Chown(where.dirfd(), where.c_name(), uid, gid));
    }
    if (change.set_mode) {
      ACETATE_RETURN_IF_ERROR(where.branch->Chmod(where.dirfd(), where.c_name(), change.mode & 07777));
    }
    if (change.set_times) {
      ACETATE_RETURN_IF_ERROR(where.branch->SetTimes(where.dirfd(), where.c_name(), change.times));
    }
  }
  return AttrLocked(inode);
}

ErrnoOr<std::string> UnionFs::ReadLink(NodeId node) {
  MutexLock lock(&mu_);
  ACETATE_ASSIGN_OR_RETURN(Location where, Locate(Get(node)));
  return where.branch->ReadLink(where.dirfd(), where.c_name());
}

ErrnoOr<std::string> UnionFs::GetXattr(NodeId node, const std::string& key, size_t size) {
  MutexLock lock(&mu_);
  ACETATE_ASSIGN_OR_RETURN(Location where, Locate(Get(node)));
  const std::string stored = xattrs_.Escape(key);
  std::string value(size, '\0');
  ACETATE_ASSIGN_OR_RETURN(
      size_t length, where.branch->GetXattr(where.dirfd(), where.c_name(), stored.c_str(), value.data(), value.size()));
  // Asked for the length only, the answer is a value of that length; its contents are of no interest.
  value.resize(length);
  return value;
}

ErrnoOr<std::string> UnionFs::ListXattr(NodeId node, const Caller& caller) {
  MutexLock lock(&mu_);
  ACETATE_ASSIGN_OR_RETURN(Location where, Locate(Get(node)));
  ACETATE_ASSIGN_OR_RETURN(std::string stored, where.branch->ListXattr(where.dirfd(), where.c_name()));
  // Names of "trusted." are for administrators (simple_xattr_list()). That the caller is root stands for its
  // CAP_SYS_ADMIN, which a request does not tell; values are guarded by the kernel itself.
  return xattrs_.Visible(stored, caller.uid == 0);
}

Errno UnionFs::SetXattr(NodeId node, const std::string& key, absl::string_view value, int flags) {
  MutexLock lock(&mu_);
  Inode* inode = Get(node);
  ACETATE_RETURN_IF_ERROR(MayChangeLocked(inode));
  const std::string stored = xattrs_.Escape(key);
  if (HomeOf(inode) == nullptr && (flags & (XATTR_CREATE | XATTR_REPLACE)) != 0) {
    // What the flags will refuse is refused before anything is copied.
    ACETATE_ASSIGN_OR_RETURN(Location where, Locate(inode));
    ErrnoOr<size_t> old = where.branch->GetXattr(where.dirfd(), where.c_name(), stored.c_str(), nullptr, 0);
    if (old.ok() && (flags & XATTR_CREATE) != 0) return Errno(EEXIST);
    if (!old.ok() && (flags & XATTR_REPLACE) != 0) return old.error();
  }
  ACETATE_RETURN_IF_ERROR(CopyUpLocked(inode));
  ACETATE_ASSIGN_OR_RETURN(Location where, Locate(inode));
  if (inode->is_dir()) inode->dir->top()->no_default_acl = false;
  return where.branch->SetXattr(where.dirfd(), where.c_name(), stored.c_str(), value.data(), value.size(), flags);
}

Errno UnionFs::RemoveXattr(NodeId node, const std::string& key) {
  MutexLock lock(&mu_);
  Inode* inode = Get(node);
  ACETATE_RETURN_IF_ERROR(MayChangeLocked(inode));
  const std::string stored = xattrs_.Escape(key);
  ACETATE_ASSIGN_OR_RETURN(Location where, Locate(inode));
  // Nothing is copied up to find that there is nothing to remove (ENODATA).
  ErrnoOr<size_t> old = where.branch->GetXattr(where.dirfd(), where.c_name(), stored.c_str(), nullptr, 0);
  // Except an ACL, whose removal is the wish for plain mode bits (posix_acl_xattr_set()).
  if (old.error() == ENODATA && absl::StartsWith(key, "system.posix_acl_")) return kOk;
  if (!old.ok()) return old.error();
  ACETATE_RETURN_IF_ERROR(CopyUpLocked(inode));
  ACETATE_ASSIGN_OR_RETURN(where, Locate(inode));
  return where.branch->RemoveXattr(where.dirfd(), where.c_name(), stored.c_str());
}

Errno UnionFs::ClearSetgid(NodeId node) {
  MutexLock lock(&mu_);
  // The change that clears the bit has copied it up.
  ACETATE_ASSIGN_OR_RETURN(Location where, Locate(Get(node)));
  ACETATE_ASSIGN_OR_RETURN(struct stat st, where.branch->Stat(where.dirfd(), where.c_name()));
  if ((st.st_mode & S_ISGID) == 0) return kOk;
  return where.branch->Chmod(where.dirfd(), where.c_name(), st.st_mode & 07777 & ~static_cast<mode_t>(S_ISGID));
}

}  // namespace acetate::fusefs
