// The trees under comparison. Each lives below a directory of its own, holds the same layers, and has a worker
// in it once it was entered.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tests/differential/layers.h"
#include "tests/differential/worker.h"

namespace acetate::differential {

class Tree {
 public:
  virtual ~Tree() = default;

  const std::string& name() const { return name_; }
  // Where the tree is seen from outside.
  const std::string& root() const { return root_; }
  Worker& worker() { return *worker_; }

  // Ends the worker and unmounts. Returns what was not right, such as a daemon that fails.
  virtual std::string Close() = 0;
  // The same with a daemon that gets no chance to end well.
  virtual void Kill() { Close(); }

  // A worker goes in; `since` as for Describer.
  void Enter(time_t since) { worker_ = std::make_unique<Worker>(root_, since); }

 protected:
  Tree(std::string name, std::string root) : name_(std::move(name)), root_(std::move(root)) {}
  std::string name_;
  std::string root_;
  std::unique_ptr<Worker> worker_;
};

// A union's directories: lower0 (topmost) and on, upper, work and mnt.
struct UnionDirectories {
  std::vector<std::string> lowers;
  std::string upper;
  std::string work;
  std::string mountpoint;
};

// Makes them below `base` and fills them from the layers.
UnionDirectories MaterialiseLayers(const Layers& layers, const std::string& base);

// A directory that holds the flattened layers.
std::unique_ptr<Tree> MakePlainTree(const Layers& layers, const std::string& base);

// How the kernel's overlayfs is mounted where it is the model. Not with metadata-only copies: with them, opening one
// for writing changes its time.
inline constexpr char kIdealUnion[] = "redirect_dir=on,metacopy=off,index=on";
// How it is mounted over layers that another union wrote.
inline constexpr char kReader[] = "redirect_dir=on,metacopy=on,index=on";

// The kernel's overlayfs, with these options beside the directories.
std::unique_ptr<Tree> MountKernelUnion(const std::string& name, const UnionDirectories& directories,
                                       const std::string& options);

// Any program with fuse-overlayfs's command line; "" is this build's fusefs. `max_fds`: how many it may have open, 0
// for as many as we may. `options`: more for -o.
std::unique_ptr<Tree> MountProgramUnion(const std::string& program, const UnionDirectories& directories, int max_fds,
                                        const std::vector<std::string>& options = {});

// What is wrong with how an unmounted union left its directories: whiteouts in the upper that hide nothing, something
// half made in the work directory. "" if nothing is.
std::string CheckLeftovers(const UnionDirectories& directories);

// Every line of what a directory holds.
std::string WalkText(const std::string& root, time_t since);

}  // namespace acetate::differential
