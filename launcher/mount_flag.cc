#include "launcher/mount_flag.h"

#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace acetate::launcher {
namespace {

struct Options {
  std::string type, source, target, size, mode;
  bool read_only = false;
};

// The option that a key names; null for none.
std::string* TextOf(absl::string_view key, Options* options) {
  if (key == "type") return &options->type;
  if (key == "source" || key == "src") return &options->source;
  if (key == "target" || key == "destination" || key == "dst") return &options->target;
  if (key == "tmpfs-size") return &options->size;
  if (key == "tmpfs-mode") return &options->mode;
  return nullptr;
}

absl::StatusOr<Options> ReadOptions(absl::string_view text) {
  Options options;
  for (absl::string_view option : absl::StrSplit(text, ',')) {
    const std::pair<absl::string_view, absl::string_view> parts = absl::StrSplit(option, absl::MaxSplits('=', 1));
    const auto& [key, value] = parts;
    if (key == "readonly" || key == "ro") {
      if (!value.empty() && value != "true" && value != "false") {
        return absl::InvalidArgumentError(absl::StrCat("has a ", key, " that is neither true nor false"));
      }
      options.read_only = value != "false";
      continue;
    }
    std::string* known = TextOf(key, &options);
    if (known == nullptr) {
      return absl::InvalidArgumentError(absl::StrCat("has the option \"", key,
                                                     "\", which is none of type, source, target, readonly, tmpfs-size "
                                                     "and tmpfs-mode"));
    }
    if (value.empty()) return absl::InvalidArgumentError(absl::StrCat("has a ", key, " without a value"));
    *known = std::string(value);
  }
  return options;
}

}  // namespace

absl::StatusOr<std::variant<Volume, Tmpfs>> ParseMount(absl::string_view text) {
  absl::StatusOr<Options> options = ReadOptions(text);
  if (!options.ok()) return options.status();
  if (options->type != "bind" && options->type != "tmpfs") {
    return absl::InvalidArgumentError("is of no type that there is; write type=bind or type=tmpfs");
  }
  if (options->target.empty()) return absl::InvalidArgumentError("has no target");
  if (!absl::StartsWith(options->target, "/")) {
    return absl::InvalidArgumentError("has a target that is not absolute");
  }
  if (CleanPath(options->target) == "/") return absl::InvalidArgumentError("would cover the container's root");
  const bool has_tmpfs_options = !options->size.empty() || !options->mode.empty();
  if (options->type == "bind") {
    if (options->source.empty()) return absl::InvalidArgumentError("has no source");
    if (has_tmpfs_options) return absl::InvalidArgumentError("has options of a tmpfs, and is none");
    return Volume{options->source, CleanPath(options->target), options->read_only};
  }
  if (!options->source.empty()) return absl::InvalidArgumentError("has a source, which a tmpfs has not");
  // The values are those of --tmpfs, which a colon ends the path of.
  if (absl::StrContains(options->target, ":")) return absl::InvalidArgumentError("has a target with a colon in it");
  return ParseTmpfs(absl::StrCat(options->target, ":", options->read_only ? "ro," : "",
                                 options->size.empty() ? "" : absl::StrCat("size=", options->size, ","),
                                 options->mode.empty() ? "" : absl::StrCat("mode=", options->mode)));
}

}  // namespace acetate::launcher
