// Layers for tests of the commands that look at them from outside: an upper and its work directory, and two lowers,
// made by hand. Whiteouts and marks are written as the kernel's overlayfs would.
#pragma once

#include <sys/types.h>

#include <string>

#include "absl/strings/string_view.h"
#include "common/temp_dir.h"

namespace acetate::fusefs {

class LayerScene {
 public:
  // Makes upper, work/work, lower and, below it, bottom.
  LayerScene();

  std::string operator/(const std::string& path) const { return temp_ / path; }

  // Paths begin with the layer: "upper/dir/file". Directories above are made.
  void Put(const std::string& path, const std::string& contents = "");
  void PutDir(const std::string& path);
  void PutSymlink(const std::string& target, const std::string& path);
  void PutWhiteout(const std::string& path);
  // Another name of the file `existing`.
  void PutLink(const std::string& existing, const std::string& path);
  // What a symlink points at stays as it is.
  void SetOwner(const std::string& path, uid_t uid, gid_t gid);
  void SetMode(const std::string& path, mode_t mode);
  // Sets `mark` under user.overlay., or under the prefix that it names.
  void Mark(const std::string& path, const std::string& mark, absl::string_view value);
  // In the upper layer, the attributes of lower/NAME without its contents.
  void PutMetacopy(const std::string& name);
  // A file of the lower and the same in the upper, times included.
  void PutCopy(const std::string& path, const std::string& contents);
  // A chain of sixty directories with names of 200 bytes below `layer`, too long a way for any path; in the last one
  // the empty file `leaf`, or a whiteout.
  void PutDeep(const std::string& layer, const std::string& leaf, bool whiteout);

  bool Exists(const std::string& path) const;
  bool IsWhiteout(const std::string& path) const;
  // The mark's value, or "(none)".
  std::string MarkOf(const std::string& path, const std::string& mark) const;
  // "LOWER:BOTTOM".
  std::string Lowers() const { return temp_ / "lower" + ":" + temp_ / "bottom"; }

 private:
  TempDir temp_;
};

}  // namespace acetate::fusefs
