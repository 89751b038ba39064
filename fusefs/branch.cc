#include "fusefs/branch.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstring>
#include <optional>

#include "common/newer_call.h"
#include "common/syscalls.h"
#include "fusefs/kill_suid.h"

namespace acetate::fusefs {
namespace {

Errno Check(long result) { return result < 0 ? Errno::Last() : kOk; }

bool IsSelf(const char* name) { return name[0] == '\0'; }

// A path to the object for the calls that take no directory fd. The last component is not followed by the l*xattr
// family, and for an fd alone the magic link leads to the object itself, be it a symlink.
class ProcPath {
 public:
  ProcPath(int dirfd, const char* name) {
    if (IsSelf(name)) {
      snprintf(path_, sizeof(path_), "/proc/self/fd/%d", dirfd);
    } else {
      snprintf(path_, sizeof(path_), "/proc/self/fd/%d/%s", dirfd, name);
    }
  }
  const char* get() const { return path_; }

 private:
  char path_[sizeof("/proc/self/fd/") + 12 + NAME_MAX + 1];
};

// A call on the object that `fd` refers to. By the fd itself, unless that is one of O_PATH, which these calls do not
// take (EBADF): then by its magic link.
template <typename ByFd, typename ByPath>
long OnSelf(int fd, const ByFd& by_fd, const ByPath& by_path) {
  const long result = by_fd();
  return result < 0 && errno == EBADF ? by_path(ProcPath(fd, "").get()) : result;
}

// lgetxattr of a name in a directory: by the name itself where the kernel can (since 6.13), else by a path.
ssize_t GetXattrIn(int dirfd, const char* name, const char* key, void* value, size_t size) {
  static NewerCall getxattrat;
  // linux/xattr.h calls it xattr_args; older ones do not have it.
  const struct {
    uint64_t value;
    uint32_t size, flags;
  } arguments = {reinterpret_cast<uint64_t>(value), static_cast<uint32_t>(size), 0};
  constexpr long kGetxattrat = 464;  // SYS_getxattrat, on all architectures
  const std::optional<long> result = getxattrat.Try(
      [&] { return syscall(kGetxattrat, dirfd, name, AT_SYMLINK_NOFOLLOW, key, &arguments, sizeof(arguments)); });
  return result.has_value() ? *result : lgetxattr(ProcPath(dirfd, name).get(), key, value, size);
}

struct KernelDirent {
  uint64_t d_ino;
  int64_t d_off;
  unsigned short d_reclen;
  unsigned char d_type;
  char d_name[];
};

}  // namespace

ErrnoOr<UniqueFd> DirectoryBranch::Open(int dirfd, const char* name, int flags, mode_t mode) const {
  if (IsSelf(name)) return sys::OpenAt(AT_FDCWD, ProcPath(dirfd, name).get(), flags & ~O_NOFOLLOW, mode);
  return sys::OpenAt(dirfd, name, flags | O_NOFOLLOW, mode);
}

ErrnoOr<UniqueFd> DirectoryBranch::OpenBelow(int dirfd, const char* path) const {
  return sys::OpenAt2(dirfd, path, O_RDONLY | O_DIRECTORY, 0, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
}

ErrnoOr<struct stat> DirectoryBranch::Stat(int dirfd, const char* name) const {
  struct stat st;
  if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0) return Errno::Last();
  return st;
}

ErrnoOr<std::vector<RawEntry>> DirectoryBranch::ReadDir(int dirfd, bool unread) const {
  UniqueFd opened;
  if (!unread) {
    ACETATE_ASSIGN_OR_RETURN(opened, Open(dirfd, ".", O_RDONLY | O_DIRECTORY, 0));
  }
  const int fd = unread ? dirfd : opened.get();
  std::vector<RawEntry> entries;
  alignas(KernelDirent) char buffer[32768];
  for (;;) {
    long size = syscall(SYS_getdents64, fd, buffer, sizeof(buffer));
    if (size < 0) return Errno::Last();
    if (size == 0) return entries;
    for (long offset = 0; offset < size;) {
      const auto* entry = reinterpret_cast<const KernelDirent*>(buffer + offset);
      offset += entry->d_reclen;
      if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
      RawEntry raw;
      raw.name = entry->d_name;
      raw.ino = entry->d_ino;
      raw.type = entry->d_type;
      if (raw.type == DT_UNKNOWN) {
        // Some filesystems do not keep types in directories. An entry that is gone by now is left out.
        ErrnoOr<struct stat> st = Stat(dirfd, entry->d_name);
        if (!st.ok()) continue;
        raw.type = IFTODT(st->st_mode);
      }
      entries.push_back(std::move(raw));
    }
  }
}

ErrnoOr<std::string> DirectoryBranch::ReadLink(int dirfd, const char* name) const {
  char target[PATH_MAX];
  ssize_t size = readlinkat(dirfd, name, target, sizeof(target));
  if (size < 0) return Errno::Last();
  return std::string(target, static_cast<size_t>(size));
}

ErrnoOr<struct statvfs> DirectoryBranch::StatFs(int dirfd) const {
  struct statvfs st;
  if (fstatvfs(dirfd, &st) != 0) return Errno::Last();
  return st;
}

Errno DirectoryBranch::MkNod(int dirfd, const char* name, mode_t mode, dev_t device) const {
  return Check(mknodat(dirfd, name, mode, device));
}

Errno DirectoryBranch::MkDir(int dirfd, const char* name, mode_t mode) const {
  return Check(mkdirat(dirfd, name, mode));
}

Errno DirectoryBranch::SymLink(const char* target, int dirfd, const char* name) const {
  return Check(symlinkat(target, dirfd, name));
}

Errno DirectoryBranch::Link(int old_dirfd, const char* old_name, int new_dirfd, const char* new_name) const {
  // linkat with AT_EMPTY_PATH wants CAP_DAC_READ_SEARCH; the magic link in /proc does not.
  if (IsSelf(old_name)) {
    return Check(linkat(AT_FDCWD, ProcPath(old_dirfd, old_name).get(), new_dirfd, new_name, AT_SYMLINK_FOLLOW));
  }
  return Check(linkat(old_dirfd, old_name, new_dirfd, new_name, 0));
}

Errno DirectoryBranch::Rename(int old_dirfd, const char* old_name, int new_dirfd, const char* new_name,
                              unsigned flags) const {
  return sys::RenameAt2(old_dirfd, old_name, new_dirfd, new_name, flags);
}

Errno DirectoryBranch::Unlink(int dirfd, const char* name) const { return Check(unlinkat(dirfd, name, 0)); }

Errno DirectoryBranch::RmDir(int dirfd, const char* name) const { return Check(unlinkat(dirfd, name, AT_REMOVEDIR)); }

Errno DirectoryBranch::Chmod(int dirfd, const char* name, mode_t mode) const {
  if (IsSelf(name)) return Check(chmod(ProcPath(dirfd, name).get(), mode));
  return sys::ChmodAtNoFollow(dirfd, name, mode);
}

Errno DirectoryBranch::Chown(int dirfd, const char* name, uid_t uid, gid_t gid) const {
  return Check(fchownat(dirfd, name, uid, gid, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH));
}

Errno DirectoryBranch::SetTimes(int dirfd, const char* name, const struct timespec times[2]) const {
  if (IsSelf(name)) {
    return Check(OnSelf(
        dirfd, [&] { return futimens(dirfd, times); },
        [&](const char* path) { return utimensat(AT_FDCWD, path, times, 0); }));
  }
  return Check(utimensat(dirfd, name, times, AT_SYMLINK_NOFOLLOW));
}

ErrnoOr<SuidKill> DirectoryBranch::KillSuid(int fd) const { return fusefs::KillSuid(fd); }

ErrnoOr<size_t> DirectoryBranch::GetXattr(int dirfd, const char* name, const char* key, void* value,
                                          size_t size) const {
  const auto by_fd = [&] { return fgetxattr(dirfd, key, value, size); };
  const auto by_path = [&](const char* path) { return getxattr(path, key, value, size); };
  const ssize_t result = IsSelf(name) ? OnSelf(dirfd, by_fd, by_path) : GetXattrIn(dirfd, name, key, value, size);
  if (result < 0) return Errno::Last();
  return static_cast<size_t>(result);
}

Errno DirectoryBranch::SetXattr(int dirfd, const char* name, const char* key, const void* value, size_t size,
                                int flags) const {
  if (!IsSelf(name)) return Check(lsetxattr(ProcPath(dirfd, name).get(), key, value, size, flags));
  return Check(OnSelf(
      dirfd, [&] { return fsetxattr(dirfd, key, value, size, flags); },
      [&](const char* path) { return setxattr(path, key, value, size, flags); }));
}

Errno DirectoryBranch::RemoveXattr(int dirfd, const char* name, const char* key) const {
  if (!IsSelf(name)) return Check(lremovexattr(ProcPath(dirfd, name).get(), key));
  return Check(OnSelf(
      dirfd, [&] { return fremovexattr(dirfd, key); }, [&](const char* path) { return removexattr(path, key); }));
}

ErrnoOr<std::string> DirectoryBranch::ListXattr(int dirfd, const char* name) const {
  std::string names(1024, '\0');
  for (;;) {
    const auto by_fd = [&] { return flistxattr(dirfd, names.data(), names.size()); };
    const auto by_path = [&](const char* path) { return listxattr(path, names.data(), names.size()); };
    const ssize_t size = IsSelf(name) ? OnSelf(dirfd, by_fd, by_path)
                                      : llistxattr(ProcPath(dirfd, name).get(), names.data(), names.size());
    if (size >= 0) {
      names.resize(static_cast<size_t>(size));
      return names;
    }
    if (errno != ERANGE || names.size() >= XATTR_LIST_MAX) return Errno::Last();
    names.resize(XATTR_LIST_MAX);
  }
}

}  // namespace acetate::fusefs
