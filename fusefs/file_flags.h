// The flags of FS_IOC_GETFLAGS and FS_IOC_FSGETXATTR: the rules of a union for them, and the calls on one file.
//
// Immutable and append-only are not set on the upper's files themselves, where they would keep the union from renaming
// and removing: overlay.protattr holds them, as in the kernel's overlayfs (ovl_set_protattr()), and the union obeys.
// All other flags are the file's own. Thread-safe: nothing here has a state.
#pragma once

#include <linux/fs.h>

#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "common/errno_or.h"

namespace acetate::fusefs {

// What lies in overlay.protattr, and what copy-up sets on the copy (OVL_PROT_FS_FLAGS_MASK, OVL_COPY_FS_FLAGS_MASK).
inline constexpr unsigned kProtectingFlags = FS_IMMUTABLE_FL | FS_APPEND_FL;
inline constexpr unsigned kCarriedFlags = FS_SYNC_FL | FS_NOATIME_FL;
inline constexpr unsigned kProtectingXflags = FS_XFLAG_IMMUTABLE | FS_XFLAG_APPEND;

// What an object's flags keep others from doing. Immutable: any change. Append-only: all but writing at its end, or of
// a directory adding names.
enum class Protection : uint8_t { kUnknown, kNone, kAppendOnly, kImmutable };
Protection ProtectionBy(unsigned flags);

// The value of overlay.protattr and the kProtectingFlags that it stands for. As ovl_check_protattr(): letters from the
// first unknown one on mean nothing.
std::string EncodeProtection(unsigned flags);
unsigned DecodeProtection(absl::string_view value);

// The kProtectingFlags among FS_XFLAG_* bits, and the other way round.
unsigned ProtectionOfXflags(uint32_t xflags);
uint32_t XflagsOfProtection(unsigned flags);

// The kProtectingFlags that the filesystem itself has on an object, by statx: no fd is opened, symlinks are not
// followed, and an empty name means `dirfd`. None where the filesystem has no such flags or the call fails.
unsigned ReadProtection(int dirfd, const char* name);

// Of all flags those that copy-up looks at, kProtectingFlags and kCarriedFlags, by one call that opens nothing. None
// where the kernel has no such call (file_getattr(2), Linux 6.17) or it fails: the others are to be asked then.
std::optional<unsigned> ReadFlagsAt(int dirfd, const char* name);

// FS_IOC_GETFLAGS and its like on an open file. ENOTTY where its filesystem has no flags.
ErrnoOr<unsigned> ReadFlags(int fd);
Errno WriteFlags(int fd, unsigned flags);
ErrnoOr<fsxattr> ReadFsXattr(int fd);
Errno WriteFsXattr(int fd, const fsxattr& attributes);

}  // namespace acetate::fusefs
