#include "fusefs/mapped_branch.h"

#include <fcntl.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>

#include <algorithm>
#include <cstring>
#include <optional>

#include "absl/strings/match.h"
#include "absl/strings/string_view.h"
#include "fusefs/identity.h"

namespace acetate::fusefs {
namespace {

// What an owner without a counterpart is shown as, and the one id without a counterpart that may be stored: copying up
// a file keeps whatever its owner is shown as. The value of fuse-overlayfs, whatever the kernel's own.
constexpr uint32_t kOverflowId = 65534;

constexpr uint32_t kUnchanged = static_cast<uint32_t>(-1);

std::optional<uint32_t> ToStored(const IdMapping& mapping, uint32_t shown) {
  std::optional<uint32_t> stored = mapping.ToStored(shown);
  return !stored.has_value() && shown == kOverflowId ? kOverflowId : stored;
}

// What chown is to store, kUnchanged for nothing; none where it cannot.
std::optional<uint32_t> ToChown(const IdMapping& mapping, const std::optional<uint32_t>& squash, uint32_t shown) {
  if (shown == kUnchanged || shown == squash) return kUnchanged;
  const std::optional<uint32_t> stored = ToStored(mapping, shown);
  return squash.has_value() ? stored.value_or(kUnchanged) : stored;
}

bool IsAcl(const char* key) { return absl::StartsWith(key, "system.posix_acl_"); }

// Replaces the ids in an ACL, in the form that getxattr and setxattr have, by `replace(mapping, id)`. False where that
// gives none. What is no ACL stays as it is: the filesystem will say so.
template <typename Replace>
bool ReplaceAclIds(const OwnerRules& rules, char* value, size_t size, const Replace& replace) {
  constexpr size_t kHead = sizeof(posix_acl_xattr_header);
  posix_acl_xattr_entry entry;
  for (size_t at = kHead; at + sizeof(entry) <= size; at += sizeof(entry)) {
    memcpy(&entry, value + at, sizeof(entry));
    if (entry.e_tag != ACL_USER && entry.e_tag != ACL_GROUP) continue;
    const std::optional<uint32_t> id = replace(entry.e_tag == ACL_USER ? rules.uids : rules.gids, entry.e_id);
    if (!id.has_value()) return false;
    entry.e_id = *id;
    memcpy(value + at, &entry, sizeof(entry));
  }
  return true;
}

}  // namespace

Errno MappedBranch::CheckCreator() const {
  const Creator* creator = CallerScope::Current();
  if (creator == nullptr) return kOk;
  const bool uid_known = creator->uid.has_value() || rules_.squash_uid.has_value();
  const bool gid_known = creator->gid.has_value() || rules_.squash_gid.has_value();
  return uid_known && gid_known ? kOk : Errno(EOVERFLOW);
}

ErrnoOr<UniqueFd> MappedBranch::Open(int dirfd, const char* name, int flags, mode_t mode) const {
  if ((flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE) ACETATE_RETURN_IF_ERROR(CheckCreator());
  return inner().Open(dirfd, name, flags, mode);
}

ErrnoOr<struct stat> MappedBranch::Stat(int dirfd, const char* name) const {
  ACETATE_ASSIGN_OR_RETURN(struct stat st, inner().Stat(dirfd, name));
  st.st_uid = rules_.squash_uid.value_or(rules_.uids.ToShown(st.st_uid).value_or(kOverflowId));
  st.st_gid = rules_.squash_gid.value_or(rules_.gids.ToShown(st.st_gid).value_or(kOverflowId));
  return st;
}

Errno MappedBranch::MkNod(int dirfd, const char* name, mode_t mode, dev_t device) const {
  ACETATE_RETURN_IF_ERROR(CheckCreator());
  return inner().MkNod(dirfd, name, mode, device);
}

Errno MappedBranch::MkDir(int dirfd, const char* name, mode_t mode) const {
  ACETATE_RETURN_IF_ERROR(CheckCreator());
  return inner().MkDir(dirfd, name, mode);
}

Errno MappedBranch::SymLink(const char* target, int dirfd, const char* name) const {
  ACETATE_RETURN_IF_ERROR(CheckCreator());
  return inner().SymLink(target, dirfd, name);
}

Errno MappedBranch::Chown(int dirfd, const char* name, uid_t uid, gid_t gid) const {
  const std::optional<uint32_t> stored_uid = ToChown(rules_.uids, rules_.squash_uid, uid);
  const std::optional<uint32_t> stored_gid = ToChown(rules_.gids, rules_.squash_gid, gid);
  if (!stored_uid.has_value() || !stored_gid.has_value()) return Errno(EOVERFLOW);
  const Errno error = inner().Chown(dirfd, name, *stored_uid, *stored_gid);
  if (!(error == EPERM || error == EINVAL)) return error;
  // Of two ids the one that is not squashed still counts.
  const uid_t kept_uid = rules_.squash_uid.has_value() ? kUnchanged : *stored_uid;
  const gid_t kept_gid = rules_.squash_gid.has_value() ? kUnchanged : *stored_gid;
  if (kept_uid == *stored_uid && kept_gid == *stored_gid) return error;
  // Without any id it still does what every chown does: clears setuid bits, moves the ctime.
  return inner().Chown(dirfd, name, kept_uid, kept_gid);
}

ErrnoOr<size_t> MappedBranch::GetXattr(int dirfd, const char* name, const char* key, void* value, size_t size) const {
  ACETATE_ASSIGN_OR_RETURN(size_t length, inner().GetXattr(dirfd, name, key, value, size));
  if (size == 0 || !IsAcl(key)) return length;
  ReplaceAclIds(rules_, static_cast<char*>(value), length, [](const IdMapping& mapping, uint32_t id) {
    return std::optional<uint32_t>(mapping.ToShown(id).value_or(kOverflowId));
  });
  return length;
}

Errno MappedBranch::SetXattr(int dirfd, const char* name, const char* key, const void* value, size_t size,
                             int flags) const {
  if (!IsAcl(key)) return inner().SetXattr(dirfd, name, key, value, size, flags);
  std::string stored(static_cast<const char*>(value), size);
  // The kernel says EINVAL to an ACL that names an id which the filesystem cannot store.
  if (!ReplaceAclIds(rules_, stored.data(), size, ToStored)) return Errno(EINVAL);
  return inner().SetXattr(dirfd, name, key, stored.data(), stored.size(), flags);
}

}  // namespace acetate::fusefs
