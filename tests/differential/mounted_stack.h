// A union of several branches, any of them writable, mounted for a test: the directories, the daemon and what a tree
// holds, as text. One test's own; not for concurrent use.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tests/fixture/mounted_union.h"

namespace acetate::differential {

// Every object below a directory by path: type, mode, size, contents or target, and the link count of what is no
// directory. An object that cannot be read is there with its errno.
using TreeTexts = std::map<std::string, std::string>;
TreeTexts TreeOf(const std::string& dir);

// The first path in which two trees differ, with both sides; empty when there is none.
std::string FirstDifference(const TreeTexts& got, const TreeTexts& want);

class MountedStack {
 public:
  // `modes` as in --branches, top first. Branch N is BASE/N/branch: the work directory beside it is on its filesystem.
  MountedStack(std::string base, std::vector<std::string> modes);

  std::string Branch(size_t n) const { return base_ + "/" + std::to_string(n) + "/branch"; }
  std::string Path(const std::string& path) const { return base_ + "/mnt" + (path.empty() ? "" : "/" + path); }
  size_t size() const { return modes_.size(); }
  bool HasMarks(size_t n) const { return modes_[n].find("dotwh") != std::string::npos; }

  // Throws std::runtime_error when the union cannot be mounted.
  void Mount(const std::vector<std::string>& options = {});
  // The exit status of the daemon.
  int Unmount();
  std::string Log() const { return union_->Log(); }

 private:
  const std::string base_;
  const std::vector<std::string> modes_;
  std::unique_ptr<MountedUnion> union_;
};

}  // namespace acetate::differential
