// The standard streams of a command that runs apart from its launcher, and of the helper that stays with it.
#pragma once

#include "absl/status/statusor.h"
#include "common/unique_fd.h"
#include "launcher/session.h"

namespace acetate::launcher {

// Makes pipes for a command's stdout, stderr and, if it is to have one, stdin, which otherwise is /dev/null. `inside`
// gets the command's ends; returned are the others.
absl::StatusOr<StreamEnds> MakePipes(bool with_stdin, UniqueFd (&inside)[3]);

// Lets go of the caller's own standard streams and working directory.
void LeaveBehind();

}  // namespace acetate::launcher
