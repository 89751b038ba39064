// The overlay's marks on an object of a layer as they are on disk, under either prefix, and what is wrong with them.
// For the commands that read a layer from outside (diff, check): the daemon itself reads marks by overlay_xattr.h.
// Free functions on values; ReadMarks makes system calls. Thread-safe.
#pragma once

#include <sys/stat.h>

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "common/errno_or.h"
#include "fusefs/branch.h"

namespace acetate::fusefs {

// Which marks count: those under trusted.overlay., user.overlay., or both.
enum class MarkFamilies { kTrusted, kUser, kBoth };

// kOrigin: what tells that the object was copied up, overlay.origin or overlay.ino.
enum class MarkKind { kOpaque, kRedirect, kMetacopy, kPartial, kOrigin, kNlink, kWhiteout, kOther };

struct Mark {
  MarkKind kind = MarkKind::kOther;
  std::string key;  // as stored, with its prefix
  std::string value;
};

// The marks of one object.
class Marks {
 public:
  Marks() = default;
  explicit Marks(std::vector<Mark> all) : all_(std::move(all)) {}

  const std::vector<Mark>& all() const { return all_; }
  // The first of its kind, or null. Where both prefixes count, trusted marks come first.
  const Mark* Find(MarkKind kind) const;
  bool opaque() const { return OpaqueIs("y"); }
  // The directory may hold whiteouts that are written as xattrs.
  bool xattr_whiteouts() const { return OpaqueIs("x"); }

 private:
  bool OpaqueIs(absl::string_view value) const;

  std::vector<Mark> all_;
};

ErrnoOr<Marks> ReadMarks(const Branch& branch, MarkFamilies families, int dirfd, const char* name);

// Whether `key`, as stored, begins with either prefix: a mark, or an attribute that an application set under it.
bool HasMarkPrefix(absl::string_view key);

// `key`'s prefix with another name: "user.overlay.opaque" for ("user.overlay.whiteout", "opaque").
std::string SiblingKey(absl::string_view key, absl::string_view name);

// Why the mark means nothing on an object of this type, in a few words; empty for a good one. Pure.
std::string MarkFault(const Mark& mark, mode_t type);

// Whether a redirect is one that may be followed (redirect.h).
bool IsRedirect(absl::string_view value);

}  // namespace acetate::fusefs
