// Looking up users and groups in the text of an image's /etc/passwd and /etc/group. The texts are the image's, so
// nothing is trusted: lines that are malformed are passed over, numbers are strict, the first match counts. No function
// allocates: they run in PID 1 between fork and exec.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <optional>

#include "absl/strings/string_view.h"

namespace acetate::launcher {

struct PasswdEntry {
  absl::string_view name;
  uint32_t uid = 0;
  uint32_t gid = 0;
  absl::string_view home;
};

std::optional<PasswdEntry> FindUser(absl::string_view passwd, absl::string_view name);
std::optional<PasswdEntry> FindUser(absl::string_view passwd, uint32_t uid);

std::optional<uint32_t> FindGroup(absl::string_view group, absl::string_view name);

// Writes the ids of the groups that list `user` as a member to `groups`, at most `limit` of them; returns how many.
size_t FindMemberships(absl::string_view group, absl::string_view user, gid_t* groups, size_t limit);

}  // namespace acetate::launcher
