// The definition of UnionFs::InFirstWithRoom, for the files that use it.
#pragma once

#include "fusefs/union_fs.h"

namespace acetate::fusefs {

// Whether a branch refused for want of room, which another may have.
inline bool IsFull(Errno error) { return error == ENOSPC || error == EDQUOT; }

template <typename Attempt>
Errno UnionFs::InFirstWithRoom(const Places& places, const Attempt& attempt) {
  Errno error(EROFS);
  for (BranchId place : places) {
    error = attempt(*branches_.writable(place));
    if (!IsFull(error)) break;
  }
  return error;
}

}  // namespace acetate::fusefs
