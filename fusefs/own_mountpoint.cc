// A mountpoint that lies inside a branch: the directory below the mount is what the union shows there, and it is
// reached by an fd from before the mount.
#include <fcntl.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/syscalls.h"
#include "fusefs/union_fs.h"

namespace acetate::fusefs {
namespace {

ErrnoOr<std::string> PathOfFd(const Branch& branch, int fd) {
  return branch.ReadLink(AT_FDCWD, absl::StrCat("/proc/self/fd/", fd).c_str());
}

}  // namespace

Errno UnionFs::HoldOwnMountpoint() {
  if (options_.mountpoint.empty() || IsMountedFd(options_.mountpoint)) return kOk;
  ACETATE_ASSIGN_OR_RETURN(UniqueFd fd, sys::OpenAt(AT_FDCWD, options_.mountpoint.c_str(), O_PATH | O_DIRECTORY));
  own_mountpoint_ = std::make_shared<const UniqueFd>(std::move(fd));
  return kOk;
}

ErrnoOr<std::vector<std::string>> UnionFs::OwnMountpointIn(const Branch& branch) const {
  std::vector<std::string> path;
  if (own_mountpoint_ == nullptr) return path;
  ACETATE_ASSIGN_OR_RETURN(std::string mountpoint, PathOfFd(branch, own_mountpoint_->get()));
  ACETATE_ASSIGN_OR_RETURN(std::string root, PathOfFd(branch, branch.root_fd()));
  absl::string_view inside = mountpoint;
  if (!absl::ConsumePrefix(&inside, root == "/" ? root : root + "/")) return path;
  path = absl::StrSplit(inside, '/');
  std::reverse(path.begin(), path.end());
  return path;
}

bool UnionFs::IsOwnMountpoint(const LayerDir& dir, absl::string_view name) const {
  const std::vector<std::string>& path = branches_.member(dir.branch->id()).own_mountpoint;
  if (path.empty() || path.front() != name) return false;
  const LayerDir* at = &dir;
  for (size_t i = 1; i < path.size(); ++i, at = at->parent.get()) {
    if (at->parent == nullptr || at->name != path[i]) return false;
  }
  return at->parent == nullptr;
}

}  // namespace acetate::fusefs
