// The command lines of `fusefs diff` and `fusefs check`, which look at layers without mounting them. Pure.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "fusefs/options.h"

namespace acetate::fusefs {

// `args` without argv[0], the command's name first.
absl::StatusOr<CommandLine> ParseLayerCommand(Action action, const std::vector<std::string>& args);

}  // namespace acetate::fusefs
