// From what a user asked for to a plan: finds out what the machine has. Makes nothing; everything that can be found
// wrong without making anything is found wrong here.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "launcher/plan.h"
#include "launcher/spec.h"

namespace acetate::launcher {

// The plan of a new container, or of another run of the one with `existing_id`.
absl::StatusOr<Plan> Resolve(const Spec& spec, const std::string& existing_id);

// What filters the system calls of the container's commands; nothing when it is unconfined.
absl::StatusOr<std::vector<SeccompProgram>> SeccompFilterFor(const Spec& spec);

}  // namespace acetate::launcher
