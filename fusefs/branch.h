// One layer of the union: system calls on directory fds, and what is fixed about the layer.
//
// An object is named by a directory fd of this branch and one name in it; the empty name means the object that the fd
// itself refers to (an O_PATH fd will do). No call follows a symlink: the object acted on is the one named. The calls
// carry no rule of the union; those are UnionFs's. Thread-safe: a Branch has no state that changes.
//
// The class is an interface so that a test can put a branch in front of the real one that fails, or dies, on demand.
#pragma once

#include <sys/stat.h>
#include <sys/statvfs.h>

#include <cstdint>
#include <string>
#include <vector>

#include "common/errno_or.h"
#include "common/unique_fd.h"
#include "fusefs/kill_suid.h"
#include "fusefs/options.h"

namespace acetate::fusefs {

// A directory entry as the branch's filesystem lists it, without "." and "..".
struct RawEntry {
  std::string name;
  uint64_t ino = 0;
  unsigned char type = 0;  // DT_*, never DT_UNKNOWN
};

// Which branch of its union; positions change, ids stay.
using BranchId = uint16_t;
inline constexpr BranchId kNoBranch = 0xffff;

class Branch {
 public:
  Branch(BranchSpec spec, BranchId id) : spec_(std::move(spec)), id_(id) {}
  virtual ~Branch() = default;
  Branch(const Branch&) = delete;
  Branch& operator=(const Branch&) = delete;

  const BranchSpec& spec() const { return spec_; }
  BranchId id() const { return id_; }

  // The root directory's fd; lives as long as the branch.
  virtual int root_fd() const = 0;

  // openat with O_NOFOLLOW and O_CLOEXEC added.
  virtual ErrnoOr<UniqueFd> Open(int dirfd, const char* name, int flags, mode_t mode = 0) const = 0;
  // For reading, a directory one or more names below `dirfd`, with no symlink on the way.
  virtual ErrnoOr<UniqueFd> OpenBelow(int dirfd, const char* path) const = 0;
  virtual ErrnoOr<struct stat> Stat(int dirfd, const char* name) const = 0;
  // All entries of the directory `dirfd`. `unread`: it is open for reading and nobody has read from it, so that it
  // serves itself; nobody may do so again.
  virtual ErrnoOr<std::vector<RawEntry>> ReadDir(int dirfd, bool unread = false) const = 0;
  virtual ErrnoOr<std::string> ReadLink(int dirfd, const char* name) const = 0;
  virtual ErrnoOr<struct statvfs> StatFs(int dirfd) const = 0;

  virtual Errno MkNod(int dirfd, const char* name, mode_t mode, dev_t device) const = 0;
  virtual Errno MkDir(int dirfd, const char* name, mode_t mode) const = 0;
  virtual Errno SymLink(const char* target, int dirfd, const char* name) const = 0;
  virtual Errno Link(int old_dirfd, const char* old_name, int new_dirfd, const char* new_name) const = 0;
  // `flags` of renameat2.
  virtual Errno Rename(int old_dirfd, const char* old_name, int new_dirfd, const char* new_name,
                       unsigned flags) const = 0;
  virtual Errno Unlink(int dirfd, const char* name) const = 0;
  virtual Errno RmDir(int dirfd, const char* name) const = 0;

  virtual Errno Chmod(int dirfd, const char* name, mode_t mode) const = 0;
  // -1 leaves an id as it is.
  virtual Errno Chown(int dirfd, const char* name, uid_t uid, gid_t gid) const = 0;
  // Access time, modification time; UTIME_NOW and UTIME_OMIT as in utimensat.
  virtual Errno SetTimes(int dirfd, const char* name, const struct timespec times[2]) const = 0;
  // Clears what a write by somebody without CAP_FSETID clears on the file that `fd` is open for: setuid bits, and
  // setgid bits where the group may execute.
  virtual ErrnoOr<SuidKill> KillSuid(int fd) const = 0;

  // As getxattr: size 0 asks for the length.
  virtual ErrnoOr<size_t> GetXattr(int dirfd, const char* name, const char* key, void* value, size_t size) const = 0;
  virtual Errno SetXattr(int dirfd, const char* name, const char* key, const void* value, size_t size,
                         int flags) const = 0;
  virtual Errno RemoveXattr(int dirfd, const char* name, const char* key) const = 0;
  // The names, each ended by a NUL, as listxattr gives them.
  virtual ErrnoOr<std::string> ListXattr(int dirfd, const char* name) const = 0;

 private:
  const BranchSpec spec_;
  const BranchId id_;
};

// A branch on a directory of the host.
class DirectoryBranch : public Branch {
 public:
  // `root` is an O_PATH or readable fd of the directory.
  DirectoryBranch(BranchSpec spec, BranchId id, UniqueFd root) : Branch(std::move(spec), id), root_(std::move(root)) {}

  int root_fd() const override { return root_.get(); }
  ErrnoOr<UniqueFd> Open(int dirfd, const char* name, int flags, mode_t mode) const override;
  ErrnoOr<UniqueFd> OpenBelow(int dirfd, const char* path) const override;
  ErrnoOr<struct stat> Stat(int dirfd, const char* name) const override;
  ErrnoOr<std::vector<RawEntry>> ReadDir(int dirfd, bool unread = false) const override;
  ErrnoOr<std::string> ReadLink(int dirfd, const char* name) const override;
  ErrnoOr<struct statvfs> StatFs(int dirfd) const override;
  Errno MkNod(int dirfd, const char* name, mode_t mode, dev_t device) const override;
  Errno MkDir(int dirfd, const char* name, mode_t mode) const override;
  Errno SymLink(const char* target, int dirfd, const char* name) const override;
  Errno Link(int old_dirfd, const char* old_name, int new_dirfd, const char* new_name) const override;
  Errno Rename(int old_dirfd, const char* old_name, int new_dirfd, const char* new_name, unsigned flags) const override;
  Errno Unlink(int dirfd, const char* name) const override;
  Errno RmDir(int dirfd, const char* name) const override;
  Errno Chmod(int dirfd, const char* name, mode_t mode) const override;
  Errno Chown(int dirfd, const char* name, uid_t uid, gid_t gid) const override;
  Errno SetTimes(int dirfd, const char* name, const struct timespec times[2]) const override;
  ErrnoOr<SuidKill> KillSuid(int fd) const override;
  ErrnoOr<size_t> GetXattr(int dirfd, const char* name, const char* key, void* value, size_t size) const override;
  Errno SetXattr(int dirfd, const char* name, const char* key, const void* value, size_t size,
                 int flags) const override;
  Errno RemoveXattr(int dirfd, const char* name, const char* key) const override;
  ErrnoOr<std::string> ListXattr(int dirfd, const char* name) const override;

 private:
  const UniqueFd root_;
};

}  // namespace acetate::fusefs
