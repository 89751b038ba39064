#include "fusefs/merge_dir.h"

#include <dirent.h>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"

namespace acetate::fusefs {
namespace {

// A name while the layers are gone through from top to bottom.
struct Progress {
  size_t index = 0;            // in the result
  bool shown = false;          // an object was found
  bool hidden = false;         // a whiteout below the upper layer ended the name: nothing further down counts
  bool merging = false;        // directories only so far
  bool upper_decided = false;  // the upper layer holds an object or a whiteout here
};

}  // namespace

std::vector<MergedEntry> MergeDir(const std::vector<LayerListing>& listings) {
  std::vector<MergedEntry> merged;
  absl::flat_hash_map<absl::string_view, Progress> names;
  for (const LayerListing& listing : listings) {
    // A whiteout beside an object of its own layer hides only what is below: objects first, whiteouts after.
    for (bool whiteouts : {false, true}) {
      if (whiteouts && !listing.count_whiteouts) continue;
      for (const LayerEntry& entry : listing.entries) {
        if (entry.whiteout != whiteouts) continue;
        auto [it, added] = names.try_emplace(entry.name);
        Progress& name = it->second;
        if (added) {
          name.index = merged.size();
          merged.push_back({});
          merged.back().name = entry.name;
        }
        if (name.hidden) continue;
        MergedEntry& result = merged[name.index];
        if (whiteouts) {
          if (listing.upper && !name.shown) {
            result.whiteout = true;
            name.upper_decided = true;
          } else {
            name.hidden = true;
          }
          name.merging = false;
          continue;
        }
        if (!listing.upper) {
          result.below |= name.upper_decided;
          if (result.whiteout) continue;
        }
        if (!name.shown) {
          name.shown = true;
          name.merging = entry.type == DT_DIR;
          name.upper_decided |= listing.upper;
          result.ino = entry.ino;
          result.type = entry.type;
          result.below |= !listing.upper;
          result.in_upper = listing.upper;
          if (!listing.upper) result.lowers.push_back(listing.lower);
        } else if (name.merging && entry.type == DT_DIR) {
          result.lowers.push_back(listing.lower);
        } else {
          name.merging = false;
        }
      }
    }
  }
  // Names that only lower whiteouts mention are nothing to anybody.
  size_t kept = 0;
  for (MergedEntry& entry : merged) {
    if (!entry.whiteout && !entry.in_upper && entry.lowers.empty()) continue;
    if (&merged[kept] != &entry) merged[kept] = std::move(entry);
    ++kept;
  }
  merged.resize(kept);
  return merged;
}

}  // namespace acetate::fusefs
