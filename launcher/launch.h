// One launch, from a checked Spec to the command's exit status.
#pragma once

#include "launcher/spec.h"

namespace acetate::launcher {

// Both print what is wrong, on one line, and return 125 if it is launch that failed.

// Runs the command in a container. Returns the status to exit with.
int Launch(const Spec& spec);

// Prints the plan as JSON instead. Makes nothing.
int Explain(const Spec& spec);

}  // namespace acetate::launcher
