// Merging the listings of one directory's layers into the union's listing. Pure: values in, values out.
//
// The rules are those of the kernel's ovl_dir_read_merged() and ovl_lookup(): the topmost layer that holds a name
// decides what it is; a whiteout hides the name in all layers below; directories of one name are merged down to the
// first layer that holds something else there.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace acetate::fusefs {

// What one layer holds under a name. Whiteouts of all encodings have been recognised by now.
struct LayerEntry {
  std::string name;
  uint64_t ino = 0;
  unsigned char type = 0;  // DT_*
  bool whiteout = false;
};

// One layer's listing of the directory.
struct LayerListing {
  // Whether this layer's whiteouts count; where they do not, they are merely no entries.
  bool count_whiteouts = true;
  std::vector<LayerEntry> entries;
};

struct MergedEntry {
  static constexpr uint16_t kNone = 0xffff;

  std::string name;
  uint64_t ino = 0;        // in the topmost layer; of a name that is hidden, the whiteout's
  unsigned char type = 0;  // DT_*
  // The layers that make up the object, as positions among the listings, top first: one, or for a directory all that
  // are merged; none when nothing is shown.
  std::vector<uint16_t> layers;
  // The first layer below which nothing counts for the name: it holds a whiteout or, under a directory, something else
  // than a directory.
  uint16_t end = kNone;
  // Something would show through if the topmost layer that holds the object, or hides it, held nothing here: removal
  // must leave a whiteout.
  bool below = false;

  bool whiteout() const { return layers.empty(); }
};

// `listings` top first. The order of the result is the order of first appearance. Names that whiteouts alone mention
// are in it.
std::vector<MergedEntry> MergeDir(const std::vector<LayerListing>& listings);

}  // namespace acetate::fusefs
