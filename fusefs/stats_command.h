// `fusefs stats MOUNTPOINT [--json]`: asks a running fusefs for its counters.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "fusefs/options.h"

namespace acetate::fusefs {

// What the command prints: one line of JSON, or a table of what is not 0.
absl::StatusOr<std::string> StatsOutput(const CommandLine& line);

// The reply of a daemon, as StatsOutput prints it.
absl::StatusOr<std::string> FormatStats(absl::string_view reply, bool json);

}  // namespace acetate::fusefs
