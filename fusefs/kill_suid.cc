#include "fusefs/kill_suid.h"

#include <sys/stat.h>

namespace acetate::fusefs {

ErrnoOr<bool> KillSuid(int fd) {
  struct stat st;
  if (fstat(fd, &st) != 0) return Errno::Last();
  mode_t drop = st.st_mode & S_ISUID;
  if ((st.st_mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP)) drop |= S_ISGID;
  if (drop == 0) return false;
  if (fchmod(fd, st.st_mode & 07777 & ~drop) != 0) return Errno::Last();
  return true;
}

}  // namespace acetate::fusefs
