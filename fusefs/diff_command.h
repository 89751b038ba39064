// `fusefs diff UPPER [--lowerdir=A:B] [--json]`: lists what an upper layer changes.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "fusefs/layer_diff.h"
#include "fusefs/options.h"

namespace acetate::fusefs {

// What the command prints.
absl::StatusOr<std::string> DiffOutput(const CommandLine& line);

// One line for each change, `LETTER PATH` or `R OLD -> NEW`; or one line of JSON. `exact`: the lower layers were named.
std::string FormatDiff(const std::vector<Change>& changes, bool exact, bool json);

}  // namespace acetate::fusefs
