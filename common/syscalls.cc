#include "common/syscalls.h"

#include <fcntl.h>
#include <linux/landlock.h>
#include <linux/mount.h>
#include <linux/sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>

#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452
#endif

namespace acetate::sys {
namespace {

Errno ToErrno(long result) { return result < 0 ? Errno::Last() : kOk; }

ErrnoOr<UniqueFd> ToFd(long result) {
  if (result < 0) return Errno::Last();
  return UniqueFd(static_cast<int>(result));
}

}  // namespace

ErrnoOr<UniqueFd> OpenAt2(int dirfd, const char* path, uint64_t flags, uint64_t mode, uint64_t resolve) {
  open_how how = {};
  how.flags = flags | O_CLOEXEC;
  how.mode = mode;
  how.resolve = resolve;
  return ToFd(syscall(SYS_openat2, dirfd, path, &how, sizeof(how)));
}

ErrnoOr<UniqueFd> OpenAt(int dirfd, const char* name, int flags, mode_t mode) {
  return ToFd(openat(dirfd, name, flags | O_CLOEXEC, mode));
}

Errno RenameAt2(int old_dirfd, const char* old_name, int new_dirfd, const char* new_name, unsigned flags) {
  return ToErrno(syscall(SYS_renameat2, old_dirfd, old_name, new_dirfd, new_name, flags));
}

ErrnoOr<FileHandle> NameToHandleAt(int dirfd, const char* name) {
  constexpr int kHandleFid = 0x200;  // AT_HANDLE_FID
  struct {
    file_handle head;
    char bytes[MAX_HANDLE_SZ];
  } handle;
  int mount_id;
  const int flags = name[0] == '\0' ? AT_EMPTY_PATH : 0;
  for (int kind : {0, kHandleFid}) {
    handle.head.handle_bytes = MAX_HANDLE_SZ;
    if (name_to_handle_at(dirfd, name, &handle.head, &mount_id, flags | kind) == 0) {
      const char* bytes = reinterpret_cast<const char*>(handle.head.f_handle);
      return FileHandle{handle.head.handle_type, std::string(bytes, handle.head.handle_bytes)};
    }
    if (errno != EOPNOTSUPP) break;
  }
  return errno == EINVAL ? Errno(EOPNOTSUPP) : Errno::Last();
}

Errno ChmodAtNoFollow(int dirfd, const char* name, mode_t mode) {
  static std::atomic<bool> has_fchmodat2{true};
  if (has_fchmodat2.load(std::memory_order_relaxed)) {
    if (syscall(SYS_fchmodat2, dirfd, name, mode, AT_SYMLINK_NOFOLLOW) == 0) return kOk;
    // A seccomp profile that does not know the call answers EPERM; asking in the old way tells the two apart.
    if (errno != ENOSYS && errno != EPERM) return Errno::Last();
    if (errno == ENOSYS) has_fchmodat2.store(false, std::memory_order_relaxed);
  }
  ACETATE_ASSIGN_OR_RETURN(UniqueFd fd, OpenAt(dirfd, name, O_PATH | O_NOFOLLOW));
  struct stat st;
  if (fstat(fd.get(), &st) != 0) return Errno::Last();
  if (S_ISLNK(st.st_mode)) return Errno(EOPNOTSUPP);
  char path[32];
  snprintf(path, sizeof(path), "/proc/self/fd/%d", fd.get());
  return ToErrno(chmod(path, mode));
}

void SetFsUid(uid_t uid) { syscall(SYS_setfsuid, uid); }

void SetFsGid(gid_t gid) { syscall(SYS_setfsgid, gid); }

Errno CloexecFrom(unsigned first) { return ToErrno(syscall(SYS_close_range, first, ~0U, 4 /* CLOSE_RANGE_CLOEXEC */)); }

ErrnoOr<UniqueFd> FsOpen(const char* type) { return ToFd(syscall(SYS_fsopen, type, FSOPEN_CLOEXEC)); }

Errno FsConfigString(int fs_fd, const char* key, const char* value) {
  return ToErrno(syscall(SYS_fsconfig, fs_fd, FSCONFIG_SET_STRING, key, value, 0));
}

Errno FsConfigFlag(int fs_fd, const char* key) {
  return ToErrno(syscall(SYS_fsconfig, fs_fd, FSCONFIG_SET_FLAG, key, nullptr, 0));
}

Errno FsConfigCreate(int fs_fd) {
  return ToErrno(syscall(SYS_fsconfig, fs_fd, FSCONFIG_CMD_CREATE, nullptr, nullptr, 0));
}

ErrnoOr<UniqueFd> FsMount(int fs_fd, unsigned attributes) {
  return ToFd(syscall(SYS_fsmount, fs_fd, FSMOUNT_CLOEXEC, attributes));
}

ErrnoOr<UniqueFd> OpenTree(int dirfd, const char* path, unsigned flags) {
  return ToFd(syscall(SYS_open_tree, dirfd, path, flags | OPEN_TREE_CLOEXEC));
}

Errno MoveMount(int mount_fd, int target_fd) {
  return ToErrno(
      syscall(SYS_move_mount, mount_fd, "", target_fd, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH));
}

Errno MountSetAttr(int mount_fd, uint64_t set, bool recursive) {
  mount_attr attributes = {};
  attributes.attr_set = set;
  return ToErrno(syscall(SYS_mount_setattr, mount_fd, "", AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0), &attributes,
                         sizeof(attributes)));
}

