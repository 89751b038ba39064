#include "launcher/own_program.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/mount.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "common/errno_or.h"
#include "common/syscalls.h"

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U
#endif

namespace acetate::launcher {
namespace {

// Tells the second execution of the first one's path.
constexpr char kPathVariable[] = "ACETATE_LAUNCH_PROGRAM";
constexpr char kProgramLink[] = "/proc/self/exe";

std::string ReadProgramLink() {
  char path[PATH_MAX];
  const ssize_t length = readlink(kProgramLink, path, sizeof(path));
  return std::string(path, length > 0 ? static_cast<size_t>(length) : 0);
}

// Whether who launches, and with that their containers, can change the file by way of its link in /proc.
bool CanBeChanged(const UniqueFd& file) {
  struct statvfs fs;
  struct stat st;
  if (fstatvfs(file.get(), &fs) != 0 || fstat(file.get(), &st) != 0) return true;
  if ((fs.f_flag & ST_RDONLY) != 0) return false;
  const int seals = fcntl(file.get(), F_GET_SEALS);
  if (seals >= 0) return (seals & F_SEAL_WRITE) == 0;
  // Root's file is no container's of anybody else: there root of the machine is not mapped.
  return geteuid() == 0 || st.st_uid != 0 || faccessat(AT_FDCWD, kProgramLink, W_OK, AT_EACCESS) == 0;
}

// For who may mount: the same file by a mount that is read-only, attached nowhere.
ErrnoOr<UniqueFd> ReadOnlyMount(const UniqueFd& file) {
  ACETATE_ASSIGN_OR_RETURN(UniqueFd mount, sys::OpenTree(file.get(), "", OPEN_TREE_CLONE | AT_EMPTY_PATH));
  ACETATE_RETURN_IF_ERROR(sys::MountSetAttr(mount.get(), MOUNT_ATTR_RDONLY, false));
  return mount;
}

ErrnoOr<UniqueFd> SealedCopy(const UniqueFd& file) {
  constexpr unsigned kFlags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
  UniqueFd copy(memfd_create("launch", kFlags | MFD_EXEC));
  // Linux before 6.3 knows no MFD_EXEC, and makes none that cannot be executed.
  if (!copy.valid() && errno == EINVAL) copy.Reset(memfd_create("launch", kFlags));
  if (!copy.valid()) return Errno::Last();
  ssize_t sent;
  while ((sent = sendfile(copy.get(), file.get(), nullptr, 1 << 30)) > 0) {
  }
  if (sent < 0) return Errno::Last();
  if (fcntl(copy.get(), F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) != 0) {
    return Errno::Last();
  }
  return copy;
}

absl::Status Failure(Errno error) {
  return ErrnoToStatus(error, absl::StrCat("execute a copy of ", ReadProgramLink(),
                                           " that no container can change (needless when the file is root's)"));
}

}  // namespace

absl::Status SecureOwnProgram(char* const* argv) {
  ErrnoOr<UniqueFd> file = sys::OpenAt(AT_FDCWD, kProgramLink, O_RDONLY);
  // One that may only be executed is hardly one's own.
  if (file.error() == EACCES) file = sys::OpenAt(AT_FDCWD, kProgramLink, O_PATH);
  if (!file.ok()) return Failure(file.error());
  if (!CanBeChanged(*file)) {
    // Its name is the one that users look for; the kernel may have taken that of the copy.
    if (getenv(kPathVariable) != nullptr) prctl(PR_SET_NAME, "launch", 0, 0, 0);
    return absl::OkStatus();
  }
  if (getenv(kPathVariable) != nullptr) {
    return absl::FailedPreconditionError(
        absl::StrCat(kPathVariable, " is set, which launch does for itself; unset it"));
  }
  ErrnoOr<UniqueFd> safe = ReadOnlyMount(*file);
  if (!safe.ok()) safe = SealedCopy(*file);
  if (!safe.ok()) return Failure(safe.error());
  if (setenv(kPathVariable, ReadProgramLink().c_str(), 1) != 0) return Failure(Errno::Last());
  syscall(SYS_execveat, safe->get(), "", argv, environ, AT_EMPTY_PATH);
  const Errno error = Errno::Last();
  unsetenv(kPathVariable);
  return Failure(error);
}

std::string OwnProgramPath() {
  const char* first = getenv(kPathVariable);
  return first != nullptr ? first : ReadProgramLink();
}

}  // namespace acetate::launcher
