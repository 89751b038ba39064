#include "tests/differential/layers.h"

#include <iterator>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace acetate::differential {
namespace {

const char* const kTypeWords[] = {"dir", "file", "symlink", "node", "hardlink", "whiteout", "xattr_whiteout"};

bool IsWhiteout(const Entry& entry) {
  return entry.type == EntryType::kWhiteout || entry.type == EntryType::kXattrWhiteout;
}

// A tree under construction: what the layers seen so far show, by path.
using View = std::map<std::string, Entry>;

void EraseTree(View& view, const std::string& path) {
  view.erase(path);
  const std::string prefix = path + "/";
  auto it = view.lower_bound(prefix);
  while (it != view.end() && absl::StartsWith(it->first, prefix)) it = view.erase(it);
}

// Lays one entry of the next layer over the view.
void Apply(View& view, const Entry& entry) {
  const auto below = view.find(entry.path);
  const bool merges = entry.type == EntryType::kDirectory && !entry.opaque && below != view.end() &&
                      below->second.type == EntryType::kDirectory;
  if (entry.path.empty() && !merges) view.clear();
  if (!merges) EraseTree(view, entry.path);
  if (!IsWhiteout(entry)) view[entry.path] = entry;
}

std::string Parent(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "" : path.substr(0, slash);
}

}  // namespace

Record ToRecord(const Entry& entry) {
  Record record("entry");
  record.Number("layer", entry.layer, -1);
  record.Text("type", kTypeWords[static_cast<int>(entry.type)]);
  record.Text("path", entry.path, "\n");
  record.Octal("mode", entry.mode);
  record.Number("uid", entry.uid);
  record.Number("gid", entry.gid);
  record.Number("mtime", entry.mtime, 1000000000);
  record.Number("mtime_ns", entry.mtime_ns);
  record.Number("atime", entry.atime, 1000000001);
  record.Number("size", entry.size);
  record.Number("hole", entry.hole);
  record.Number("pattern", entry.pattern);
  record.Hex("rdev", entry.rdev);
  record.Text("target", entry.target);
  record.Number("opaque", entry.opaque);
  record.Number("xattr_whiteouts", entry.xattr_whiteouts);
  for (const auto& [name, value] : entry.xattrs) record.Text("xattr:" + Escape(name), value, "\n");
  return record;
}

Entry EntryFromRecord(const Record& record) {
  Entry entry;
  const std::string type = record.GetText("type");
  for (int i = 0; i < static_cast<int>(std::size(kTypeWords)); ++i) {
    if (type == kTypeWords[i]) entry.type = static_cast<EntryType>(i);
  }
  entry.layer = record.GetNumber("layer");
  entry.path = record.GetText("path");
  entry.mode = record.GetNumber("mode");
  entry.uid = record.GetNumber("uid");
  entry.gid = record.GetNumber("gid");
  entry.mtime = record.GetNumber("mtime", 1000000000);
  entry.mtime_ns = record.GetNumber("mtime_ns");
  entry.atime = record.GetNumber("atime", 1000000001);
  entry.size = record.GetNumber("size");
  entry.hole = record.GetNumber("hole");
  entry.pattern = record.GetNumber("pattern");
  entry.rdev = record.GetNumber("rdev");
  entry.target = record.GetText("target");
  entry.opaque = record.GetNumber("opaque") != 0;
  entry.xattr_whiteouts = record.GetNumber("xattr_whiteouts") != 0;
  for (const std::string& key : record.Keys()) {
    if (absl::StartsWith(key, "xattr:")) {
      entry.xattrs[Unescape(absl::StripPrefix(key, "xattr:"))] = record.GetText(key);
    }
  }
  return entry;
}

std::vector<Entry> Flatten(const Layers& layers) {
  View view;
  for (int layer = layers.count - 1; layer >= 0; --layer) {
    for (const Entry& entry : layers.entries) {
      if (entry.layer == layer) Apply(view, entry);
    }
  }
  std::vector<Entry> flat;
  for (auto& [path, entry] : view) {
    entry.layer = 0;
    entry.opaque = false;
    entry.xattr_whiteouts = false;
    flat.push_back(entry);
  }
  return flat;
}

Layers Sound(const Layers& layers) {
  Layers sound;
  sound.count = layers.count;
  View below;
  std::vector<std::vector<Entry>> kept(layers.count);
  for (int layer = layers.count - 1; layer >= 0; --layer) {
    View own;  // what this layer itself holds
    View view = below;
    for (const Entry& entry : layers.entries) {
      if (entry.layer != layer) continue;
      const auto parent = own.find(Parent(entry.path));
      const bool is_root = entry.path.empty();
      if (!is_root && (parent == own.end() || parent->second.type != EntryType::kDirectory)) continue;
      if (entry.type == EntryType::kHardLink && own.count(entry.target) == 0) continue;
      if (IsWhiteout(entry) && view.count(entry.path) == 0) continue;
      own[entry.path] = entry;
      Apply(view, entry);
      kept[layer].push_back(entry);
    }
    below = std::move(view);
  }
  for (const std::vector<Entry>& entries : kept) {
    sound.entries.insert(sound.entries.end(), entries.begin(), entries.end());
  }
  return sound;
}

}  // namespace acetate::differential
