// Finding and executing the container's command, and saying what is wrong when that fails. Runs in PID 1, as the last
// step before the command: nothing here allocates.
#pragma once

#include <cstddef>

#include "absl/strings/string_view.h"

namespace acetate::launcher {

inline constexpr int kExitOwnFailure = 125;
inline constexpr int kExitNotExecutable = 126;
inline constexpr int kExitNotFound = 127;

// Executes argv[0]: as it is when it holds a slash, else the first of that name in the directories of `search_path`
// that execve(2) takes. Comes back only on failure: the status to exit with, and in `message` (a string, cut to `size`)
// what was wrong.
int ExecuteProgram(char* const* argv, char* const* envp, const char* search_path, char* message, size_t size);

// What keeps a file with these first bytes from being executed, when it exists and may be: "its interpreter X is
// missing", "it was built for another machine"... Written to `message`; false when the bytes tell nothing.
bool DiagnoseProgram(absl::string_view head, bool interpreter_missing, char* message, size_t size);

}  // namespace acetate::launcher
