// The index of hard links: upper objects by the lower file that they are copies of. A file that has several names below
// is copied up here, so that all its names, those too that nobody has asked for yet, lead to the one copy.
//
// As the kernel's `index=on` has it (fs/overlayfs/namei.c): `index` in the work directory, in it a link to each copy,
// named by the lower file's handle in hexadecimal; the copy says the same in overlay.origin, and in overlay.nlink how
// many names the union shows. Making a handle takes no privilege; following one would.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "common/errno_or.h"
#include "common/unique_fd.h"
#include "fusefs/branch.h"
#include "fusefs/fd_cache.h"
#include "fusefs/overlay_xattr.h"

namespace acetate::fusefs {

// Guarded by UnionFs's mutex.
class LinkIndex {
 public:
  // In the user's work directory.
  static constexpr char kDirectory[] = "index";

  // `workdir_fd` is the user's work directory, which outlives the index, as do the others. Entries that no name leads
  // to any more are removed. The directory is made when it is first needed.
  static ErrnoOr<std::unique_ptr<LinkIndex>> Open(const Branch* upper, const OverlayXattr* xattrs, int workdir_fd);

  // Of the directory, once there is an entry.
  const FdRef& fd() const { return fd_; }
  bool empty() const { return entries_ == 0; }

  // What overlay.origin says of a copy of this file. EOPNOTSUPP where its filesystem has no handles.
  ErrnoOr<std::string> OriginOf(const Branch& branch, int dirfd, const char* name);
  // What the entry of that origin is called.
  static std::string NameOf(absl::string_view origin);

  // Puts what is called `temp` in `dirfd` into the index.
  Errno Add(int dirfd, const std::string& temp, const std::string& name);
  Errno Remove(const std::string& name);

  // How many names more the union shows than the object has links, the index's own included. 0 when it does not say.
  int64_t ReadExcess(int dirfd, const char* name) const;
  Errno WriteExcess(int dirfd, const char* name, int64_t excess) const;

 private:
  LinkIndex(const Branch* upper, const OverlayXattr* xattrs, int workdir_fd)
      : upper_(upper), xattrs_(xattrs), workdir_fd_(workdir_fd) {}

  Errno OpenDirectory();
  const std::string& UuidOf(const Branch& branch);

  const Branch* const upper_;
  const OverlayXattr* const xattrs_;
  const int workdir_fd_;
  FdRef fd_;
  int64_t entries_ = 0;
  absl::flat_hash_map<const Branch*, std::string> uuids_;  // of the branches' filesystems, once they were asked
};

}  // namespace acetate::fusefs
