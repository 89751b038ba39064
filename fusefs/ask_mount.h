// Asking a running fusefs something over its control socket, found by its mountpoint.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "fusefs/options.h"

namespace acetate::fusefs {

// Sends `request` to the fusefs of line.mountpoint, or to the socket --control names, and returns its reply: one line
// of JSON. A reply that says what went wrong is an error.
absl::StatusOr<std::string> AskMount(const CommandLine& line, absl::string_view request);

}  // namespace acetate::fusefs
