#include "fusefs/owner_branch.h"

#include <fcntl.h>
#include <linux/limits.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"

namespace acetate::fusefs {
namespace {

bool IsSelf(const char* name) { return name[0] == '\0'; }

// As in branch.cc; the helper has the same fds.
std::string ProcPath(int dirfd, const char* name) {
  return IsSelf(name) ? absl::StrCat("/proc/self/fd/", dirfd) : absl::StrCat("/proc/self/fd/", dirfd, "/", name);
}

}  // namespace

// Each method is the plain call, and when that says EACCES the same one made by the helper. Calls that an owner may
// make on any object he can reach (stat, chmod, chown, utimes) are made again by the daemon, on an fd from the helper.

ErrnoOr<UniqueFd> OwnerBranch::Open(int dirfd, const char* name, int flags, mode_t mode) const {
  ErrnoOr<UniqueFd> fd = DirectoryBranch::Open(dirfd, name, flags, mode);
  if (!(fd.error() == EACCES)) return fd;
  ErrnoOr<long> opened = IsSelf(name) ? calls_->Call(SYS_openat, AT_FDCWD, ProcPath(dirfd, name).c_str(),
                                                     (flags & ~O_NOFOLLOW) | O_CLOEXEC, mode)
                                      : calls_->Call(SYS_openat, dirfd, name, flags | O_NOFOLLOW | O_CLOEXEC, mode);
  if (!opened.ok()) return opened.error();
  return UniqueFd(static_cast<int>(*opened));
}

ErrnoOr<struct stat> OwnerBranch::Stat(int dirfd, const char* name) const {
  ErrnoOr<struct stat> result = DirectoryBranch::Stat(dirfd, name);
  if (!(result.error() == EACCES)) return result;
  // By the daemon: to the helper, all owners but the user would be the overflow id.
  ACETATE_ASSIGN_OR_RETURN(const UniqueFd fd, Open(dirfd, name, O_PATH, 0));
  return DirectoryBranch::Stat(fd.get(), "");
}

ErrnoOr<std::string> OwnerBranch::ReadLink(int dirfd, const char* name) const {
  ErrnoOr<std::string> result = DirectoryBranch::ReadLink(dirfd, name);
  if (!(result.error() == EACCES)) return result;
  char target[PATH_MAX];
  ErrnoOr<long> size = calls_->Call(SYS_readlinkat, dirfd, name, target, sizeof(target));
  if (!size.ok()) return size.error();
  return std::string(target, static_cast<size_t>(*size));
}

Errno OwnerBranch::MkNod(int dirfd, const char* name, mode_t mode, dev_t device) const {
  const Errno error = DirectoryBranch::MkNod(dirfd, name, mode, device);
  return error == EACCES ? calls_->Call(SYS_mknodat, dirfd, name, mode, device).error() : error;
}

Errno OwnerBranch::MkDir(int dirfd, const char* name, mode_t mode) const {
  const Errno error = DirectoryBranch::MkDir(dirfd, name, mode);
  return error == EACCES ? calls_->Call(SYS_mkdirat, dirfd, name, mode).error() : error;
}

Errno OwnerBranch::SymLink(const char* target, int dirfd, const char* name) const {
  const Errno error = DirectoryBranch::SymLink(target, dirfd, name);
  return error == EACCES ? calls_->Call(SYS_symlinkat, target, dirfd, name).error() : error;
}

Errno OwnerBranch::Link(int old_dirfd, const char* old_name, int new_dirfd, const char* new_name) const {
  const Errno error = DirectoryBranch::Link(old_dirfd, old_name, new_dirfd, new_name);
  if (!(error == EACCES)) return error;
  if (!IsSelf(old_name)) return calls_->Call(SYS_linkat, old_dirfd, old_name, new_dirfd, new_name, 0).error();
  const std::string old_path = ProcPath(old_dirfd, old_name);
  return calls_->Call(SYS_linkat, AT_FDCWD, old_path.c_str(), new_dirfd, new_name, AT_SYMLINK_FOLLOW).error();
}

Errno OwnerBranch::Rename(int old_dirfd, const char* old_name, int new_dirfd, const char* new_name,
                          unsigned flags) const {
  const Errno error = DirectoryBranch::Rename(old_dirfd, old_name, new_dirfd, new_name, flags);
  return error == EACCES ? calls_->Call(SYS_renameat2, old_dirfd, old_name, new_dirfd, new_name, flags).error() : error;
}

Errno OwnerBranch::Unlink(int dirfd, const char* name) const {
  const Errno error = DirectoryBranch::Unlink(dirfd, name);
  return error == EACCES ? calls_->Call(SYS_unlinkat, dirfd, name, 0).error() : error;
}

Errno OwnerBranch::RmDir(int dirfd, const char* name) const {
  const Errno error = DirectoryBranch::RmDir(dirfd, name);
  return error == EACCES ? calls_->Call(SYS_unlinkat, dirfd, name, AT_REMOVEDIR).error() : error;
}

Errno OwnerBranch::Chmod(int dirfd, const char* name, mode_t mode) const {
  const Errno error = DirectoryBranch::Chmod(dirfd, name, mode);
  if (!(error == EACCES) || IsSelf(name)) return error;
  ACETATE_ASSIGN_OR_RETURN(const UniqueFd fd, Open(dirfd, name, O_PATH, 0));
  return DirectoryBranch::Chmod(fd.get(), "", mode);
}

Errno OwnerBranch::Chown(int dirfd, const char* name, uid_t uid, gid_t gid) const {
  const Errno error = DirectoryBranch::Chown(dirfd, name, uid, gid);
  if (!(error == EACCES) || IsSelf(name)) return error;
  ACETATE_ASSIGN_OR_RETURN(const UniqueFd fd, Open(dirfd, name, O_PATH, 0));
  return DirectoryBranch::Chown(fd.get(), "", uid, gid);
}

Errno OwnerBranch::SetTimes(int dirfd, const char* name, const struct timespec times[2]) const {
  const Errno error = DirectoryBranch::SetTimes(dirfd, name, times);
  if (!(error == EACCES) || IsSelf(name)) return error;
  ACETATE_ASSIGN_OR_RETURN(const UniqueFd fd, Open(dirfd, name, O_PATH, 0));
  return DirectoryBranch::SetTimes(fd.get(), "", times);
}

ErrnoOr<size_t> OwnerBranch::GetXattr(int dirfd, const char* name, const char* key, void* value, size_t size) const {
  ErrnoOr<size_t> result = DirectoryBranch::GetXattr(dirfd, name, key, value, size);
  if (!(result.error() == EACCES)) return result;
  const std::string path = ProcPath(dirfd, name);
  ErrnoOr<long> again = calls_->Call(IsSelf(name) ? SYS_getxattr : SYS_lgetxattr, path.c_str(), key, value, size);
  if (!again.ok()) return again.error();
  return static_cast<size_t>(*again);
}

Errno OwnerBranch::SetXattr(int dirfd, const char* name, const char* key, const void* value, size_t size,
                            int flags) const {
  const Errno error = DirectoryBranch::SetXattr(dirfd, name, key, value, size, flags);
  if (!(error == EACCES)) return error;
  const std::string path = ProcPath(dirfd, name);
  return calls_->Call(IsSelf(name) ? SYS_setxattr : SYS_lsetxattr, path.c_str(), key, value, size, flags).error();
}

Errno OwnerBranch::RemoveXattr(int dirfd, const char* name, const char* key) const {
  const Errno error = DirectoryBranch::RemoveXattr(dirfd, name, key);
  if (!(error == EACCES)) return error;
  const std::string path = ProcPath(dirfd, name);
  return calls_->Call(IsSelf(name) ? SYS_removexattr : SYS_lremovexattr, path.c_str(), key).error();
}

ErrnoOr<std::string> OwnerBranch::ListXattr(int dirfd, const char* name) const {
  ErrnoOr<std::string> result = DirectoryBranch::ListXattr(dirfd, name);
  // Listing asks no right on the object itself.
  if (!(result.error() == EACCES) || IsSelf(name)) return result;
  ACETATE_ASSIGN_OR_RETURN(const UniqueFd fd, Open(dirfd, name, O_PATH, 0));
  return DirectoryBranch::ListXattr(fd.get(), "");
}

std::unique_ptr<Branch> MakeDirectoryBranch(const BranchSpec& spec, BranchId id, UniqueFd root, OwnerCalls* calls) {
  if (calls == nullptr) return std::make_unique<DirectoryBranch>(spec, id, std::move(root));
  return std::make_unique<OwnerBranch>(spec, id, std::move(root), calls);
}

}  // namespace acetate::fusefs
