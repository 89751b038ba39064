// Names for people and programs to read: a name may hold any byte but '/' and NUL, so printing it as it is would let it
// break lines, drive a terminal, or look like another. Pure.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "absl/strings/string_view.h"

namespace acetate::fusefs {

// On one line and never two paths alike: backslash, control characters and bytes that are no UTF-8 are written as \\,
// \n, \t or \xHH, and so is the blank of an " -> " in a name, which separates two paths.
std::string PathText(absl::string_view path);

// Sets object[key] to the path, or, where it is no UTF-8 and so no JSON string, object[key + "_base64"] to its bytes.
void PutPath(nlohmann::json* object, const std::string& key, absl::string_view path);

}  // namespace acetate::fusefs
