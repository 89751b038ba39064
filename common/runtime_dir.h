// The directory for sockets and state that live no longer than the processes that made them.
#pragma once

#include <string>

#include "absl/status/statusor.h"

namespace acetate {

// $XDG_RUNTIME_DIR/acetate; without that variable /run/acetate for root, /tmp/acetate-UID for others, who stay the same
// in a user namespace of their own. Made with mode 0700 when missing; an existing one that is a symlink, another
// user's, or open to others is refused.
absl::StatusOr<std::string> RuntimeDir();

}  // namespace acetate
