// A writable branch for `sync=strict`: before a name is published by rename, what it names is on the disk, and when the
// rename returns, so are the directories. Copy-up publishes by rename too. Around any other branch; thread-safe if that
// is.
#pragma once

#include "fusefs/forwarding_branch.h"

namespace acetate::fusefs {

class StrictBranch : public ForwardingBranch {
 public:
  using ForwardingBranch::ForwardingBranch;

  Errno Rename(int old_dirfd, const char* old_name, int new_dirfd, const char* new_name, unsigned flags) const override;

 private:
  // Of a regular file or a directory: contents and attributes. Of anything else nothing can be synced but its
  // directory.
  Errno SyncObject(int dirfd, const char* name) const;
  void SyncDirectory(int dirfd) const;
};

}  // namespace acetate::fusefs
