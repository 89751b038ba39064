// Whose files are made: the daemon acts with its own privileges, but what a caller creates must be the caller's.
//
// A daemon that may (root, or root of its user namespace) switches the filesystem ids of its thread to the caller's
// while it creates, keeping its capabilities (SECBIT_NO_SETUID_FIXUP), so the object has the right owner from its first
// moment and a setgid directory does what it does. One that may not creates files of its own user.
#pragma once

#include <sys/types.h>

namespace acetate::fusefs {

// The process that sent a request.
struct Caller {
  uid_t uid = 0;
  gid_t gid = 0;
  mode_t umask = 0;  // counts where a directory has no default ACL
};

class Identity {
 public:
  // Looks at the process's capabilities and id maps, and sets the securebits of this thread; threads started later
  // inherit them. Call once, before there are threads. Immutable afterwards.
  static Identity OfProcess();

  bool can_switch() const { return can_switch_; }

  // The id shown for what a branch says: an id that the user namespace does not map, which stat shows as the overflow
  // id, is shown as the daemon's own (root, in a container made by a user who owns only one id).
  uid_t ShownUid(uid_t uid) const { return unmapped_uid_ && uid == overflow_uid_ ? uid_ : uid; }
  gid_t ShownGid(gid_t gid) const { return unmapped_gid_ && gid == overflow_gid_ ? gid_ : gid; }

 private:
  friend class CallerScope;

  uid_t uid_ = 0;
  gid_t gid_ = 0;
  uid_t overflow_uid_ = 65534;
  gid_t overflow_gid_ = 65534;
  bool unmapped_uid_ = false;  // the overflow id is not an id of this user namespace
  bool unmapped_gid_ = false;
  bool can_switch_ = false;
};

// While it lives, what this thread creates belongs to `caller`.
class CallerScope {
 public:
  CallerScope(const Identity& identity, const Caller& caller);
  ~CallerScope();
  CallerScope(const CallerScope&) = delete;
  CallerScope& operator=(const CallerScope&) = delete;

 private:
  const Identity& identity_;
  const bool uid_switched_;
  const bool gid_switched_;
};

}  // namespace acetate::fusefs
