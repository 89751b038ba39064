// Random operations that mostly mean something: paths are chosen from what the tree holds at the moment, and beside it.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tests/differential/op.h"
#include "tests/differential/random.h"

namespace acetate::differential {

class OpGenerator {
 public:
  explicit OpGenerator(Random& random) : random_(random) {}

  // The next operation for a tree that now looks like the one at `root`.
  Op Next(const std::string& root);

 private:
  void Look(const std::string& root);

  // Paths: of anything there, of a directory there, of a name that is probably free, and of any of these or worse.
  std::string Existing();
  std::string ExistingFile();
  std::string ExistingDirectory();
  std::string EmptyDirectory();
  std::string NewPath();
  std::string AnyPath();

  // A slot that was probably opened so; any one at times.
  int SlotFor(int access);

  Op SlotOp();
  Op OpenOp();
  Op NameOp();
  Op AttributeOp();
  Op XattrOp();
  Op LookOp();
  Op SceneOp();
  void SetTimes(Op& op);
  void SetOwner(Op& op);

  Random& random_;
  int steps_ = 0;
  std::vector<std::string> all_;
  std::vector<std::string> files_;
  std::vector<std::string> directories_;
  std::vector<std::string> empty_directories_;
  std::vector<std::string> symlinks_;
  std::vector<std::pair<std::string, std::string>> xattrs_;  // path, name
  int slot_access_[kSlots] = {-1, -1, -1, -1, -1, -1};       // O_RDONLY, O_WRONLY or O_RDWR where it was tried
};

}  // namespace acetate::differential
