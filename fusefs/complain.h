// What the daemon has to say while it serves a mount: one line to standard error, and to the system log for a daemon
// whose standard error nobody reads. Thread-safe.
#pragma once

#include "absl/strings/string_view.h"

namespace acetate::fusefs {

// Says that a branch holds something that makes no sense. After a thousand lines it says so and falls silent: a broken
// layer must not fill a disk.
void Complain(absl::string_view line);

}  // namespace acetate::fusefs
