// Whiteouts: marks in a layer that hide a name of the layers below. The three encodings are read and written here only.
//
//   character device 0/0     the kernel overlayfs's; whoever may create a file may create one
//   xattr overlay.whiteout   on an empty regular file, in a directory whose overlay.opaque is "x" (kernel 6.7 and
//   later),
//                            for filesystems that refuse the device
//   `.wh.NAME`               a file beside where NAME would be; `.wh..wh..opq` makes its directory opaque (AUFS, OCI)
#pragma once

#include <sys/types.h>

#include <string>

#include "absl/strings/string_view.h"
#include "common/errno_or.h"
#include "fusefs/branch.h"
#include "fusefs/merge_dir.h"
#include "fusefs/overlay_xattr.h"

namespace acetate::fusefs {

// Which marks a directory may have: all of them, unless its list of attributes was looked at.
struct DirMarks {
  bool opaque = true;
  bool redirect = true;
  bool impure = true;
  bool foreign_opaque = true;
};

// By one look, where each mark would take one. Thread-safe.
DirMarks ListMarks(const Branch& branch, const OverlayXattr& xattrs, int dirfd);

// Lists one layer's directory `dirfd`, whiteouts recognised and the `.wh.` files of a branch in that format taken out.
// Fills `entries` and `count_whiteouts`. `unread` as for Branch::ReadDir(). Thread-safe.
ErrnoOr<LayerListing> ReadLayer(const Branch& branch, const OverlayXattr& xattrs, int dirfd, const DirMarks& marks = {},
                                bool unread = false);

// The same of a single name, which need not be there. Thread-safe.
ErrnoOr<LayerListing> ReadLayerName(const Branch& branch, const OverlayXattr& xattrs, int dirfd,
                                    const std::string& name);

// Of `.wh.` files. What one hides is "" for marks of its directory or of AUFS itself, whose names go on with the
// prefix.
bool IsDotWhName(absl::string_view name);
absl::string_view DotWhHidden(absl::string_view name);
inline constexpr char kDotWhOpaqueName[] = ".wh..wh..opq";

// Character device 0/0.
bool IsWhiteoutDevice(mode_t mode, dev_t device);

// In the work directory: the whiteout that others are links to.
inline constexpr char kWhiteoutTemplate[] = "whiteout";

// What one layer holds under a name.
enum class Held { kNothing, kWhiteout, kDirectory, kOther };

struct Probe {
  Held held = Held::kNothing;
  bool ends = false;  // a whiteout beside it hides what is below
};

// The same for a single name of the layer's directory `dirfd`. Thread-safe.
ErrnoOr<Probe> ProbeLayer(const Branch& branch, const OverlayXattr& xattrs, int dirfd, const std::string& name);

// Whether the directory carries the opaque mark of a fuse-overlayfs without privileges: user.fuseoverlayfs.opaque, and
// a whiteout `.wh..opq`. Applications cannot make that whiteout in a union, so one that sets the xattr there, such as
// another fuse-overlayfs, marks nothing of ours. fuse-overlayfs itself reads ours.
bool HasForeignOpaque(const Branch& branch, int dirfd);
// What it puts into such a directory, and shows no more than we do.
bool IsForeignOpaqueName(absl::string_view name);

// Whether the layer's directory hides the directories of its name below.
bool IsOpaque(const Branch& branch, const OverlayXattr& xattrs, int dirfd, const DirMarks& marks = {});

// The file that is the whiteout of `name` in a branch in that format.
std::string DotWhName(absl::string_view name);

// Writes whiteouts and opaque marks to a writable branch. Where whiteouts take the place of what they hide, one is kept
// in the work directory and hard-linked to where it is wanted, as the kernel does since 5.8: one inode for all, and a
// single atomic call for each. Guarded by UnionFs's mutex.
class WhiteoutWriter {
 public:
  // `work_fd` is the directory that holds what is being built; it outlives the writer. `encoding` is for branches whose
  // format is kOverlay.
  WhiteoutWriter(const Branch* branch, const OverlayXattr* xattrs, int work_fd, WhiteoutEncoding encoding);

  // Whether a whiteout is a file beside what it hides, so that both can be there.
  bool beside() const { return beside_; }

  // Puts a whiteout at `name`, where nothing must be (EEXIST); or beside what is there.
  Errno Place(int dirfd, const char* name);

  // Takes a whiteout away that was put beside an object.
  Errno RemoveBeside(int dirfd, const char* name);

  // What the directory needs before an entry of it may be a whiteout of the encoding in use.
  Errno PrepareDir(int dirfd);

  // Whether renameat2(RENAME_WHITEOUT), which makes a device, leaves a whiteout of the encoding in use.
  bool RenameLeavesWhiteout();

  // Marks the directory `name` of `dirfd`, or `dirfd` itself with "": nothing below shows through.
  Errno MakeOpaque(int dirfd, const char* name);

 private:
  // Makes the whiteout that the others are links to, and with it settles on an encoding.
  Errno MakeTemplate();
  Errno PlaceLink(int dirfd, const char* name);

  const Branch* const branch_;
  const OverlayXattr* const xattrs_;
  const int work_fd_;
  const bool beside_;
  WhiteoutEncoding encoding_;
  bool made_ = false;
};

}  // namespace acetate::fusefs
