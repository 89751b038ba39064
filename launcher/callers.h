// Who made a system call that waits for an answer (seccomp_unotify(2)): their memory, and the files that they name.
//
// What is looked at by a process's number is the caller's only as long as its call still waits, so that is asked after
// each look. ESRCH: it does not. For one thread, of a process that may look at the callers and call chroot(2).
#pragma once

#include <linux/seccomp.h>

#include <climits>
#include <cstddef>
#include <cstdint>

#include "common/errno_or.h"
#include "common/unique_fd.h"

namespace acetate::launcher {

class Callers {
 public:
  // `listener`: by which the calls come; stays the owner's.
  explicit Callers(int listener) : listener_(listener) {}

  // Once, before all else.
  Errno Prepare();

  bool IsWaiting(const seccomp_notif& call) const;

  // EFAULT for memory that the caller does not have.
  Errno Read(const seccomp_notif& call, uint64_t address, void* target, size_t size) const;
  Errno Write(const seccomp_notif& call, uint64_t address, const void* source, size_t size) const;

  // With O_PATH, what an fd of the caller is for. EBADF: it has none.
  ErrnoOr<UniqueFd> OpenFd(const seccomp_notif& call, int fd) const;
  // The same for what it names as the *at() calls do: by an fd or AT_FDCWD, the address of a path, and
  // AT_SYMLINK_NOFOLLOW and AT_EMPTY_PATH.
  ErrnoOr<UniqueFd> OpenNamed(const seccomp_notif& call, int dirfd, uint64_t path, int flags) const;

 private:
  Errno ReadPath(const seccomp_notif& call, uint64_t address, char (&path)[PATH_MAX]) const;
  ErrnoOr<UniqueFd> OpenOf(const seccomp_notif& call, const char* what) const;
  ErrnoOr<UniqueFd> OpenWithin(const UniqueFd& root, int directory, const char* name, uint64_t flags) const;

  const int listener_;
  UniqueFd proc_;  // this process's
  UniqueFd home_;  // its root
};

}  // namespace acetate::launcher
