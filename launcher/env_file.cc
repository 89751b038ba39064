#include "launcher/env_file.h"

#include <fcntl.h>

#include <cstring>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "launcher/files.h"
#include "launcher/spec.h"

namespace acetate::launcher {
namespace {

// Of variables there are never so many; a device or a disk image given by mistake has more.
constexpr size_t kLargestFile = 1 << 20;

}  // namespace

absl::StatusOr<std::vector<std::string>> ParseEnvironmentFile(absl::string_view text, const char* const* environ) {
  std::vector<std::string> entries;
  int number = 0;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    ++number;
    line = absl::StripLeadingAsciiWhitespace(absl::StripSuffix(line, "\r"));
    if (line.empty() || line[0] == '#') continue;
    if (line.find('\0') != line.npos) return absl::InvalidArgumentError(absl::StrCat("has a NUL in line ", number));
    const absl::string_view name = line.substr(0, line.find('='));
    if (name.find_first_of(" \t") != name.npos) {
      return absl::InvalidArgumentError(absl::StrCat("has in line ", number, " a name with a space in it"));
    }
    absl::StatusOr<std::optional<std::string>> entry = ParseEnvironment(line, environ);
    if (!entry.ok()) return absl::InvalidArgumentError(absl::StrCat("has in line ", number, " no name before '='"));
    if (entry->has_value()) entries.push_back(**std::move(entry));
  }
  return entries;
}

absl::StatusOr<std::vector<std::string>> ReadEnvironmentFile(const std::string& path, const char* const* environ) {
  ErrnoOr<std::string> text = ReadFileAt(AT_FDCWD, path.c_str(), kLargestFile);
  if (!text.ok()) {
    return absl::InvalidArgumentError(absl::StrCat("cannot be read: ", strerrordesc_np(text.error().value())));
  }
  return ParseEnvironmentFile(*text, environ);
}

}  // namespace acetate::launcher
