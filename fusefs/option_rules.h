// Every option that fusefs knows, in one table: its name, whether it takes a value, and what it sets. Pure.
#pragma once

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "fusefs/options.h"

namespace acetate::fusefs {

// What has been read so far. Branches are put together at the end: they depend on options in any order.
struct Draft {
  CommandLine line;
  std::optional<std::string> lowerdir;
  std::optional<std::string> upperdir;
  std::optional<std::string> branches;
  std::string workdir;
  bool dotwh = false;
  bool has_fsname = false;
  bool has_timeout = false;
};

// Applies `NAME` or `NAME=VALUE`; `prefix` is "-o " or "--", for messages.
absl::Status ApplyOption(Draft& draft, absl::string_view prefix, absl::string_view text);

}  // namespace acetate::fusefs
