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
  bool upper = false;
  uint16_t lower = 0;  // of a lower layer: its position among the directory's lower layers, 0 on top
  // Whether this layer's whiteouts count; where they do not, they are merely no entries.
  bool count_whiteouts = true;
  std::vector<LayerEntry> entries;
};

struct MergedEntry {
  std::string name;
  // Nothing is shown under the name, but the upper layer holds a whiteout there.
  bool whiteout = false;
  uint64_t ino = 0;
  unsigned char type = 0;
  // The layers that make up the object: one, or for a directory all that are merged. Lower ones by position, top first.
  bool in_upper = false;
  std::vector<uint16_t> lowers;
  // Some lower layer would show through if the upper layer held nothing here: removal must leave a whiteout.
  bool below = false;
};

// `listings` top first. The order of the result is the order of first appearance.
std::vector<MergedEntry> MergeDir(const std::vector<LayerListing>& listings);

}  // namespace acetate::fusefs
