// --env-file: a file of variables, a line each, as Docker takes it.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace acetate::launcher {

// What the file's text sets: NAME=VALUE, in its order. A value is taken as it stands, quotes included. A bare NAME has
// the value that `environ` (a null-terminated list) has for it, and none sets nothing. Empty lines and those that begin
// with '#' say nothing, nor do spaces before a name. The error completes the sentence "--env-file "file" ..." and says
// in which line. Pure.
absl::StatusOr<std::vector<std::string>> ParseEnvironmentFile(absl::string_view text, const char* const* environ);

// The same of the file at `path`, of at most 1 MiB.
absl::StatusOr<std::vector<std::string>> ReadEnvironmentFile(const std::string& path, const char* const* environ);

}  // namespace acetate::launcher
