#include "common/errno_or.h"

#include <cstring>

#include "absl/strings/str_cat.h"

namespace acetate {

absl::Status ErrnoToStatus(Errno error, absl::string_view what) {
  // The GNU strerror_r: thread-safe, and returns the message wherever it put it.
  char buffer[128];
  return absl::Status(absl::ErrnoToStatusCode(error.value()),
                      absl::StrCat(what, ": ", strerror_r(error.value(), buffer, sizeof(buffer))));
}

}  // namespace acetate
