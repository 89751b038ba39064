#include "fusefs/strict_branch.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <unistd.h>

#include <cstring>

#include "absl/strings/str_cat.h"
#include "fusefs/complain.h"

namespace acetate::fusefs {

Errno StrictBranch::SyncObject(int dirfd, const char* name) const {
  ACETATE_ASSIGN_OR_RETURN(struct stat st, inner().Stat(dirfd, name));
  if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode)) return kOk;
  ACETATE_ASSIGN_OR_RETURN(UniqueFd fd, inner().Open(dirfd, name, O_RDONLY, 0));
  return fsync(fd.get()) == 0 ? kOk : Errno::Last();
}

void StrictBranch::SyncDirectory(int dirfd) const {
  ErrnoOr<UniqueFd> fd = inner().Open(dirfd, ".", O_RDONLY | O_DIRECTORY, 0);
  const Errno error = fd.ok() ? (fsync(fd->get()) == 0 ? kOk : Errno::Last()) : fd.error();
  // The names have changed: to call that a failure would be wrong, to say nothing too.
  if (!error.ok()) {
    Complain(absl::StrCat("layer ", spec().path, ": a directory could not be synced: ", strerror(error.value())));
  }
}

Errno StrictBranch::Rename(int old_dirfd, const char* old_name, int new_dirfd, const char* new_name,
                           unsigned flags) const {
  ACETATE_RETURN_IF_ERROR(SyncObject(old_dirfd, old_name));
  if ((flags & RENAME_EXCHANGE) != 0) ACETATE_RETURN_IF_ERROR(SyncObject(new_dirfd, new_name));
  ACETATE_RETURN_IF_ERROR(inner().Rename(old_dirfd, old_name, new_dirfd, new_name, flags));
  SyncDirectory(new_dirfd);
  if (old_dirfd != new_dirfd) SyncDirectory(old_dirfd);
  return kOk;
}

}  // namespace acetate::fusefs
