// Cleaning up after supervisors that were killed: their records can be locked (record.h).
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "launcher/identity.h"
#include "launcher/record.h"

namespace acetate::launcher {

// Ends what they left running, removes what they left outside of the store, and notes the end in the state of
// containers that stay. Of the records returned, those whose container must go too are for RemoveStaleTrees.
std::vector<Stale> SweepHost(const std::string& store_root);

// Removes the containers that are not to stay, and the records. In the user namespace of containers, where all of their
// files are the caller's. What cannot be removed keeps its record, for another try.
void RemoveStaleTrees(const std::vector<Stale>& stale);

// Both, from the host.
void Sweep(const std::string& store_root);

// Removes a directory with all below it, whichever of the container's ids own it.
absl::Status RemoveContainerTree(const std::string& path);

}  // namespace acetate::launcher
