// A container's config.json in the store: what was run, for people and for later commands.
#pragma once

#include "absl/status/status.h"
#include "launcher/plan.h"

namespace acetate::launcher {

absl::Status WriteConfigFile(const Plan& plan);

}  // namespace acetate::launcher
