// Goes through one layer as it lies on disk, without a union around it: every object once, with the marks of the
// overlay that it carries and which kind of whiteout it is.
//
// Works on directory fds, so trees of any depth cost two fds; memory is for the listings on the way down. Symlinks are
// not followed, and the way up is checked: a layer that somebody rearranges meanwhile ends the walk, not leads it
// astray. One thread; the visitor may remove what it is shown and make other entries beside it.
#pragma once

#include <sys/stat.h>

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "common/errno_or.h"
#include "fusefs/branch.h"
#include "fusefs/layer_marks.h"
#include "fusefs/whiteout.h"

namespace acetate::fusefs {

enum class WhiteoutKind { kNone, kDevice, kXattr, kDotWh };

struct LayerObject {
  absl::string_view path;  // from the layer's root; "" is the root itself
  // For calls of Branch, during the visit only.
  int dirfd = -1;
  std::string name;
  int parent_fd = -1;  // of a directory, the one that holds it; of everything else equal to dirfd
  struct stat st = {};
  Marks marks;
  WhiteoutKind whiteout = WhiteoutKind::kNone;
  bool opaque = false;  // of a directory, by any encoding

  bool is_dir() const { return S_ISDIR(st.st_mode); }
};

class LayerVisitor {
 public:
  virtual ~LayerVisitor() = default;
  // A directory, the root first, before what is in it. `object.dirfd` is the directory, `object.name` empty.
  virtual void EnterDir(const LayerObject& object) = 0;
  // After what is in it.
  virtual void LeaveDir() = 0;
  virtual void Visit(const LayerObject& object) = 0;
  // What cannot be looked at or listed. A directory is entered all the same, as an empty one.
  virtual void Unreadable(absl::string_view path, Errno error) = 0;
};

// How the whiteouts and marks of a layer are to be read.
struct LayerReading {
  MarkFamilies families = MarkFamilies::kBoth;
  WhiteoutFormat format = WhiteoutFormat::kOverlay;
};

// Entries in the order of their names. ESTALE: the layer was changed meanwhile.
Errno WalkLayer(const Branch& branch, const LayerReading& reading, LayerVisitor* visitor);

}  // namespace acetate::fusefs
