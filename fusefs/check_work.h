// The part of `fusefs check` that looks at the work directory.
#pragma once

#include <vector>

#include "common/errno_or.h"
#include "fusefs/layer_check.h"

namespace acetate::fusefs {

// Appends what is wrong in `check.work_fd`: what was being built or taken apart when a union was killed, and entries of
// the index of hard links that no name leads to any more.
Errno CheckWorkDir(const LayerCheck& check, std::vector<Problem>* problems);

}  // namespace acetate::fusefs
