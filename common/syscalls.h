// System calls that glibc does not wrap, or wraps in a way that loses what we need. They return Errno and take
// directory fds; all are safe to call from any thread.
#pragma once

#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <string>

#include "common/errno_or.h"
#include "common/unique_fd.h"

namespace acetate::sys {

// openat2(2). O_CLOEXEC is added. `resolve` is a set of RESOLVE_* flags.
ErrnoOr<UniqueFd> OpenAt2(int dirfd, const char* path, uint64_t flags, uint64_t mode, uint64_t resolve);

// openat(2) with O_CLOEXEC added, for single names: the caller passes O_NOFOLLOW where a symlink must not be followed.
ErrnoOr<UniqueFd> OpenAt(int dirfd, const char* name, int flags, mode_t mode = 0);

// renameat2(2).
Errno RenameAt2(int old_dirfd, const char* old_name, int new_dirfd, const char* new_name, unsigned flags);

// What name_to_handle_at(2) says of an object, symlinks not followed; it names the object for as long as it lives.
struct FileHandle {
  int type = 0;
  std::string bytes;
};

// An empty name is `dirfd` itself. Where the filesystem has no handles to open files by (EOPNOTSUPP), such as merely
// tell files apart, from kernel 6.5 on.
ErrnoOr<FileHandle> NameToHandleAt(int dirfd, const char* name);

// chmod of the named object itself, never of what a symlink there points at: fchmodat2(2) where the kernel has it
// (6.6), else through an O_PATH fd and /proc/self/fd. EOPNOTSUPP for a symlink.
Errno ChmodAtNoFollow(int dirfd, const char* name, mode_t mode);

// Sets the filesystem ids of the calling thread only, without glibc's broadcast to the others.
void SetFsUid(uid_t uid);
void SetFsGid(gid_t gid);

// close_range(2) with CLOSE_RANGE_CLOEXEC: every fd from `first` on will close at exec.
Errno CloexecFrom(unsigned first);

// The new mount API: fsopen(2), fsconfig(2), fsmount(2), open_tree(2), move_mount(2), mount_setattr(2), pivot_root(2).
ErrnoOr<UniqueFd> FsOpen(const char* type);
Errno FsConfigString(int fs_fd, const char* key, const char* value);
Errno FsConfigFlag(int fs_fd, const char* key);
Errno FsConfigCreate(int fs_fd);
ErrnoOr<UniqueFd> FsMount(int fs_fd, unsigned attributes);
ErrnoOr<UniqueFd> OpenTree(int dirfd, const char* path, unsigned flags);
// Attaches the detached mount `mount_fd` on the object that `target_fd` refers to.
Errno MoveMount(int mount_fd, int target_fd);
// Sets MOUNT_ATTR_* bits; `recursive` for the whole tree.
Errno MountSetAttr(int mount_fd, uint64_t set, bool recursive);
Errno PivotRoot(const char* new_root, const char* put_old);

// clone3(2) in the manner of fork(2), with CLONE_* `flags`: the child's pid in the parent, 0 in the child. The child
// gets SIGCHLD as its exit signal; `pidfd` (may be null) receives a pidfd in the parent; `cgroup_fd` (or -1) is the
// cgroup v2 directory that the child starts in. glibc is not told, so the calling process must have a single thread.
ErrnoOr<pid_t> Fork(uint64_t flags, UniqueFd* pidfd, int cgroup_fd = -1);

// pidfd_open(2), pidfd_send_signal(2).
ErrnoOr<UniqueFd> PidFdOpen(pid_t pid);
Errno PidFdSendSignal(int pidfd, int signal);

// Landlock (landlock(7)): the version of its interface, 0 where the kernel has none or it is not switched on.
int LandlockVersion();
// landlock_create_ruleset(2). The sets are of accesses that are refused from LandlockRestrictSelf on unless they are
// allowed: LANDLOCK_ACCESS_FS_*, LANDLOCK_ACCESS_NET_*, LANDLOCK_SCOPE_*; EINVAL for what this version does not know.
ErrnoOr<UniqueFd> LandlockCreateRuleset(uint64_t filesystem, uint64_t network, uint64_t scopes);
// Allows `filesystem` on a directory and all below it, or on a file; `fd` may be of O_PATH.
Errno LandlockAllowBeneath(int ruleset, int fd, uint64_t filesystem);
// For the calling thread and those that it starts from now on; needs no_new_privs or CAP_SYS_ADMIN.
Errno LandlockRestrictSelf(int ruleset);

}  // namespace acetate::sys
