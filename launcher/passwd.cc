#include "launcher/passwd.h"

#include <limits>

namespace acetate::launcher {
namespace {

// Takes what stands before the first `separator` off the text, and the separator.
absl::string_view TakeUntil(char separator, absl::string_view* text) {
  size_t end = text->find(separator);
  absl::string_view part = text->substr(0, end);
  text->remove_prefix(end == absl::string_view::npos ? text->size() : end + 1);
  return part;
}

std::optional<uint32_t> ParseId(absl::string_view text) {
  uint64_t id = 0;
  if (text.empty() || text.size() > 10) return std::nullopt;
  for (char c : text) {
    if (c < '0' || c > '9') return std::nullopt;
    id = id * 10 + static_cast<uint64_t>(c - '0');
  }
  if (id >= std::numeric_limits<uint32_t>::max()) return std::nullopt;
  return static_cast<uint32_t>(id);
}

// name:password:uid:gid:comment:home:shell
std::optional<PasswdEntry> ParseUserLine(absl::string_view line) {
  PasswdEntry entry;
  entry.name = TakeUntil(':', &line);
  TakeUntil(':', &line);
  std::optional<uint32_t> uid = ParseId(TakeUntil(':', &line));
  std::optional<uint32_t> gid = ParseId(TakeUntil(':', &line));
  TakeUntil(':', &line);
  entry.home = TakeUntil(':', &line);
  if (entry.name.empty() || !uid.has_value() || !gid.has_value()) return std::nullopt;
  entry.uid = *uid;
  entry.gid = *gid;
  return entry;
}

struct GroupEntry {
  absl::string_view name;
  uint32_t gid = 0;
  absl::string_view members;
};

// name:password:gid:member,member
std::optional<GroupEntry> ParseGroupLine(absl::string_view line) {
  GroupEntry entry;
  entry.name = TakeUntil(':', &line);
  TakeUntil(':', &line);
  std::optional<uint32_t> gid = ParseId(TakeUntil(':', &line));
  if (entry.name.empty() || !gid.has_value()) return std::nullopt;
  entry.gid = *gid;
  entry.members = TakeUntil(':', &line);
  return entry;
}

template <typename Matches>
std::optional<PasswdEntry> FindUserIf(absl::string_view passwd, Matches matches) {
  while (!passwd.empty()) {
    std::optional<PasswdEntry> entry = ParseUserLine(TakeUntil('\n', &passwd));
    if (entry.has_value() && matches(*entry)) return entry;
  }
  return std::nullopt;
}

}  // namespace

std::optional<PasswdEntry> FindUser(absl::string_view passwd, absl::string_view name) {
  return FindUserIf(passwd, [&](const PasswdEntry& entry) { return entry.name == name; });
}

std::optional<PasswdEntry> FindUser(absl::string_view passwd, uint32_t uid) {
  return FindUserIf(passwd, [&](const PasswdEntry& entry) { return entry.uid == uid; });
}

std::optional<uint32_t> FindGroup(absl::string_view group, absl::string_view name) {
  while (!group.empty()) {
    std::optional<GroupEntry> entry = ParseGroupLine(TakeUntil('\n', &group));
    if (entry.has_value() && entry->name == name) return entry->gid;
  }
  return std::nullopt;
}

size_t FindMemberships(absl::string_view group, absl::string_view user, gid_t* groups, size_t limit) {
  size_t count = 0;
  while (!group.empty() && count < limit) {
    std::optional<GroupEntry> entry = ParseGroupLine(TakeUntil('\n', &group));
    if (!entry.has_value()) continue;
    for (absl::string_view members = entry->members; !members.empty() && count < limit;) {
      if (TakeUntil(',', &members) == user) {
        groups[count++] = entry->gid;
        break;
      }
    }
  }
  return count;
}

}  // namespace acetate::launcher
