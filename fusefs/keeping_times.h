// The definition of UnionFs::KeepingTimesLocked, for the files that use it.
#pragma once

#include "fusefs/union_fs.h"

namespace acetate::fusefs {

template <typename Change>
Errno UnionFs::KeepingTimesLocked(LayerDir* dir, const Change& change) {
  ACETATE_ASSIGN_OR_RETURN(FdRef fd, DirFd(dir));
  ACETATE_ASSIGN_OR_RETURN(struct stat st, dir->branch->Stat(fd->get(), ""));
  ACETATE_RETURN_IF_ERROR(change(fd->get()));
  const struct timespec times[2] = {st.st_atim, st.st_mtim};
  dir->branch->SetTimes(fd->get(), "", times).IgnoreError();
  return kOk;
}

}  // namespace acetate::fusefs
