// Who the container's users are on the host: the maps of its user namespace, and how they get written.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace acetate::launcher {

struct IdRange {
  uint32_t inside = 0;
  uint32_t outside = 0;
  uint32_t count = 0;
};

// Some of the subordinate ids that a user has, which are counted from 0 in the order of /etc/subuid and /etc/subgid.
struct IdSlice {
  uint32_t first = 0;
  uint32_t count = 0;
};

struct Identity {
  enum class Method {
    kSingle,       // root inside is the user, and there is no one else
    kSubordinate,  // root inside is the user; 1 and up are the user's ranges of /etc/subuid and /etc/subgid
    kMirror,       // launched by root: every id is itself
    kHost,         // launched by root, and no user namespace is made
  };
  Method method = Method::kSingle;
  // Of the helper's namespace.
  std::vector<IdRange> uids;
  std::vector<IdRange> gids;
  // Of the container's own namespace inside of the helper's; outside is the helper's. Empty: it has none of its own.
  std::vector<IdRange> inner_uids;
  std::vector<IdRange> inner_gids;
  std::optional<IdSlice> slice;  // which subordinate ids those are, if no other container may have them
  bool may_set_groups = false;
  std::string newuidmap;  // paths of the helpers, for kSubordinate
  std::string newgidmap;

  bool has_inner() const { return !inner_uids.empty(); }
  // Of the container.
  bool MapsUid(uint32_t uid) const;
  bool MapsGid(uint32_t gid) const;
};

// All that the choice depends on.
struct IdentitySources {
  uid_t uid = 0;  // effective
  gid_t gid = 0;
  bool may_map_any = false;  // CAP_SETUID and CAP_SETGID in the present user namespace
  std::string user_name;
  std::string subuid;  // text of /etc/subuid
  std::string subgid;
  std::string own_uid_map;  // text of /proc/self/uid_map
  std::string own_gid_map;
  std::string own_setgroups;  // text of /proc/self/setgroups
  std::string newuidmap;      // path; empty when not found
  std::string newgidmap;
};

IdentitySources ReadIdentitySources();
// Those of root, who else needs none.
void ReadSubordinateIds(IdentitySources* sources);

// An error only when the user has subordinate ids but not the helpers that hand them out.
absl::StatusOr<Identity> ChooseIdentity(const IdentitySources& sources);

// The ranges that a file of subuid(5) format grants to a user, named or numbered, in the file's order.
std::vector<IdRange> ParseSubordinate(absl::string_view text, absl::string_view user_name, uid_t uid);

// Ranges as the kernel's *id_map files show them.
std::vector<IdRange> ParseIdMap(absl::string_view text);

// Writes the maps of process `pid`, which is in a new user namespace of the caller's making; nothing for kHost. 0 is
// the calling process itself, which for kSingle may write its own.
absl::Status WriteIdMaps(const Identity& identity, pid_t pid);

// Writes the maps of process `pid`, which has been born into a namespace inside of the caller's.
absl::Status WriteInnerIdMaps(const Identity& identity, pid_t pid);

// The setting that forbids user namespaces here and how to change it, for the end of an error message; empty when
// none is known.
std::string UserNamespaceHint();

}  // namespace acetate::launcher
