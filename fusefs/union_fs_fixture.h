// A union over directories of a temporary directory, without a mount: the layers are given as files, the operations
// called directly, the layers looked at afterwards.
#pragma once

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "common/temp_dir.h"
#include "fusefs/union_fs.h"

namespace acetate::fusefs {

// A branch whose calls can be made to fail: `failing` names the call, `error` what it returns.
class FailingBranch : public DirectoryBranch {
 public:
  using DirectoryBranch::DirectoryBranch;

  Errno Rename(int old_dirfd, const char* old_name, int new_dirfd, const char* new_name, unsigned flags) const override;
  Errno Link(int old_dirfd, const char* old_name, int new_dirfd, const char* new_name) const override;
  Errno MkNod(int dirfd, const char* name, mode_t mode, dev_t device) const override;
  Errno SetTimes(int dirfd, const char* name, const struct timespec times[2]) const override;
  Errno SetXattr(int dirfd, const char* name, const char* key, const void* value, size_t size,
                 int flags) const override;
  Errno RemoveXattr(int dirfd, const char* name, const char* key) const override;

  std::string failing;
  int error = 0;
  // Called before each of these calls, with what the layer holds then.
  std::function<void()> before;

 private:
  bool Fails(const char* call) const {
    if (before) before();
    return failing == call;
  }
};

class UnionFsTest : public testing::Test {
 protected:
  UnionFsTest();

  // Paths of the layers: "upper/...", "lower/..." and, below it, "bottom/...".
  std::string operator/(const std::string& path) const { return temp_ / path; }
  // A file of a layer, with the directories above it.
  void Put(const std::string& path, const std::string& contents, mode_t mode = 0644);
  // A whiteout as the kernel writes it.
  void PutWhiteout(const std::string& path);

  // Makes the union; what the layers hold is set up before.
  void Start(bool writable = true);
  void Restart() {
    fs_.reset();
    Start();
  }

  // The node at a path of the union, each name looked up; fails the test when there is none.
  NodeId Node(const std::string& path);
  Errno LookupError(const std::string& path);
  struct stat Attr(const std::string& path);
  ErrnoOr<struct stat> SetMode(const std::string& path, mode_t mode);
  ErrnoOr<struct stat> SetSize(const std::string& path, off_t size);
  // The names that a directory shows, without "." and "..", each with its d_type.
  std::map<std::string, unsigned char> List(const std::string& path);
  std::string Contents(const std::string& path);
  void WriteTo(const std::string& path, const std::string& data);

  // What the upper layer holds, by path: "dir/", "file", "name (whiteout)", "link -> target", sorted.
  std::vector<std::string> Upper();
  // Whether the work directory holds nothing but the whiteout that others are links to.
  bool WorkIsClean();
  bool IsOpaqueInUpper(const std::string& path);

  TempDir temp_;
  Stats stats_;
  Options options_;
  FailingBranch* upper_branch_ = nullptr;  // owned by fs_
  std::unique_ptr<UnionFs> fs_;
};

}  // namespace acetate::fusefs
