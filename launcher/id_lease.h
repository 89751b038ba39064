// Which of a user's subordinate ids running containers have (--userns auto): a file for each in the runtime directory,
// locked with flock(2) by the container's helper for as long as it lives. One that can be locked is what a killed
// helper left. The directory's own lock keeps two launches from choosing the same ids.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/unique_fd.h"
#include "launcher/identity.h"

namespace acetate::launcher {

// Waits for the lock of the runtime directory; it is held as long as the fd. Launches hold it from choosing ids until
// they have their lease.
absl::StatusOr<UniqueFd> LockIds(const std::string& runtime_root);

// The slices that containers have at the moment.
std::vector<IdSlice> ReadLeases(const std::string& runtime_root);

std::string LeasePath(const std::string& runtime_root, const IdSlice& slice);

// Makes and locks a lease, and removes those that killed helpers left. With the lock of LockIds. The lease lasts as
// long as a copy of the returned fd.
absl::StatusOr<UniqueFd> TakeLease(const std::string& runtime_root, const IdSlice& slice);

}  // namespace acetate::launcher
