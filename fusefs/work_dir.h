// The work directory of the upper branch: what is being built before it is published by rename, and what is being taken
// apart after it was moved out of sight. It lies on the upper's filesystem and is emptied at mount, so a crash between
// two steps leaves nothing that is seen. Guarded by UnionFs's mutex, but for TempName, which any thread may call.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "common/errno_or.h"
#include "common/unique_fd.h"
#include "fusefs/branch.h"

namespace acetate::fusefs {

class WorkDir {
 public:
  // `workdir_fd` is the user's work directory. What the union builds lies in `work` inside it, as the kernel has it.
  static ErrnoOr<std::unique_ptr<WorkDir>> Open(const Branch* upper, int workdir_fd);

  int fd() const { return fd_.get(); }

  // A name that is free in the work directory.
  std::string TempName();

  // Removes what is called `name` here, with all that is in it. Trees of any depth need no more than two fds.
  Errno Remove(const std::string& name);

  // Removes what could not be removed when it was to go, for want of fds.
  void Sweep();

  // Moves the directory `name` of `dirfd` here and removes it: gone at once, taken apart after.
  Errno RemoveDirFrom(int dirfd, const char* name);

 private:
  // Empties the directory `name`. Subdirectories are moved up beside it, so that depth costs neither fds nor stack, and
  // added to `pending`.
  Errno Unpack(const std::string& name, std::vector<std::string>* pending);

  WorkDir(const Branch* upper, UniqueFd fd, uint64_t first) : upper_(upper), fd_(std::move(fd)), next_(first) {}

  const Branch* const upper_;
  const UniqueFd fd_;
  std::atomic<uint64_t> next_;
};

}  // namespace acetate::fusefs
