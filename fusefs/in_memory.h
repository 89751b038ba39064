// Filesystems that keep everything in memory, for which nobody need wait: reading never waits for a disk, syncing does
// nothing, and a read that is cut short has met the end of the file.
#pragma once

#include <linux/magic.h>
#include <sys/vfs.h>

namespace acetate::fusefs {

// Of what `fd` is open for. False when it cannot be told.
inline bool InMemory(int fd) {
  struct statfs fs;
  return fstatfs(fd, &fs) == 0 && fs.f_type == TMPFS_MAGIC;
}

}  // namespace acetate::fusefs
