// What is wrong with an upper layer and its work directory, and how it is put right: the work of `fusefs check`.
//
// A union that was killed leaves nothing wrong in the upper, only leftovers in the work directory. What this finds
// comes from elsewhere: layers of another format, copied without their xattrs, over other lower layers than they were
// made on, or changed by hand.
#pragma once

#include <string>
#include <vector>

#include "common/errno_or.h"
#include "fusefs/layer_walk.h"
#include "fusefs/lower_view.h"

namespace acetate::fusefs {

struct Problem {
  bool in_work = false;  // `path` is from the work directory, else from the upper layer
  std::string path;
  std::string what;
  // What a repair does, as "removes it", and has done, as "removed"; empty where nothing can be done but by hand.
  std::string remedy;
  std::string done;
  bool repaired = false;
  Errno failure;  // of the repair
};

struct LayerCheck {
  const Branch* upper = nullptr;
  LayerReading reading;
  LowerView* lowers = nullptr;  // null: what needs them is not looked for
  int work_fd = -1;             // -1: no work directory is looked at
  bool is_volatile = false;     // it carries the mark of a volatile mount, and stays as it is
  bool repair = false;
};

// Sorted by path, the work directory's last. An error: the check could not go to its end.
ErrnoOr<std::vector<Problem>> CheckLayer(const LayerCheck& check);

}  // namespace acetate::fusefs
