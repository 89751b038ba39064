// A container's config.json in the store: what was run, for people and for later commands. Written once, when the
// container is made, by rename: a container without it is one that is being made, or whose making was killed.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "launcher/plan.h"
#include "launcher/spec.h"

namespace acetate::launcher {

struct ContainerConfig {
  std::string id;
  std::string created;              // see timestamp.h
  std::vector<std::string> layers;  // the topmost first
  Spec spec;                        // as it was asked for, with absolute paths, without --cidfile and --pidfile
};

absl::Status WriteConfigFile(const Plan& plan);

// An error names the file.
absl::StatusOr<ContainerConfig> ReadConfigFile(const std::string& path);

// Both ways of the file's text, without files.
std::string FormatConfig(const ContainerConfig& config);
absl::StatusOr<ContainerConfig> ParseConfig(absl::string_view text);

}  // namespace acetate::launcher
