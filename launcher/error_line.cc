#include "launcher/error_line.h"

#include <unistd.h>

#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace acetate::launcher {

void PrintErrorLine(absl::string_view message) {
  std::string line = "launch: ";
  for (char c : message) {
    // Bytes above 127 are left: file names are mostly UTF-8.
    if (absl::ascii_iscntrl(static_cast<unsigned char>(c))) {
      absl::StrAppendFormat(&line, "\\x%02x", static_cast<unsigned char>(c));
    } else {
      line.push_back(c);
    }
  }
  line.push_back('\n');
  if (write(STDERR_FILENO, line.data(), line.size()) < 0) return;  // there is nowhere else to say it
}

}  // namespace acetate::launcher
