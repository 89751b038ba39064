// The keys that leave a container's terminal while the container goes on. Pure, one thread.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace acetate::launcher {

// "ctrl-p,ctrl-q" to the bytes that a terminal sends for them: single characters, or ctrl- and a letter or one of
// @ [ \ ] ^ _, separated by commas. The empty text means no keys at all. The error completes "--detach-keys "value"
// ...".
absl::StatusOr<std::string> ParseDetachKeys(absl::string_view text);

// Looks for the keys in what is typed, over any number of reads.
class DetachKeys {
 public:
  explicit DetachKeys(std::string keys) : keys_(std::move(keys)) {}

  // Appends to `out` what of `typed` is for the container. True when the keys were seen: what follows them is dropped.
  // A beginning of the keys is held back until the next byte tells whether it was one.
  bool Filter(absl::string_view typed, std::string* out);

 private:
  const std::string keys_;
  size_t matched_ = 0;  // bytes of keys_ that were typed last
};

}  // namespace acetate::launcher
