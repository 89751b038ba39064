#include "fusefs/file_flags.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "common/newer_call.h"

namespace acetate::fusefs {
namespace {

Errno Check(int result) {
  if (result == 0) return kOk;
  // Filesystems without flags say either (vfs_fileattr_get() of newer kernels: EOPNOTSUPP).
  return errno == EOPNOTSUPP || errno == ENOSYS ? Errno(ENOTTY) : Errno::Last();
}

}  // namespace

Protection ProtectionBy(unsigned flags) {
  if ((flags & FS_IMMUTABLE_FL) != 0) return Protection::kImmutable;
  return (flags & FS_APPEND_FL) != 0 ? Protection::kAppendOnly : Protection::kNone;
}

std::string EncodeProtection(unsigned flags) {
  std::string value;
  if ((flags & FS_APPEND_FL) != 0) value += 'a';
  if ((flags & FS_IMMUTABLE_FL) != 0) value += 'i';
  return value;
}

unsigned DecodeProtection(absl::string_view value) {
  unsigned flags = 0;
  for (char letter : value) {
    if (letter == 'a') {
      flags |= FS_APPEND_FL;
    } else if (letter == 'i') {
      flags |= FS_IMMUTABLE_FL;
    } else {
      break;
    }
  }
  return flags;
}

unsigned ProtectionOfXflags(uint32_t xflags) {
  return ((xflags & FS_XFLAG_IMMUTABLE) != 0 ? FS_IMMUTABLE_FL : 0) |
         ((xflags & FS_XFLAG_APPEND) != 0 ? FS_APPEND_FL : 0);
}

uint32_t XflagsOfProtection(unsigned flags) {
  return ((flags & FS_IMMUTABLE_FL) != 0 ? FS_XFLAG_IMMUTABLE : 0) |
         ((flags & FS_APPEND_FL) != 0 ? FS_XFLAG_APPEND : 0);
}

unsigned ReadProtection(int dirfd, const char* name) {
  struct statx st;
  if (statx(dirfd, name, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH, 0, &st) != 0) return 0;
  return ((st.stx_attributes & STATX_ATTR_IMMUTABLE) != 0 ? FS_IMMUTABLE_FL : 0) |
         ((st.stx_attributes & STATX_ATTR_APPEND) != 0 ? FS_APPEND_FL : 0);
}

std::optional<unsigned> ReadFlagsAt(int dirfd, const char* name) {
  static NewerCall file_getattr;
  // linux/fs.h calls it file_attr; older ones do not have it.
  struct {
    uint64_t xflags;
    uint32_t extent_size, extents, project, cow_extent_size;
  } attributes = {};
  constexpr long kFileGetattr = 468;  // SYS_file_getattr, on all architectures
  const std::optional<long> result = file_getattr.Try([&] {
    return syscall(kFileGetattr, dirfd, name, &attributes, sizeof(attributes), AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH);
  });
  if (result != 0) return std::nullopt;
  return ProtectionOfXflags(static_cast<uint32_t>(attributes.xflags)) |
         ((attributes.xflags & FS_XFLAG_SYNC) != 0 ? FS_SYNC_FL : 0) |
         ((attributes.xflags & FS_XFLAG_NOATIME) != 0 ? FS_NOATIME_FL : 0);
}

ErrnoOr<unsigned> ReadFlags(int fd) {
  // An int, whatever the name of the ioctl says of a long.
  unsigned flags = 0;
  ACETATE_RETURN_IF_ERROR(Check(ioctl(fd, FS_IOC_GETFLAGS, &flags)));
  return flags;
}

Errno WriteFlags(int fd, unsigned flags) {
  // That a flag is not known here is an answer of its own.
  return ioctl(fd, FS_IOC_SETFLAGS, &flags) == 0 ? kOk : Errno::Last();
}

ErrnoOr<fsxattr> ReadFsXattr(int fd) {
  fsxattr attributes = {};
  ACETATE_RETURN_IF_ERROR(Check(ioctl(fd, FS_IOC_FSGETXATTR, &attributes)));
  return attributes;
}

Errno WriteFsXattr(int fd, const fsxattr& attributes) {
  return ioctl(fd, FS_IOC_FSSETXATTR, &attributes) == 0 ? kOk : Errno::Last();
}

}  // namespace acetate::fusefs
