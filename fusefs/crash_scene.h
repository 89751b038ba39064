// For tests of what a killed daemon leaves: a rich set of layers, a union over them in a child process that dies before
// its N-th change of the disk, and the tree that a union made anew over the remains shows.
//
// Deaths are counted at the calls of Branch that change something, and at the system calls that write contents by fd
// (crash_calls.cc puts itself before libc's). No mount is needed: the child calls UnionFs directly.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "common/temp_dir.h"
#include "common/unique_fd.h"
#include "fusefs/branch.h"
#include "fusefs/layer_scene.h"
#include "fusefs/union_fs.h"

namespace acetate::fusefs {

// The fault point: where this process dies. The changes of all its threads are counted together.
class FaultPoint {
 public:
  // From now on the process ends, with kDied, at the `nth` change, counted from 1.
  static void Arm(int nth);
  // Called before each change.
  static void Reach();

  static constexpr int kDied = 77;
};

// A directory as a branch that comes to the fault point before each of its changes.
std::unique_ptr<Branch> MakeFaultyBranch(const BranchSpec& spec, BranchId id, UniqueFd dir);

// A union over the layers of a scene, with operations by path.
class CrashUnion {
 public:
  // Read-write, its upper a branch with fault points. `ok()` is false when the union could not be made.
  CrashUnion(const LayerScene& scene, const Options& options);
  bool ok() const { return fs_ != nullptr; }

  UnionFs& fs() { return *fs_; }
  // The root for "" and what there is at other paths; the process ends when there is none.
  NodeId Node(const std::string& path);

  // Every object by path: type, mode, owner, device, size, contents, target, xattrs, which names are one object, and if
  // wanted of what is no directory the link count and the modification time, unless that is from this test.
  std::string Tree(bool times, bool links);

 private:
  std::string Describe(const Entry& entry, bool times, bool links);

  Stats stats_;
  std::unique_ptr<UnionFs> fs_;
};

// Puts the tests' temporary directories on a tmpfs of their own, where that can be had: there are thousands of layers
// to be made and removed.
class OnTmpfs : public ::testing::Environment {
 public:
  void SetUp() override;
  void TearDown() override;

 private:
  std::unique_ptr<TempDir> dir_;
};

// The layers that the operations work on.
void BuildLayers(LayerScene* scene);

// What `fusefs check` says of the scene's upper layer and work directory; empty when all is well.
std::vector<std::string> CheckScene(const LayerScene& scene);

}  // namespace acetate::fusefs
