// The definition of UnionFs::WithSpareFds, for the files that use it.
#pragma once

#include "fusefs/union_fs.h"

namespace acetate::fusefs {

template <typename Open>
auto UnionFs::WithSpareFds(const Open& open) {
  auto result = open();
  if (result.ok() || !(result.error() == EMFILE)) return result;
  dir_fds_.Shrink();
  data_fds_.Shrink();
  return open();
}

}  // namespace acetate::fusefs
