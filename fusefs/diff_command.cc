#include "fusefs/diff_command.h"

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "fusefs/open_layer.h"
#include "fusefs/path_text.h"

namespace acetate::fusefs {
namespace {

const char* NameOf(ChangeKind kind) {
  switch (kind) {
    case ChangeKind::kAdded:
      return "added";
    case ChangeKind::kChanged:
      return "changed";
    case ChangeKind::kMetadata:
      return "attributes";
    case ChangeKind::kDeleted:
      return "deleted";
    case ChangeKind::kReplaced:
      return "replaced";
    case ChangeKind::kRenamed:
      return "renamed";
    case ChangeKind::kNeedless:
      return "needless whiteout";
  }
  return "";
}

const char* NameOf(mode_t type) {
  switch (type) {
    case S_IFDIR:
      return "directory";
    case S_IFREG:
      return "file";
    case S_IFLNK:
      return "symlink";
    case S_IFIFO:
      return "fifo";
    case S_IFSOCK:
      return "socket";
    case S_IFCHR:
    case S_IFBLK:
      return "device";
    default:
      return "whiteout";
  }
}

nlohmann::json ToJson(const Change& change) {
  nlohmann::json object = {{"change", NameOf(change.kind)}, {"type", NameOf(change.type)}};
  PutPath(&object, "path", change.path);
  if (change.kind == ChangeKind::kRenamed) PutPath(&object, "from", change.old_path);
  return object;
}

}  // namespace

std::string FormatDiff(const std::vector<Change>& changes, bool exact, bool json) {
  if (json) {
    nlohmann::json list = nlohmann::json::array();
    for (const Change& change : changes) list.push_back(ToJson(change));
    return absl::StrCat(nlohmann::json({{"exact", exact}, {"changes", std::move(list)}}).dump(), "\n");
  }
  std::string text;
  for (const Change& change : changes) {
    absl::StrAppend(&text, std::string(1, static_cast<char>(change.kind)), " ");
    if (change.kind == ChangeKind::kRenamed) absl::StrAppend(&text, PathText(change.old_path), " -> ");
    absl::StrAppend(&text, PathText(change.path), "\n");
  }
  return text;
}

absl::StatusOr<std::string> DiffOutput(const CommandLine& line) {
  absl::StatusOr<OpenedLayer> layer = OpenLayer(line, /*exclusive=*/false);
  if (!layer.ok()) return layer.status();
  absl::StatusOr<std::vector<Change>> changes = DiffLayer(*layer->upper, layer->reading, layer->lowers.get());
  if (!changes.ok()) return changes.status();
  return FormatDiff(*changes, layer->lowers != nullptr, line.json);
}

}  // namespace acetate::fusefs
