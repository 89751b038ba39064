// `fusefs branch MOUNTPOINT list|add|remove|move|mode ...` and `fusefs whence MOUNTPOINT PATH`: what a running fusefs
// is asked to tell or to change.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "fusefs/options.h"

namespace acetate::fusefs {

// What the commands print: after a change, the branches as they are then.
absl::StatusOr<std::string> BranchOutput(const CommandLine& line);
absl::StatusOr<std::string> WhenceOutput(const CommandLine& line);

// Replies of a daemon, as the commands print them: lines of columns.
std::string FormatBranches(absl::string_view reply);
std::string FormatWhence(absl::string_view reply);

}  // namespace acetate::fusefs
