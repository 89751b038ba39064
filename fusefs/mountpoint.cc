#include "fusefs/mountpoint.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <climits>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/errno_or.h"
#include "common/syscalls.h"
#include "fusefs/options.h"

namespace acetate::fusefs {
namespace {

constexpr unsigned kFuseMajor = 10;
constexpr unsigned kFuseMinor = 229;

absl::StatusOr<std::string> CheckMountedFd(const std::string& mountpoint) {
  int fd = -1;
  struct stat st;
  if (!absl::SimpleAtoi(mountpoint.substr(8), &fd) || fstat(fd, &st) != 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("mountpoint ", mountpoint, ": no such fd is open; pass a mounted fuse fd"));
  }
  if (!S_ISCHR(st.st_mode) || st.st_rdev != makedev(kFuseMajor, kFuseMinor)) {
    return absl::FailedPreconditionError(absl::StrCat("mountpoint ", mountpoint, ": is not an fd of /dev/fuse"));
  }
  return mountpoint;
}

absl::Status CheckFuseDevice() {
  ErrnoOr<UniqueFd> device = sys::OpenAt(AT_FDCWD, "/dev/fuse", O_RDWR);
  if (device.ok()) return absl::OkStatus();
  const char* advice = device.error() == EACCES || device.error() == EPERM
                           ? " (the administrator can allow it: chmod 666 /dev/fuse)"
                           : " (the kernel's fuse module is needed: modprobe fuse)";
  return absl::Status(absl::StatusCode::kUnavailable,
                      absl::StrCat(ErrnoToStatus(device.error(), "open /dev/fuse").message(), advice));
}

struct MountRoot {
  uint64_t mount_id = 0;
  bool is_root = false;
};

// Asks for no attribute, so the kernel answers from what it has: fuse_update_get_attr() sends nothing then.
ErrnoOr<MountRoot> LookAt(int fd) {
  struct statx st;
  if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, 0, &st) != 0) return Errno::Last();
  return MountRoot{st.stx_mnt_id, (st.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0};
}

std::optional<MountInfo> MountWithId(uint64_t id) {
  for (MountInfo& mount : ReadMountInfo()) {
    if (static_cast<uint64_t>(mount.id) == id) return std::move(mount);
  }
  return std::nullopt;
}

}  // namespace

absl::StatusOr<std::string> ResolveMountpoint(const std::string& mountpoint, absl::string_view subtype) {
  if (IsMountedFd(mountpoint)) return CheckMountedFd(mountpoint);
  const std::string name = absl::StrCat("mountpoint '", mountpoint, "'");
  ErrnoOr<UniqueFd> fd = sys::OpenAt(AT_FDCWD, mountpoint.c_str(), O_PATH | O_DIRECTORY);
  if (!fd.ok()) return ErrnoToStatus(fd.error(), name);
  ErrnoOr<MountRoot> root = LookAt(fd->get());
  if (!root.ok()) return ErrnoToStatus(root.error(), name);
  if (root->is_root) {
    const std::optional<MountInfo> mount = MountWithId(root->mount_id);
    if (mount.has_value() && mount->fs_type == absl::StrCat("fuse.", subtype)) {
      return absl::FailedPreconditionError(
          absl::StrCat(name, " is busy: a ", subtype, " mount is there already; unmount it first"));
    }
  }
  // fusermount3 asks for the same, in words of its own.
  if (geteuid() != 0 && faccessat(fd->get(), ".", W_OK, AT_EACCESS) != 0) {
    return ErrnoToStatus(Errno::Last(), absl::StrCat(name, " must be writable to its user"));
  }
  absl::Status device = CheckFuseDevice();
  if (!device.ok()) return device;

  char path[PATH_MAX];
  const std::string link = absl::StrCat("/proc/self/fd/", fd->get());
  const ssize_t length = readlink(link.c_str(), path, sizeof(path));
  if (length < 0) return ErrnoToStatus(Errno::Last(), absl::StrCat("read ", link));
  return std::string(path, length);
}

std::optional<MountInfo> MountOn(absl::string_view path) {
  std::optional<MountInfo> found;
  for (MountInfo& mount : ReadMountInfo()) {
    if (mount.mount_point == path) found = std::move(mount);
  }
  return found;
}

absl::StatusOr<MountInfo> MountWithRoot(const std::string& path) {
  ErrnoOr<UniqueFd> fd = sys::OpenAt(AT_FDCWD, path.c_str(), O_PATH);
  if (!fd.ok()) return ErrnoToStatus(fd.error(), absl::StrCat("'", path, "'"));
  ErrnoOr<MountRoot> root = LookAt(fd->get());
  if (!root.ok()) return ErrnoToStatus(root.error(), absl::StrCat("'", path, "'"));
  std::optional<MountInfo> mount;
  if (root->is_root) mount = MountWithId(root->mount_id);
  if (!mount.has_value()) return absl::FailedPreconditionError(absl::StrCat("'", path, "' is not a mountpoint"));
  return *std::move(mount);
}

}  // namespace acetate::fusefs
