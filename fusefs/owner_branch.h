// A branch on a directory of the host, for a daemon without privileges: what its own user's files refuse by their mode
// alone is done by OwnerCalls. Thread-safe.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "fusefs/branch.h"
#include "fusefs/owner_calls.h"

namespace acetate::fusefs {

class OwnerBranch : public DirectoryBranch {
 public:
  // `calls` outlives the branch.
  OwnerBranch(BranchSpec spec, BranchId id, UniqueFd root, OwnerCalls* calls)
      : DirectoryBranch(std::move(spec), id, std::move(root)), calls_(calls) {}

  ErrnoOr<UniqueFd> Open(int dirfd, const char* name, int flags, mode_t mode) const override;
  ErrnoOr<struct stat> Stat(int dirfd, const char* name) const override;
  ErrnoOr<std::string> ReadLink(int dirfd, const char* name) const override;
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
  ErrnoOr<size_t> GetXattr(int dirfd, const char* name, const char* key, void* value, size_t size) const override;
  Errno SetXattr(int dirfd, const char* name, const char* key, const void* value, size_t size,
                 int flags) const override;
  Errno RemoveXattr(int dirfd, const char* name, const char* key) const override;
  ErrnoOr<std::string> ListXattr(int dirfd, const char* name) const override;

 private:
  OwnerCalls* const calls_;
};

// A branch on the directory `root` as this process needs it: `calls` is null where it needs no help.
std::unique_ptr<Branch> MakeDirectoryBranch(const BranchSpec& spec, BranchId id, UniqueFd root, OwnerCalls* calls);

}  // namespace acetate::fusefs
