// How launch speaks when something is wrong: one line on stderr that begins with its name.
#pragma once

#include "absl/strings/string_view.h"

namespace acetate::launcher {

// Writes "launch: MESSAGE\n" in one write(2); control characters of the message are shown as escapes.
void PrintErrorLine(absl::string_view message);

}  // namespace acetate::launcher
