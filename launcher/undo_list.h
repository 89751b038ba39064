// What one launch has made on the host, to be undone in reverse. The launcher notes each thing as it is made; the
// helper, which gets a copy by being forked, undoes them when the container has ended: it still lives when the launcher
// was killed, and in the container's user namespace it may remove files of the container's other ids.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"

namespace acetate::launcher {

class UndoList {
 public:
  enum class Kind { kFile, kEmptyDirectory, kTree, kCgroup, kLeaf };
  // kLeaf: where launch itself stepped aside to (LeaveLeaf).
  // kAlways: goes whenever the container ends. kWithContainer: stays when the container is kept.
  enum class When { kAlways, kWithContainer };

  void Add(Kind kind, When when, std::string path) { entries_.push_back({kind, when, std::move(path)}); }

  // Undoes all, or what does not belong to a kept container. Goes on after a failure and returns the first.
  absl::Status Run(bool keep_container);

 private:
  struct Entry {
    Kind kind;
    When when;
    std::string path;
  };
  std::vector<Entry> entries_;
};

}  // namespace acetate::launcher
