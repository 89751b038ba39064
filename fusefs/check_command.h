// `fusefs check UPPER [--workdir=W] [--lowerdir=A:B] [--repair] [--json]`: verifies an upper layer and its work
// directory, and repairs them.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "fusefs/layer_check.h"
#include "fusefs/options.h"

namespace acetate::fusefs {

// Exit statuses of the command.
inline constexpr int kCheckClean = 0;
inline constexpr int kCheckFound = 1;   // problems, repaired or not
inline constexpr int kCheckFailed = 2;  // bad usage, a layer in use, or one that cannot be read to its end
// Problems or not, the layer was mounted volatile and not unmounted cleanly (volatile_mark.h): its files may be torn.
inline constexpr int kCheckVolatile = 3;

struct CheckResult {
  std::string output;
  int exit_status = kCheckClean;
};

absl::StatusOr<CheckResult> RunCheck(const CommandLine& line);

// One line for each problem: where, what, and what a repair does or did; or one line of JSON.
// `is_volatile`: the work directory carries the mark, which is told too.
std::string FormatCheck(const std::vector<Problem>& problems, bool is_volatile, const CommandLine& line);

}  // namespace acetate::fusefs
