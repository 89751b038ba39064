// Room in branches, and the definition of UnionFs::InFirstWithRoom, for the files that use it.
#pragma once

#include <cstdint>

#include "fusefs/union_fs.h"

namespace acetate::fusefs {

// Whether a branch refused for want of room, which another may have.
inline bool IsFull(Errno error) { return error == ENOSPC || error == EDQUOT; }

// How much ordinary users can write to the branch; 0 where that cannot be found out, so that it is tried last.
uint64_t FreeBytes(const Branch& branch);

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
