#include "fusefs/in_use.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/errno_or.h"
#include "common/mountinfo.h"
#include "common/syscalls.h"
#include "fusefs/branch_list.h"

namespace acetate::fusefs {

absl::StatusOr<UniqueFd> LockDirectory(int dirfd, const std::string& name) {
  ErrnoOr<UniqueFd> fd = sys::OpenAt(dirfd, ".", O_RDONLY | O_DIRECTORY);
  if (!fd.ok()) return ErrnoToStatus(fd.error(), name);
  // A daemon that was killed holds its locks until the last of its threads, or its helper, is gone.
  constexpr int kTries = 50;
  for (int tries = 0; flock(fd->get(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK; ++tries) {
    if (tries == kTries) {
      return absl::FailedPreconditionError(
          absl::StrCat(name, " is in use by another fusefs mount; unmount that first"));
    }
    usleep(10000);
  }
  return *std::move(fd);
}

absl::Status CheckNoOverlayMount(int dirfd, const std::string& name) {
  struct stat upper;
  if (fstat(dirfd, &upper) != 0) return ErrnoToStatus(Errno::Last(), name);
  for (const MountInfo& mount : ReadMountInfo()) {
    if (mount.fs_type != "overlay") continue;
    for (absl::string_view option : SplitEscaped(mount.super_options, ',')) {
      struct stat st;
      if (absl::ConsumePrefix(&option, "upperdir=") && stat(Unescape(option).c_str(), &st) == 0 &&
          st.st_dev == upper.st_dev && st.st_ino == upper.st_ino) {
        return absl::FailedPreconditionError(
            absl::StrCat(name, " is in use by the overlay mount on '", mount.mount_point, "'; unmount that first"));
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace acetate::fusefs
