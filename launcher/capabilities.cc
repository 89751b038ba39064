#include "launcher/capabilities.h"

#include <sys/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace acetate::launcher {
namespace {

constexpr int kWords = _LINUX_CAPABILITY_U32S_3;

Errno Get(__user_cap_data_struct (&data)[kWords]) {
  __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  return syscall(SYS_capget, &header, data) == 0 ? kOk : Errno::Last();
}

}  // namespace

absl::StatusOr<uint64_t> ParseCapability(absl::string_view name) {
  std::string lower = absl::AsciiStrToLower(name);
  if (lower == "all") return kAllCapabilities;
  if (!absl::StartsWith(lower, "cap_")) lower = absl::StrCat("cap_", lower);
  cap_value_t value;
  // Numbers are names, too, to the library.
  if (cap_from_name(lower.c_str(), &value) != 0 || value > CAP_LAST_CAP) {
    return absl::InvalidArgumentError("is no capability; capabilities(7) lists them");
  }
  return uint64_t{1} << value;
}

uint64_t KeptCapabilities(uint64_t added, uint64_t dropped) {
  if (dropped == kAllCapabilities) return added;
  if (added == kAllCapabilities) return kAllCapabilities & ~dropped;
  return (kDefaultCapabilities & ~dropped) | added;
}

bool HasEffectiveCapability(int capability) {
  __user_cap_data_struct data[kWords] = {};
  if (!Get(data).ok()) return false;
  return (data[CAP_TO_INDEX(capability)].effective & CAP_TO_MASK(capability)) != 0;
}

Errno DropBoundingSet(uint64_t keep) {
  for (int capability = 0; capability < 64; ++capability) {
    if ((keep >> capability & 1) != 0) continue;
    // The first number that the kernel does not know ends its list.
    if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0) return errno == EINVAL ? kOk : Errno::Last();
  }
  return kOk;
}

Errno SetCapabilities(uint64_t keep) {
  prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  __user_cap_data_struct data[kWords] = {};
  ACETATE_RETURN_IF_ERROR(Get(data));
  for (int word = 0; word < kWords; ++word) {
    data[word].permitted &= static_cast<uint32_t>(keep >> (32 * word));
    data[word].effective = data[word].permitted;
    data[word].inheritable = 0;
  }
  __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  return syscall(SYS_capset, &header, data) == 0 ? kOk : Errno::Last();
}

}  // namespace acetate::launcher
