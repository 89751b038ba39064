// What an upper layer changes of the layers below it, as a list: the work of `fusefs diff`.
#pragma once

#include <sys/stat.h>

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "fusefs/layer_walk.h"
#include "fusefs/lower_view.h"

namespace acetate::fusefs {

// The letters are those that are printed.
enum class ChangeKind : char {
  kAdded = 'A',
  kChanged = 'C',   // other contents, and perhaps other attributes
  kMetadata = 'M',  // other attributes only
  kDeleted = 'D',
  kReplaced = 'O',  // opaque directory, or something of another type: all below it is hidden
  kRenamed = 'R',
  kNeedless = 'N',  // a whiteout that hides nothing
};

struct Change {
  ChangeKind kind;
  std::string path;
  std::string old_path;  // of kRenamed: where it lies in the lower layers
  mode_t type = 0;       // S_IFMT bits of what the upper holds; 0 for whiteouts
};

// Sorted by path. `lowers` may be null. Then the marks in the layer are all there is to go by: what carries no
// mark of its origin counts as added, what carries one as changed, and every whiteout as a deletion.
absl::StatusOr<std::vector<Change>> DiffLayer(const Branch& upper, const LayerReading& reading, LowerView* lowers);

}  // namespace acetate::fusefs
