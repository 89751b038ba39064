// The value of overlay.redirect: where the layers below hold what was moved. Pure.
//
// As the kernel's ovl_get_redirect_xattr(): an absolute path, which counts from the root of each layer, or one name,
// which stands for the object's own in the layers of its parent directory.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "common/errno_or.h"

namespace acetate::fusefs {

struct Redirect {
  bool absolute = false;
  std::vector<std::string> names;  // of an absolute one: from the root down; else one

  // EIO for a value that is neither of the two, or has a name that leads elsewhere ("..") or cannot exist.
  static ErrnoOr<Redirect> Parse(absl::string_view value);

  // Where to look below a layer whose directory names[i] is itself redirected to `other`.
  Redirect Through(size_t i, const Redirect& other) const;
};

}  // namespace acetate::fusefs
