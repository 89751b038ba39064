// From a libfuse session to its handlers: how requests come from the kernel, and who reads them.
#pragma once

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "fusefs/libfuse.h"
#include "fusefs/options.h"

namespace acetate::fusefs {

// What of io_uring there is on this machine.
struct UringSupport {
  bool built_in = false;        // libfuse has it
  bool kernel_has = false;      // so has the kernel
  bool kernel_permits = false;  // and its administrator
};
UringSupport LookForUring();

// Whether requests come through io_uring. An error is one line that says why not, and what to do.
absl::StatusOr<bool> TakesUring(Io io, const UringSupport& support);

// Reads and answers requests until the session ends: unmounted, or told to exit. `uring`: on libfuse's threads, one for
// each CPU. Otherwise on those of a RequestLoop. Returns 0, or an errno value when reading failed. By main.
int RunLoop(fuse_session* session, bool uring);

}  // namespace acetate::fusefs
