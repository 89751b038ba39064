// Ids that a container's processes believe they have (--fake_ids), where only one really exists: what the set*id and
// get*id calls do and answer, by the kernel's rules. Nothing follows from them, every process remains the one real
// user; they let programs go on that drop root's rights, or check that they have.
//
// Pure.
#pragma once

#include <sys/types.h>

#include <compare>
#include <cstdint>
#include <vector>

#include "common/errno_or.h"

namespace acetate::launcher {

// A user's or a group's ids of a process: real, effective, saved, of the filesystem.
struct FakeIdSet {
  uint32_t real = 0;
  uint32_t effective = 0;
  uint32_t saved = 0;
  uint32_t filesystem = 0;
  auto operator<=>(const FakeIdSet&) const = default;  // NOLINT(modernize-use-nullptr): none is there
};

// Root's, as every process of the container begins.
struct FakeIds {
  FakeIdSet user;
  FakeIdSet group;
  std::vector<gid_t> groups;
  // Of who has no id that is root's: whether it kept root's capabilities (PR_SET_KEEPCAPS) when it gave up the last.
  // What is lost with exec is not noticed.
  bool keeps_capabilities = false;
  bool capable = false;
  auto operator<=>(const FakeIds&) const = default;  // NOLINT(modernize-use-nullptr): none is there

  // Whether it may change ids and give files away.
  bool is_root() const { return HasRoot() ? user.effective == 0 : capable; }
  bool HasRoot() const { return user.real == 0 || user.effective == 0 || user.saved == 0; }
  // To be called when `user` was changed (cap_emulate_setxuid()).
  void UserChanged(bool had_root) {
    if (HasRoot()) capable = false;
    if (had_root && !HasRoot()) capable = keeps_capabilities;
  }
  bool Holds(gid_t gid) const;  // among the effective and the further groups
};

// Whom the container's processes begin as, for whoever answers them; plain, to be sent.
struct FakeUser {
  uint32_t uid = 0;
  uint32_t gid = 0;
  uint32_t group_count = 0;
  gid_t groups[250] = {};
};
FakeIds IdsOf(const FakeUser& user);

inline constexpr uint32_t kUnchangedId = static_cast<uint32_t>(-1);

// The calls that change one of the two sets, of a process that is `root` or not. EPERM and EINVAL as in the kernel
// (__sys_setuid() and its like); an error leaves `ids` as they were.
Errno SetId(uint32_t id, bool root, FakeIdSet* ids);
Errno SetRealAndEffective(uint32_t real, uint32_t effective, bool root, FakeIdSet* ids);
Errno SetAllThree(uint32_t real, uint32_t effective, uint32_t saved, bool root, FakeIdSet* ids);
// Returns the one from before; one that may not be had changes nothing.
uint32_t SetFilesystemId(uint32_t id, bool root, FakeIdSet* ids);

// Whether a process may give what `owner` and `group` own to these (chown_common()). -1 leaves one as it is.
bool MayGive(const FakeIds& ids, uint32_t owner, uint32_t uid, uint32_t gid);

}  // namespace acetate::launcher
