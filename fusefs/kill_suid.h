// Clearing setuid and setgid bits for a caller whose write or truncation does that.
#pragma once

#include <sys/types.h>

#include "common/errno_or.h"

namespace acetate::fusefs {

// Of a file's mode, the bits that are cleared. As the kernel's setattr_should_drop_suidgid(): setgid without group
// execution is no privilege and stays.
mode_t SuidBits(mode_t mode);

struct SuidKill {
  bool cleared = false;      // there were such bits
  bool setgid_left = false;  // there is one without group execution, which only a stranger to the group clears
};

// Clears them on the file that `fd` is open for.
ErrnoOr<SuidKill> KillSuid(int fd);

}  // namespace acetate::fusefs
