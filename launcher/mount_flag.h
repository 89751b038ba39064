// --mount: Docker's longer way to write -v and --tmpfs.
#pragma once

#include <variant>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "launcher/spec.h"

namespace acetate::launcher {

// type=bind,source=HOST,target=CONTAINER[,readonly] or type=tmpfs,target=CONTAINER[,tmpfs-size=SIZE][,tmpfs-mode=OCTAL]
// [,readonly], in any order. src stands for source, dst and destination for target, ro for readonly. The error
// completes the sentence "--mount "text" ...". Pure.
absl::StatusOr<std::variant<Volume, Tmpfs>> ParseMount(absl::string_view text);

}  // namespace acetate::launcher
