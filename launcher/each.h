// One act on each of the containers that a command line names.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "launcher/containers.h"

namespace acetate::launcher {

// Finds and does `act` to one after the other; a failure is said and does not keep the others from it. With `prints`
// the name is printed, as it was given, of each that went well. Returns the status to exit with.
int ForEach(const std::vector<std::string>& references, const std::string& store_root, bool prints,
            const std::function<absl::Status(Container&)>& act);

}  // namespace acetate::launcher
