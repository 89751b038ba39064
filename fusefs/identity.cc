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

// Whether the id map in `path` has `id` inside.
bool Maps(const char* path, uint64_t id) {
  std::ifstream map(path);
  uint64_t inside, outside, count;
  while (map >> inside >> outside >> count) {
    if (id >= inside && id - inside < count) return true;
  }
  return false;
}

unsigned ReadNumber(const char* path, unsigned otherwise) {
  std::ifstream in(path);
  unsigned number;
  return in >> number ? number : otherwise;
}

bool HasCapabilities(uint32_t wanted) {
  __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2] = {};
  return syscall(SYS_capget, &header, data) == 0 && (data[0].effective & wanted) == wanted;
}

}  // namespace

Identity Identity::OfProcess() {
  Identity identity;
  identity.uid_ = geteuid();
  identity.gid_ = getegid();
  identity.overflow_uid_ = ReadNumber("/proc/sys/kernel/overflowuid", 65534);
  identity.overflow_gid_ = ReadNumber("/proc/sys/kernel/overflowgid", 65534);
  identity.unmapped_uid_ = !Maps("/proc/self/uid_map", identity.overflow_uid_);
  identity.unmapped_gid_ = !Maps("/proc/self/gid_map", identity.overflow_gid_);
  if (HasCapabilities(1U << CAP_SETUID | 1U << CAP_SETGID | 1U << CAP_DAC_OVERRIDE | 1U << CAP_SETPCAP)) {
    int bits = prctl(PR_GET_SECUREBITS);
    identity.can_switch_ = bits >= 0 && prctl(PR_SET_SECUREBITS, bits | SECBIT_NO_SETUID_FIXUP) == 0;
  }
  return identity;
}

CallerScope::CallerScope(const Identity& identity, const Caller& caller)
    : identity_(identity),
      uid_switched_(identity.can_switch_ && caller.uid != identity.uid_),
      gid_switched_(identity.can_switch_ && caller.gid != identity.gid_) {
  if (gid_switched_) sys::SetFsGid(caller.gid);
  if (uid_switched_) sys::SetFsUid(caller.uid);
}

CallerScope::~CallerScope() {
  if (uid_switched_) sys::SetFsUid(identity_.uid_);
  if (gid_switched_) sys::SetFsGid(identity_.gid_);
}

}  // namespace acetate::fusefs
