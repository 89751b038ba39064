// For tests of what a killed daemon leaves in a stack of any branches: an operation is done in a child process that
// dies before its N-th change of the disk, for every N, and the stack is looked at by a union made anew each time.
//
// All writable branches have the fault points of crash_scene.h.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "fusefs/stack_scene.h"

namespace acetate::fusefs {

struct CrashCase {
  std::vector<std::string> modes;               // as in --branches, top first
  std::function<void(StackScene&)> build;       // what the branches hold
  std::function<int(StackScene&)> act;          // one operation; its errno
  std::function<void(StackScene&)> clear = {};  // undoes `build` where removing the files does not
  // What may be left over in between, as "BRANCH/PATH", because it changes nothing; the test says why.
  std::vector<std::string> needless = {};
  // Whether the operation can be done again after each death.
  bool done_again = true;
};

// Expects of every death: the tree as before or as after, and never as before again at a later step; the same for a
// read-only union; clean work directories; no name in any branch that it has neither before nor after and that is not
// shown, but for opaque marks of directories about to be renamed (docs/format.md); and that the operation, done again
// where it had not happened, leads to the tree after it.
void KillAtEveryStep(const CrashCase& crash_case);

}  // namespace acetate::fusefs
