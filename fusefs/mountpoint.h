// Where the union is to be mounted, looked at before and after. Once it is mounted nothing here touches the mountpoint
// itself, which could only be answered by this very process: the kernel's list of mounts says all there is to know.
#pragma once

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/mountinfo.h"

namespace acetate::fusefs {

// Checks that fusefs can mount on `mountpoint` and returns its absolute path without symlinks; /dev/fd/N is checked to
// be a fuse device and returned as it is. `subtype` is that of the mount to be: a second one on top is refused.
absl::StatusOr<std::string> ResolveMountpoint(const std::string& mountpoint, absl::string_view subtype);

// The topmost mount on the absolute path `path`.
std::optional<MountInfo> MountOn(absl::string_view path);

// The mount that `path` is the root of, without a request to the daemon that serves it.
absl::StatusOr<MountInfo> MountWithRoot(const std::string& path);

}  // namespace acetate::fusefs