Errno PivotRoot(const char* new_root, const char* put_old) {
  return ToErrno(syscall(SYS_pivot_root, new_root, put_old));
}

ErrnoOr<pid_t> Fork(uint64_t flags, UniqueFd* pidfd, int cgroup_fd) {
  int new_pidfd = -1;
  clone_args args = {};
  args.flags = flags | (pidfd != nullptr ? CLONE_PIDFD : 0) | (cgroup_fd >= 0 ? CLONE_INTO_CGROUP : 0);
  args.pidfd = reinterpret_cast<uint64_t>(&new_pidfd);
  args.exit_signal = SIGCHLD;
  args.cgroup = cgroup_fd >= 0 ? static_cast<uint64_t>(cgroup_fd) : 0;
  long pid = syscall(SYS_clone3, &args, sizeof(args));
  if (pid < 0) return Errno::Last();
  if (pid > 0 && pidfd != nullptr) pidfd->Reset(new_pidfd);
  return static_cast<pid_t>(pid);
}

ErrnoOr<UniqueFd> PidFdOpen(pid_t pid) { return ToFd(syscall(SYS_pidfd_open, pid, 0)); }

Errno PidFdSendSignal(int pidfd, int signal) {
  return ToErrno(syscall(SYS_pidfd_send_signal, pidfd, signal, nullptr, 0));
}

int LandlockVersion() {
  const long version = syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
  return version > 0 ? static_cast<int>(version) : 0;
}

ErrnoOr<UniqueFd> LandlockCreateRuleset(uint64_t filesystem, uint64_t network, uint64_t scopes) {
  // Newer than some headers. The kernel takes a longer structure than it knows when the rest is 0.
  const uint64_t attributes[] = {filesystem, network, scopes};
  const long fd = syscall(SYS_landlock_create_ruleset, attributes, sizeof(attributes), 0);
  if (fd < 0) return errno == E2BIG ? Errno(EINVAL) : Errno::Last();
  return UniqueFd(static_cast<int>(fd));  // close-on-exec, as all rulesets
}

Errno LandlockAllowBeneath(int ruleset, int fd, uint64_t filesystem) {
  landlock_path_beneath_attr rule = {};
  rule.allowed_access = filesystem;
  rule.parent_fd = fd;
  return ToErrno(syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0));
}

Errno LandlockRestrictSelf(int ruleset) { return ToErrno(syscall(SYS_landlock_restrict_self, ruleset, 0)); }

}  // namespace acetate::sys
