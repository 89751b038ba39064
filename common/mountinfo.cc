#include "common/mountinfo.h"

#include <fstream>
#include <sstream>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"

namespace acetate {
namespace {

// Undoes the kernel's mangle(): \040 and its like.
std::string Unescape(absl::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    auto octal = [&](size_t k) { return text[i + k] >= '0' && text[i + k] <= '7'; };
    if (text[i] == '\\' && i + 3 < text.size() && octal(1) && octal(2) && octal(3)) {
      out.push_back(static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + (text[i + 3] - '0')));
      i += 3;
    } else {
      out.push_back(text[i]);
    }
  }
  return out;
}

}  // namespace

std::vector<MountInfo> ParseMountInfo(absl::string_view text) {
  std::vector<MountInfo> mounts;
  for (absl::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    std::vector<absl::string_view> fields = absl::StrSplit(line, ' ');
    // Optional fields end at "-".
    size_t dash = 6;
    while (dash < fields.size() && fields[dash] != "-") ++dash;
    if (dash + 3 >= fields.size()) continue;
    std::vector<absl::string_view> device = absl::StrSplit(fields[2], ':');
    MountInfo mount;
    if (device.size() != 2 || !absl::SimpleAtoi(fields[0], &mount.id) ||
        !absl::SimpleAtoi(fields[1], &mount.parent_id) || !absl::SimpleAtoi(device[0], &mount.major) ||
        !absl::SimpleAtoi(device[1], &mount.minor)) {
      continue;
    }
    mount.root = Unescape(fields[3]);
    mount.mount_point = Unescape(fields[4]);
    mount.options = std::string(fields[5]);
    mount.fs_type = std::string(fields[dash + 1]);
    mount.source = Unescape(fields[dash + 2]);
    mount.super_options = std::string(fields[dash + 3]);
    mounts.push_back(std::move(mount));
  }
  return mounts;
}

std::vector<MountInfo> ReadMountInfo() {
  std::ifstream in("/proc/self/mountinfo");
  std::stringstream text;
  text << in.rdbuf();
  return ParseMountInfo(text.str());
}

}  // namespace acetate
