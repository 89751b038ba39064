// The command lines of what asks a running fusefs: `fusefs stats`, `fusefs branch`, `fusefs whence`. Pure.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "fusefs/options.h"

namespace acetate::fusefs {

// `args` with the command's name first.
absl::StatusOr<CommandLine> ParseMountCommand(Action action, const std::vector<std::string>& args);

}  // namespace acetate::fusefs
