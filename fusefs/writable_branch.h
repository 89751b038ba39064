// A writable branch, and what the union keeps beside it: its work directory, its index of hard links, how whiteouts are
// written to it. Guarded by UnionFs's mutex, but for `branch`, and `work`'s TempName.
#pragma once

#include <sys/types.h>

#include <memory>
#include <optional>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "common/errno_or.h"
#include "common/unique_fd.h"
#include "fusefs/branch.h"
#include "fusefs/inode.h"
#include "fusefs/link_index.h"
#include "fusefs/options.h"
#include "fusefs/overlay_xattr.h"
#include "fusefs/whiteout.h"
#include "fusefs/work_dir.h"

namespace acetate::fusefs {

struct WritableBranch {
  // `branch` and `xattrs` outlive it. `workdir_fd` is the user's work directory of this branch, on its filesystem; it
  // holds the lock on it.
  static ErrnoOr<std::unique_ptr<WritableBranch>> Open(const Branch* branch, UniqueFd workdir_fd,
                                                       const OverlayXattr* xattrs, const Options& options);

  BranchId id() const { return branch->id(); }
  const Branch* operator->() const { return branch; }
  int work_fd() const { return work->fd(); }

  const Branch* branch = nullptr;
  UniqueFd workdir_fd;
  std::unique_ptr<WorkDir> work;
  LayerDirRef work_layer;            // the work directory, for parked orphans
  std::unique_ptr<LinkIndex> index;  // null: there is none
  std::unique_ptr<WhiteoutWriter> whiteouts;
  std::optional<std::pair<uid_t, gid_t>> maker;  // whose is what is made in the work directory, once that was asked
  bool tells_holes = false;                      // its filesystem says truly what is a hole in a file
  // Objects with several names, by the branch's inode number.
  absl::flat_hash_map<ino_t, Inode*> linked;
};

}  // namespace acetate::fusefs
