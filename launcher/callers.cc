#include "launcher/callers.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "common/syscalls.h"

namespace acetate::launcher {
namespace {

// The fd that a path is another name of: in the caller's /proc, which is not this process's. -1: none.
int FdOf(absl::string_view path) {
  if (path == "/dev/stdin") return STDIN_FILENO;
  if (path == "/dev/stdout") return STDOUT_FILENO;
  if (path == "/dev/stderr") return STDERR_FILENO;
  int fd;
  const bool is_fd = (absl::ConsumePrefix(&path, "/dev/fd/") || absl::ConsumePrefix(&path, "/proc/self/fd/")) &&
                     absl::SimpleAtoi(path, &fd) && fd >= 0;
  return is_fd ? fd : -1;
}

}  // namespace

Errno Callers::Prepare() {
  ACETATE_ASSIGN_OR_RETURN(proc_, sys::OpenAt(AT_FDCWD, "/proc", O_PATH | O_DIRECTORY));
  ACETATE_ASSIGN_OR_RETURN(home_, sys::OpenAt(AT_FDCWD, "/", O_PATH | O_DIRECTORY));
  return kOk;
}

bool Callers::IsWaiting(const seccomp_notif& call) const {
  return ioctl(listener_, SECCOMP_IOCTL_NOTIF_ID_VALID, &call.id) == 0;
}

Errno Callers::Read(const seccomp_notif& call, uint64_t address, void* target, size_t size) const {
  const iovec here = {target, size};
  // NOLINTNEXTLINE(performance-no-int-to-ptr): another process's
  const iovec there = {reinterpret_cast<void*>(address), size};
  const ssize_t n = process_vm_readv(static_cast<pid_t>(call.pid), &here, 1, &there, 1, 0);
  if (!IsWaiting(call)) return Errno(ESRCH);
  return n == static_cast<ssize_t>(size) ? kOk : Errno(EFAULT);
}

Errno Callers::Write(const seccomp_notif& call, uint64_t address, const void* source, size_t size) const {
  if (size == 0) return kOk;
  const iovec here = {const_cast<void*>(source), size};
  // NOLINTNEXTLINE(performance-no-int-to-ptr): another process's
  const iovec there = {reinterpret_cast<void*>(address), size};
  if (!IsWaiting(call)) return Errno(ESRCH);
  const ssize_t n = process_vm_writev(static_cast<pid_t>(call.pid), &here, 1, &there, 1, 0);
  return n == static_cast<ssize_t>(size) ? kOk : Errno(EFAULT);
}

// A path ends before the page that is not there.
Errno Callers::ReadPath(const seccomp_notif& call, uint64_t address, char (&path)[PATH_MAX]) const {
  const auto page = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  for (size_t length = 0; length < sizeof(path);) {
    const size_t size = std::min<size_t>(sizeof(path) - length, page - (address + length) % page);
    ACETATE_RETURN_IF_ERROR(Read(call, address + length, path + length, size));
    if (memchr(path + length, '\0', size) != nullptr) return kOk;
    length += size;
  }
  return Errno(ENAMETOOLONG);
}

// What /proc/PID/... of the caller leads to.
ErrnoOr<UniqueFd> Callers::OpenOf(const seccomp_notif& call, const char* what) const {
  ErrnoOr<UniqueFd> fd = sys::OpenAt(proc_.get(), absl::StrCat(call.pid, "/", what).c_str(), O_PATH);
  return IsWaiting(call) ? std::move(fd) : ErrnoOr<UniqueFd>(Errno(ESRCH));
}

ErrnoOr<UniqueFd> Callers::OpenFd(const seccomp_notif& call, int fd) const {
  ErrnoOr<UniqueFd> file = OpenOf(call, absl::StrCat("fd/", fd).c_str());
  return file.error() == ENOENT ? ErrnoOr<UniqueFd>(Errno(EBADF)) : std::move(file);
}

ErrnoOr<UniqueFd> Callers::OpenNamed(const seccomp_notif& call, int dirfd, uint64_t path, int flags) const {
  char name[PATH_MAX];
  ACETATE_RETURN_IF_ERROR(ReadPath(call, path, name));
  if (name[0] == '\0' && (flags & AT_EMPTY_PATH) == 0) return Errno(ENOENT);
  ACETATE_ASSIGN_OR_RETURN(UniqueFd root, OpenOf(call, "root"));
  ErrnoOr<UniqueFd> directory = dirfd == AT_FDCWD ? OpenOf(call, "cwd") : OpenFd(call, dirfd);
  if (!directory.ok() && name[0] != '/') return directory.error();
  if (!IsWaiting(call)) return Errno(ESRCH);
  if (name[0] == '\0') return directory;
  if (const int fd = FdOf(name); fd >= 0 && (flags & AT_SYMLINK_NOFOLLOW) == 0) return OpenFd(call, fd);
  return OpenWithin(root, directory.ok() ? directory->get() : AT_FDCWD, name,
                    (flags & AT_SYMLINK_NOFOLLOW) != 0 ? O_NOFOLLOW : 0);
}

// Resolves a path as the caller would: with its root for this process's, for this moment.
ErrnoOr<UniqueFd> Callers::OpenWithin(const UniqueFd& root, int directory, const char* name, uint64_t flags) const {
  if (fchdir(root.get()) != 0 || chroot(".") != 0) return Errno::Last();
  ErrnoOr<UniqueFd> file = sys::OpenAt2(directory, name, O_PATH | flags, 0, RESOLVE_NO_MAGICLINKS);
  // A process that could not get back would hold the container's tree, and resolve its next path there.
  if (fchdir(home_.get()) != 0 || chroot(".") != 0) _exit(1);
  return file;
}

}  // namespace acetate::launcher
