// What every scene stands on: two lowers, an upper and a union over them, in a temporary directory. A scene fills the
// layers, mounts, acts, and looks at what each layer holds afterwards. When it ends, the daemon must end well.
//
// The same scenes run as root, as a plain user through fusermount3, and as a user in a namespace of its own
// (conformance_main.cc).
#pragma once

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <memory>
#include <string>
#include <vector>

#include "common/temp_dir.h"
#include "common/unique_fd.h"
#include "tests/fixture/mounted_union.h"

namespace acetate::conformance {

using Strings = std::vector<std::string>;

// The errno of a call that returns -1, else 0: EXPECT_EQ(Error(rmdir(...)), ENOTEMPTY).
int Error(long result);

bool Exists(const std::string& path);  // lstat
struct stat StatOf(const std::string& path);
bool IsWhiteout(const std::string& path);
// The names in a directory, sorted, without "." and "..".
Strings Names(const std::string& path);
void Append(const std::string& path, const std::string& data);
UniqueFd Open(const std::string& path, int flags, mode_t mode = 0644);
// Reads all of an fd from the beginning.
std::string ReadAll(const UniqueFd& fd);
void SetMtime(const std::string& path, time_t seconds);

// Root of the machine, who may act as anyone and set anything.
bool IsMachineRoot();

// Whether all scenes are mounted with --passthrough.
bool PassesThrough();

class SceneTest : public testing::Test {
 protected:
  SceneTest();
  void TearDown() override;

  std::string Lower(const std::string& name, int layer = 0) const { return options_.lowers[layer] + "/" + name; }
  std::string Upper(const std::string& name) const { return options_.upper + "/" + name; }
  std::string Union(const std::string& name) const { return options_.mountpoint + "/" + name; }

  void Mount();
  void Unmount();
  void Remount();
  // kill -9 of the daemon: the end of a machine, as far as the layers can tell.
  void Crash();
  MountedUnion& mounted() { return *mounted_; }

  // Marks as the kernel's overlayfs writes them.
  void PutWhiteout(const std::string& path);
  void PutOpaque(const std::string& path);
  bool IsOpaque(const std::string& path);

  // Names that a finished operation left in the work directory.
  Strings LeftInWork();

  TempDir dir_;
  UnionOptions options_;

 private:
  std::unique_ptr<MountedUnion> mounted_;
};

}  // namespace acetate::conformance
