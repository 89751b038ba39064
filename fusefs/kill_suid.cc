#include "fusefs/kill_suid.h"

#include <sys/stat.h>

namespace acetate::fusefs {

mode_t SuidBits(mode_t mode) {
  mode_t bits = mode & S_ISUID;
  if ((mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP)) bits |= S_ISGID;
  return bits;
}

ErrnoOr<SuidKill> KillSuid(int fd) {
  struct stat st;
  if (fstat(fd, &st) != 0) return Errno::Last();
  const mode_t drop = SuidBits(st.st_mode);
  const mode_t left = st.st_mode & 07777 & ~drop;
  if (drop != 0 && fchmod(fd, left) != 0) return Errno::Last();
  return SuidKill{.cleared = drop != 0, .setgid_left = (left & S_ISGID) != 0};
}

}  // namespace acetate::fusefs
