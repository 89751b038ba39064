// Signals by name, and which of them a container gets. Safe to call from any thread.
#pragma once

#include <signal.h>

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace acetate::launcher {

// "TERM", "SIGTERM", "term", "15", "RTMIN+3". The error completes the sentence "--flag "value" ...".
absl::StatusOr<int> ParseSignal(absl::string_view text);

// "SIGTERM"; for those without a name, such as real-time signals, the number.
std::string SignalName(int signal);

// The signals that the container gets when launch does. Not those that stop or continue launch itself, which the
// terminal's user means for the whole job, nor those that tell of a fault in it.
sigset_t ForwardedSignals();

}  // namespace acetate::launcher
