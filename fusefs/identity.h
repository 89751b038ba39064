// Whose files are made: the daemon acts with its own privileges, but what a caller creates must be the caller's.
//
// A daemon that may (root, or root of its user namespace) switches the filesystem ids of its thread to the caller's
// while it creates, keeping its capabilities (SECBIT_NO_SETUID_FIXUP), so the object has the right owner from its first
// moment and a setgid directory does what it does. One that may not creates files of its own user.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "fusefs/id_mapping.h"

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
  // inherit them. Call once, before there are threads. Immutable once a union has it.
  static Identity OfProcess();

  bool can_switch() const { return can_switch_; }

  // Callers' ids are what `rules` show; what they create is stored under the ids behind those.
  void Follow(const OwnerRules& rules) { rules_ = rules; }
  // Everything on disk stays the daemon's own: owners are recorded elsewhere (override_branch.h).
  void KeepOwn() { can_switch_ = false; }

  // The id shown for what a branch says: an id that the user namespace does not map, which nobody in the mount could
  // name, is shown as the daemon's own (root, in a container made by a user who owns only one id). stat shows such an
  // owner as the overflow id, which the namespace may or may not map itself.
  uid_t ShownUid(uid_t uid) const { return uids_.Holds(uid) ? uid : uid_; }
  gid_t ShownGid(gid_t gid) const { return gids_.Holds(gid) ? gid : gid_; }

 private:
  friend class CallerScope;

  // The ids of a user namespace.
  struct IdSet {
    std::vector<std::pair<uint32_t, uint32_t>> ranges;  // first, count; none: all ids
    static IdSet OfMap(const char* path);
    bool Holds(uint32_t id) const;
  };

  uid_t uid_ = 0;
  gid_t gid_ = 0;
  IdSet uids_;
  IdSet gids_;
  OwnerRules rules_;
  bool can_switch_ = false;
};

// Who will own what is created, as the layers store it. None: the caller's id has no counterpart there.
struct Creator {
  std::optional<uid_t> uid;
  std::optional<gid_t> gid;
};

// While it lives, what this thread creates belongs to `caller`. One at a time.
class CallerScope {
 public:
  CallerScope(const Identity& identity, const Caller& caller);
  ~CallerScope();
  CallerScope(const CallerScope&) = delete;
  CallerScope& operator=(const CallerScope&) = delete;

  // Of the scope that this thread is in; null outside of any, where the daemon works for itself.
  static const Creator* Current();

 private:
  const Identity& identity_;
  const Creator creator_;
  const bool uid_switched_;
  const bool gid_switched_;
};

}  // namespace acetate::fusefs
