#include "fusefs/merge_dir.h"

#include <dirent.h>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"

namespace acetate::fusefs {
namespace {

// A name while the layers are gone through from top to bottom.
struct Progress {
  size_t index = 0;      // in the result
  bool merging = false;  // directories only so far
  bool closed = false;   // nothing further down counts, nor would it if the topmost layer held nothing
};

void AddWhiteout(const LayerEntry& found, uint16_t layer, Progress* name, MergedEntry* entry) {
  if (entry->end == MergedEntry::kNone) entry->end = layer;
  if (entry->layers.empty() && entry->end == layer) entry->ino = found.ino;
  // Of a hidden name, what is below the topmost whiteout is of interest up to the next one.
  name->closed = !entry->layers.empty() || entry->end != layer;
  name->merging = false;
}

void AddObject(const LayerEntry& found, uint16_t layer, Progress* name, MergedEntry* entry) {
  if (entry->layers.empty() && entry->end == MergedEntry::kNone) {
    entry->ino = found.ino;
    entry->type = found.type;
    entry->layers.push_back(layer);
    name->merging = found.type == DT_DIR;
    return;
  }
  entry->below = true;
  if (name->merging && found.type == DT_DIR) {
    entry->layers.push_back(layer);
    return;
  }
  if (name->merging) entry->end = layer;
  name->merging = false;
}

}  // namespace

std::vector<MergedEntry> MergeDir(const std::vector<LayerListing>& listings) {
  std::vector<MergedEntry> merged;
  absl::flat_hash_map<absl::string_view, Progress> names;
  for (size_t i = 0; i < listings.size(); ++i) {
    const auto layer = static_cast<uint16_t>(i);
    // A whiteout beside an object of its own layer hides only what is below: objects first, whiteouts after.
    for (bool whiteouts : {false, true}) {
      if (whiteouts && !listings[i].count_whiteouts) continue;
      for (const LayerEntry& entry : listings[i].entries) {
        if (entry.whiteout != whiteouts) continue;
        auto [it, added] = names.try_emplace(entry.name);
        Progress& name = it->second;
        if (added) {
          name.index = merged.size();
          merged.push_back({});
          merged.back().name = entry.name;
        }
        if (name.closed) continue;
        if (whiteouts) {
          AddWhiteout(entry, layer, &name, &merged[name.index]);
        } else {
          AddObject(entry, layer, &name, &merged[name.index]);
        }
      }
    }
  }
  return merged;
}

}  // namespace acetate::fusefs
