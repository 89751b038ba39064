// The process that does for a container on the bridge what only root of the host may. It is forked by the launcher
// before anything else, in the host's namespaces, and talks with the helper by a socket: it is given the container's
// network namespace and says "+ADDRESS" when that is connected, or "-" and why it cannot be. When the helper's end
// closes, however the helper ended, it takes back what it made.
#pragma once

#include "absl/status/statusor.h"
#include "common/unique_fd.h"
#include "launcher/plan.h"

namespace acetate::launcher {

// Forks it; returns the helper's end of the socket. Nothing may be open that must not stay open as long as it lives.
absl::StatusOr<UniqueFd> StartBridgeKeeper(const Plan& plan);

}  // namespace acetate::launcher
