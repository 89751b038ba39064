#include "fusefs/override_stat.h"

#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <cstdint>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"

namespace acetate::fusefs {
namespace {

std::string TypeName(const StatRecord& record) {
  switch (record.mode & S_IFMT) {
    case S_IFDIR:
      return "dir";
    case S_IFLNK:
      return "symlink";
    case S_IFIFO:
      return "pipe";
    case S_IFSOCK:
      return "socket";
    case S_IFBLK:
      return absl::StrCat("block-", major(record.device), "-", minor(record.device));
    case S_IFCHR:
      return absl::StrCat("char-", major(record.device), "-", minor(record.device));
    default:
      return "file";
  }
}

std::optional<uint32_t> ParseId(absl::string_view text) {
  uint32_t id;
  if (text == "-1") return static_cast<uint32_t>(-1);
  if (!absl::SimpleAtoi(text, &id)) return std::nullopt;
  return id;
}

std::optional<mode_t> ParseOctal(absl::string_view text) {
  if (text.empty() || text.size() > 7) return std::nullopt;
  mode_t mode = 0;
  for (char digit : text) {
    if (digit < '0' || digit > '7') return std::nullopt;
    mode = mode * 8 + static_cast<mode_t>(digit - '0');
  }
  return mode;
}

// Fills in type and device number; false for an unknown type.
bool ParseType(absl::string_view text, StatRecord* record) {
  // More words than are known are for later versions.
  const std::vector<absl::string_view> words = absl::StrSplit(text, '-');
  if (words[0] == "block" || words[0] == "char") {
    uint32_t major, minor;
    if (words.size() < 3 || !absl::SimpleAtoi(words[1], &major) || !absl::SimpleAtoi(words[2], &minor)) return false;
    record->mode |= words[0] == "block" ? S_IFBLK : S_IFCHR;
    record->device = makedev(major, minor);
    return true;
  }
  constexpr struct {
    absl::string_view name;
    mode_t type;
  } kTypes[] = {{"file", S_IFREG}, {"dir", S_IFDIR}, {"symlink", S_IFLNK}, {"pipe", S_IFIFO}, {"socket", S_IFSOCK}};
  for (const auto& known : kTypes) {
    if (words[0] != known.name) continue;
    record->mode |= known.type;
    return true;
  }
  return false;
}

}  // namespace

bool IsRecordKey(absl::string_view key) {
  return key == kContainersRecord || key == kFuseOverlayfsRecord || key == kPrivilegedRecord;
}

std::optional<OwnerPair> ParseOwner(absl::string_view text) {
  const std::vector<absl::string_view> fields = absl::StrSplit(text, ':');
  if (fields.size() != 2) return std::nullopt;
  const std::optional<uint32_t> uid = ParseId(fields[0]);
  const std::optional<uint32_t> gid = ParseId(fields[1]);
  if (!uid.has_value() || !gid.has_value()) return std::nullopt;
  return OwnerPair{*uid, *gid};
}

std::string FormatOwner(const OwnerPair& owner) { return absl::StrCat(owner.uid, ":", owner.gid); }

std::string FormatRecord(const StatRecord& record) {
  return absl::StrFormat("%u:%u:%04o:%s", record.uid, record.gid, record.mode & 07777, TypeName(record));
}

std::optional<StatRecord> ParseRecord(absl::string_view text, mode_t stored) {
  const std::vector<absl::string_view> fields = absl::StrSplit(text, ':');
  if (fields.size() < 3) return std::nullopt;
  const std::optional<uint32_t> uid = ParseId(fields[0]);
  const std::optional<uint32_t> gid = ParseId(fields[1]);
  const std::optional<mode_t> mode = ParseOctal(fields[2]);
  if (!uid.has_value() || !gid.has_value() || !mode.has_value()) return std::nullopt;
  StatRecord record;
  record.uid = *uid;
  record.gid = *gid;
  record.mode = *mode & 07777;  // fuse-overlayfs may leave type bits in it
  if (fields.size() == 3) {
    record.mode |= stored;
    return record;
  }
  if (!ParseType(fields[3], &record)) return std::nullopt;
  const mode_t type = record.mode & S_IFMT;
  const bool fits = stored == S_IFREG ? type != S_IFDIR && type != S_IFLNK : type == stored;
  if (!fits) return std::nullopt;
  return record;
}

}  // namespace acetate::fusefs
