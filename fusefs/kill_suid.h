// Clearing setuid and setgid bits for a caller whose write or truncation does that.
#pragma once

#include <sys/types.h>

#include "common/errno_or.h"

namespace acetate::fusefs {

// Of a file's mode, the bits that are cleared. As the kernel's setattr_should_drop_suidgid(): setgid without group
// execution is no privilege and stays.
mode_t SuidBits(mode_t mode);

// Clears them on the file that `fd` is open for and says whether there were any.
ErrnoOr<bool> KillSuid(int fd);

}  // namespace acetate::fusefs
