// Which system calls a container's processes may make, as a program for seccomp(2): the default, which lets through
// what Docker's does, and one of the user's own. Compiled before anything is forked; PID 1 only installs it.
#pragma once

#include <linux/filter.h>

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/errno_or.h"

namespace acetate::launcher {

using SeccompProgram = std::vector<sock_filter>;

// Refuses (EPERM) what changes the machine or reaches beyond the container, as far as none of `capabilities` permits
// it; and calls that are newer than this list (ENOSYS), which programs take for an older kernel. Native and 32-bit
// programs.
absl::StatusOr<std::vector<SeccompProgram>> DefaultSeccompFilter(uint64_t capabilities);

// Of a profile in Docker's JSON format. Names of system calls that libseccomp does not know are passed over, as Docker
// does. An error says what is wrong in the text.
absl::StatusOr<std::vector<SeccompProgram>> SeccompFilterOf(absl::string_view profile, uint64_t capabilities);

// For the calling thread and all it becomes; not to be undone. Allocates nothing. Needs no_new_privs, or CAP_SYS_ADMIN.
Errno InstallSeccompFilter(const std::vector<SeccompProgram>& programs);

}  // namespace acetate::launcher
