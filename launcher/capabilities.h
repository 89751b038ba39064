// Capabilities: which a container's root keeps, and dropping the rest. Raw system calls, no allocation: the dropping
// happens in PID 1 between fork and exec.
#pragma once

#include <linux/capability.h>

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/errno_or.h"

namespace acetate::launcher {

// Docker's default fourteen.
inline constexpr uint64_t kDefaultCapabilities =
    uint64_t{1} << CAP_CHOWN | uint64_t{1} << CAP_DAC_OVERRIDE | uint64_t{1} << CAP_FSETID | uint64_t{1} << CAP_FOWNER |
    uint64_t{1} << CAP_MKNOD | uint64_t{1} << CAP_NET_RAW | uint64_t{1} << CAP_SETGID | uint64_t{1} << CAP_SETUID |
    uint64_t{1} << CAP_SETFCAP | uint64_t{1} << CAP_SETPCAP | uint64_t{1} << CAP_NET_BIND_SERVICE |
    uint64_t{1} << CAP_SYS_CHROOT | uint64_t{1} << CAP_KILL | uint64_t{1} << CAP_AUDIT_WRITE;

inline constexpr uint64_t kAllCapabilities = (uint64_t{1} << (CAP_LAST_CAP + 1)) - 1;

// A bit for a name such as "NET_ADMIN" or "cap_net_admin"; all for "ALL".
absl::StatusOr<uint64_t> ParseCapability(absl::string_view name);

// What a container keeps when these are added and dropped, as Docker has it: the default ones otherwise.
uint64_t KeptCapabilities(uint64_t added, uint64_t dropped);

// Whether the calling thread has the capability now.
bool HasEffectiveCapability(int capability);

// Takes everything outside of `keep` from the bounding set, for good. Needs CAP_SETPCAP.
Errno DropBoundingSet(uint64_t keep);

// Leaves `keep` (as far as it is held) permitted and effective, and nothing inheritable or ambient.
Errno SetCapabilities(uint64_t keep);

}  // namespace acetate::launcher
