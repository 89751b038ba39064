// Records of what an object is shown as, kept in an xattr of what stands for it in the layer: owner, mode, and for what
// an unprivileged user cannot make, the type. The format is that of containers/storage and fuse-overlayfs:
//
//   UID:GID:MODE[:TYPE]    ids decimal, mode octal; TYPE is file, dir, symlink, pipe, socket, block-MAJOR-MINOR or
//                          char-MAJOR-MINOR, and without it the stored object's own
//
// Pure.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>

#include "absl/strings/string_view.h"

namespace acetate::fusefs {

// The xattrs that records are found in. Those of a layer are all in one; the layer's root directory tells which.
inline constexpr char kPrivilegedRecord[] = "security.fuseoverlayfs.override_stat";
inline constexpr char kContainersRecord[] = "user.containers.override_stat";
inline constexpr char kFuseOverlayfsRecord[] = "user.fuseoverlayfs.override_stat";  // written by fuse-overlayfs 1.10

bool IsRecordKey(absl::string_view key);

// What a recorded owner can be asked for, and set, by in the mount where the kernel would refuse the ids: "UID:GID" in
// decimal, of which -1 stays as it is. It is no xattr of the layer. The kernel lets only who has CAP_SYS_ADMIN in the
// mount's user namespace set it, as all of "security.".
inline constexpr char kOwnerXattr[] = "security.acetate.owner";

struct OwnerPair {
  uid_t uid = 0;
  gid_t gid = 0;
};
std::optional<OwnerPair> ParseOwner(absl::string_view text);
std::string FormatOwner(const OwnerPair& owner);

struct StatRecord {
  uid_t uid = 0;  // -1: the stored owner, as old versions of fuse-overlayfs left it
  gid_t gid = 0;
  mode_t mode = 0;  // type and permissions
  dev_t device = 0;
};

std::string FormatRecord(const StatRecord& record);

// None for what is no record, or none that an object of type `stored` (S_IFMT bits) may have: a regular file stands for
// anything but a directory and a symlink, everything else for itself.
std::optional<StatRecord> ParseRecord(absl::string_view text, mode_t stored);

}  // namespace acetate::fusefs
