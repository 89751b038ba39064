// launch's own program file, kept out of the reach of containers.
//
// A process that enters a container still has launch's file as /proc/PID/exe, and an image can have that file executed
// inside, by a command that is a link to /proc/self/exe or a script whose interpreter that is. Other processes of the
// container may then open the file by that link, and with the rights of who launched change its mode or, when nobody
// executes it any more, its contents (CVE-2019-5736). So where who launches has such rights, launch first executes
// itself again from what cannot be changed: a read-only mount of the file, or a sealed copy in memory.
#pragma once

#include <string>

#include "absl/status/status.h"

namespace acetate::launcher {

// Returns in a process whose program file no container that it starts can change, or with the reason why there is none.
// To be called before there are threads, with main's arguments; executes the program again if need be, with the same
// arguments and environment.
absl::Status SecureOwnProgram(char* const* argv);

// The path of the file that was executed first; empty when it cannot be told.
std::string OwnProgramPath();

}  // namespace acetate::launcher
