// From a checked Spec to the command's exit status.
#pragma once

#include <string>

#include "launcher/spec.h"

namespace acetate::launcher {

// All print what is wrong, on one line, and return the status to exit with: 125 if it is launch that failed.

// Runs the command in a container: a new one, or with `existing_id` again in one that has ended.
int Launch(const Spec& spec, const std::string& existing_id = "");

// Prints the plan as JSON instead. Makes nothing.
int Explain(const Spec& spec);

}  // namespace acetate::launcher
