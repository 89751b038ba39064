#include "fusefs/identity.h"

#include <linux/capability.h>
#include <linux/securebits.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>
#include <fstream>

#include "common/syscalls.h"

namespace acetate::fusefs {
namespace {

bool HasCapabilities(uint32_t wanted) {
  __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2] = {};
  return syscall(SYS_capget, &header, data) == 0 && (data[0].effective & wanted) == wanted;
}

thread_local const Creator* current_creator = nullptr;

// The id under which what `caller` makes is stored. The daemon's own user, an engine that prepares a container, need
// not be one of those who are shown: then it acts for the container's root.
std::optional<uint32_t> StoredId(const IdMapping& mapping, uint32_t caller, uint32_t own) {
  const std::optional<uint32_t> stored = mapping.ToStored(caller);
  return !stored.has_value() && caller == own && mapping.ToShown(0).has_value() ? 0 : stored;
}

}  // namespace

Identity::IdSet Identity::IdSet::OfMap(const char* path) {
  IdSet set;
  std::ifstream map(path);
  uint32_t inside, outside, count;
  while (map >> inside >> outside >> count) set.ranges.emplace_back(inside, count);
  return set;
}

bool Identity::IdSet::Holds(uint32_t id) const {
  for (const auto& [first, count] : ranges) {
    if (id >= first && id - first < count) return true;
  }
  return ranges.empty();
}

Identity Identity::OfProcess() {
  Identity identity;
  identity.uid_ = geteuid();
  identity.gid_ = getegid();
  identity.uids_ = IdSet::OfMap("/proc/self/uid_map");
  identity.gids_ = IdSet::OfMap("/proc/self/gid_map");
  if (HasCapabilities(1U << CAP_SETUID | 1U << CAP_SETGID | 1U << CAP_DAC_OVERRIDE | 1U << CAP_SETPCAP)) {
    int bits = prctl(PR_GET_SECUREBITS);
    identity.can_switch_ = bits >= 0 && prctl(PR_SET_SECUREBITS, bits | SECBIT_NO_SETUID_FIXUP) == 0;
  }
  return identity;
}

CallerScope::CallerScope(const Identity& identity, const Caller& caller)
    : identity_(identity),
      creator_{StoredId(identity.rules_.uids, caller.uid, identity.uid_),
               StoredId(identity.rules_.gids, caller.gid, identity.gid_)},
      uid_switched_(identity.can_switch_ && creator_.uid.value_or(identity.uid_) != identity.uid_),
      gid_switched_(identity.can_switch_ && creator_.gid.value_or(identity.gid_) != identity.gid_) {
  current_creator = &creator_;
  if (gid_switched_) sys::SetFsGid(*creator_.gid);
  if (uid_switched_) sys::SetFsUid(*creator_.uid);
}

CallerScope::~CallerScope() {
  if (uid_switched_) sys::SetFsUid(identity_.uid_);
  if (gid_switched_) sys::SetFsGid(identity_.gid_);
  current_creator = nullptr;
}

const Creator* CallerScope::Current() { return current_creator; }

}  // namespace acetate::fusefs
