// For tests: a union over any stack of branches, each a directory of a temporary directory, without a mount.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "common/temp_dir.h"
#include "fusefs/union_fs.h"

namespace acetate::fusefs {

class StackScene {
 public:
  // `modes` as in --branches, top first: "rw", "ro+wh", "rw+dotwh"... Branch N is the directory "N", its work directory
  // "workN".
  explicit StackScene(std::vector<std::string> modes);

  // Path of a branch, or of what is in it: "0/dir/file".
  std::string operator/(const std::string& path) const { return temp_ / path; }
  // A file of a branch, with the directories above it.
  void Put(const std::string& path, const std::string& contents, mode_t mode = 0644);

  // Makes the union anew from what the branches hold.
  void Start();
  // What another program would see: a read-only union of the same branches.
  std::unique_ptr<UnionFs> Reader();

  // The node at a path, each name looked up and never forgotten; 0 when there is none.
  NodeId Node(const std::string& path) { return NodeIn(*fs_, path); }
  static NodeId NodeIn(UnionFs& fs, const std::string& path);
  std::string Contents(const std::string& path);
  // Acts at a path; errno values.
  int Write(const std::string& path, const std::string& data, off_t offset = 0);
  int MkDir(const std::string& path);
  int Create(const std::string& path, const std::string& contents = "");
  int Unlink(const std::string& path);
  int RmDir(const std::string& path);
  int Rename(const std::string& from, const std::string& to, unsigned flags = 0);
  int Chmod(const std::string& path, mode_t mode);

  // What a union shows, by path: type, mode and what it holds.
  static std::map<std::string, std::string> Tree(UnionFs& fs);
  std::map<std::string, std::string> Tree() { return Tree(*fs_); }
  // What branch N holds, sorted: "dir/", "file", "name (whiteout)".
  std::vector<std::string> Held(int branch) const;
  // Whether nothing but templates is in the work directories.
  bool WorkIsClean() const;

  Options options_;
  Stats stats_;
  std::unique_ptr<UnionFs> fs_;

 private:
  std::unique_ptr<UnionFs> Make(bool writable);

  TempDir temp_;
  const std::vector<std::string> modes_;
};

// A path of a union: the node of its directory, 0 when there is none, and its last name.
struct ParentAndName {
  NodeId parent = 0;
  std::string name;
};
ParentAndName Split(UnionFs& fs, const std::string& path);

}  // namespace acetate::fusefs
