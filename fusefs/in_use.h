// Layers and work directories have one user at a time: who mounts or repairs one holds a lock on it, and none is
// touched that an overlay of the kernel's uses. Free functions; any thread.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/unique_fd.h"

namespace acetate::fusefs {

// Opens the directory of `dirfd` and locks it: as long as the fd lives nobody else gets the lock. Where the filesystem
// has no flock on directories, two users of one layer are not noticed. `name` is for the error.
absl::StatusOr<UniqueFd> LockDirectory(int dirfd, const std::string& name);

// An error when the directory is the upper one of an overlay mount. The kernel marks its upper and work directories in
// use too, but only for itself.
absl::Status CheckNoOverlayMount(int dirfd, const std::string& name);

}  // namespace acetate::fusefs
