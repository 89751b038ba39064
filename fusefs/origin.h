// The value of overlay.ino: which object of which layer a copy was made of, so that it keeps that object's inode number
// when the union is mounted again. Pure, but for LayerId.
//
// The kernel's overlay.origin says the same by a file handle, which takes privileges to follow.
#pragma once

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "common/errno_or.h"
#include "fusefs/branch.h"

namespace acetate::fusefs {

struct Origin {
  uint64_t ino = 0;    // in its filesystem
  uint64_t layer = 0;  // LayerId() of its branch

  // 16 bytes, both numbers little-endian.
  std::string Encode() const;
  // EIO when the value is not of that form.
  static ErrnoOr<Origin> Parse(absl::string_view value);
};

// Tells a branch from others by its filesystem and its root directory; the same after a remount or a reboot, and
// another when the layer is copied, whose objects have other numbers.
ErrnoOr<uint64_t> LayerId(const Branch& branch);

}  // namespace acetate::fusefs
