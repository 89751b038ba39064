// Clearing setuid and setgid bits for a caller whose write or truncation does that.
#pragma once

#include "common/errno_or.h"

namespace acetate::fusefs {

// Clears them on the file that `fd` is open for and says whether there were any. As the kernel's
// setattr_should_drop_suidgid(): setgid without group execution is no privilege and stays.
ErrnoOr<bool> KillSuid(int fd);

}  // namespace acetate::fusefs
