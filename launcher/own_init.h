// launch's own small init (--init): PID 1 of a container whose command is its child. It passes signals on, takes in
// the children that lost their parents, and ends as the command ends.
#pragma once

#include <sys/types.h>

namespace acetate::launcher {

// Never returns; ends with the status of `child`, or 128 and the signal that ended it. All fds are closed. To be called
// with all signals blocked that are to be passed on. Allocates nothing.
[[noreturn]] void RunAsInit(pid_t child);

}  // namespace acetate::launcher
