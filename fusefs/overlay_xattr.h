// The overlay's own extended attributes: names under one prefix, and what applications see of them.
//
// As the kernel's overlayfs does (fs/overlayfs/xattrs.c): attributes under the prefix are invisible in the mount, and
// one that an application sets under it is stored escaped, one `overlay.` deeper, so that a union can lie on a union.
// Immutable after construction; thread-safe.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "fusefs/branch.h"

namespace acetate::fusefs {

// What overlay.opaque says of a directory: 'y' hides everything below, 'x' says that the directory holds xattr
// whiteouts.
enum class Opaque { kNo, kYes, kXattrWhiteouts };

class OverlayXattr {
 public:
  // `trusted`: trusted.overlay., which needs CAP_SYS_ADMIN in the initial user namespace; else user.overlay.
  explicit OverlayXattr(bool trusted);

  // Whether this process may use the trusted namespace.
  static bool MayUseTrusted();

  // The stored names. What each holds is in docs/format.md.
  const std::string& opaque() const { return opaque_; }
  const std::string& whiteout() const { return whiteout_; }
  const std::string& redirect() const { return redirect_; }
  const std::string& metacopy() const { return metacopy_; }
  const std::string& impure() const { return impure_; }
  const std::string& partial() const { return partial_; }
  const std::string& ino() const { return ino_; }
  const std::string& origin() const { return origin_; }
  const std::string& nlink() const { return nlink_; }
  const std::string& protattr() const { return protattr_; }

  bool trusted() const { return prefix_[0] == 't'; }
  // Whether `key`, as stored in a branch, is the union's own.
  bool IsOwn(absl::string_view key) const;
  // The stored name of what an application calls `key`.
  std::string Escape(absl::string_view key) const;
  // The names that an application sees of a branch's list; both are NUL-ended names in a row.
  // Without `trusted`, those of the "trusted." namespace are left out.
  std::string Visible(absl::string_view stored_list, bool trusted) const;
  // The stored names of a list that copy-up carries over: all but our own, escaped ones included.
  std::vector<std::string> ToCopy(absl::string_view stored_list) const;

  // Whether a list of names, as listxattr gives it, has that one.
  static bool Lists(absl::string_view list, absl::string_view key);

  // The value of any attribute, as stored; ENODATA where there is none, or the filesystem has no xattrs.
  static ErrnoOr<std::string> Get(const Branch& branch, int dirfd, const char* name, const std::string& key);

  Opaque GetOpaque(const Branch& branch, int dirfd, const char* name) const;
  bool IsXattrWhiteout(const Branch& branch, int dirfd, const char* name) const;

 private:
  const std::string prefix_;   // "trusted.overlay."
  const std::string escaped_;  // "trusted.overlay.overlay."
  const std::string opaque_;
  const std::string whiteout_;
  const std::string redirect_;
  const std::string metacopy_;
  const std::string impure_;
  const std::string partial_;
  const std::string ino_;
  const std::string origin_;
  const std::string nlink_;
  const std::string protattr_;
};

}  // namespace acetate::fusefs
