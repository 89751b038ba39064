// Numbers as the command line takes them: absl::SimpleAtoi() alone lets signs and spaces pass.
#pragma once

#include "absl/strings/ascii.h"
#include "absl/strings/string_view.h"

namespace acetate::launcher {

// Digits alone, and at least one.
inline bool AllDigits(absl::string_view text) {
  for (char c : text) {
    if (!absl::ascii_isdigit(static_cast<unsigned char>(c))) return false;
  }
  return !text.empty();
}

}  // namespace acetate::launcher
