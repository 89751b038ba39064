// The union's objects in memory: names (Dentry), objects (Inode), and where a directory is in each layer (LayerDir).
//
// An Inode exists from the lookup that shows it to the kernel until the kernel forgets it (or as long as a child does);
// its address is its FUSE nodeid. A directory's Dentries exist once its listing was read, for as long as its Inode
// does. All of it is owned by UnionFs and guarded by its mutex.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/inlined_vector.h"
#include "absl/strings/string_view.h"
#include "fusefs/branch.h"
#include "fusefs/fd_cache.h"
#include "fusefs/file_flags.h"
#include "fusefs/lazy_file.h"
#include "fusefs/redirect.h"
#include "fusefs/whiteout.h"

namespace acetate::fusefs {

struct Inode;

// A directory in one layer: the layer's root, or a name in another LayerDir. Of a directory that a rename moved, the
// topmost LayerDir has moved with it; the others stay where they are.
struct LayerDir {
  const Branch* branch = nullptr;
  std::shared_ptr<LayerDir> parent;  // null: the branch's root
  std::string name;
  FdCache::Slot slot;
  FdRef pinned;  // what to use whatever the name leads to: of a directory removed while in use, or below our own mount
  std::unique_ptr<Redirect> redirect;  // where it says that the layers below hold what it continues
  bool impure = false;                 // of a writable layer: it is marked as holding objects that came from below
  bool no_default_acl = false;         // of a writable layer: it is known to have none
  bool unread = false;                 // the fd in `slot` can be read, and nobody has read from it
  std::optional<DirMarks> marks;       // from when its layers were found until it is listed
};

using LayerDirRef = std::shared_ptr<LayerDir>;

// A name in a listed directory.
struct Dentry {
  Inode* parent = nullptr;
  std::string name;
  uint64_t cookie = 0;       // position in the listing, for readdir; 0 for a hidden name
  uint64_t ino = 0;          // the union's, equal to st_ino once it is settled
  Inode* inode = nullptr;    // while known
  unsigned char type = 0;    // DT_*; of a hidden name without meaning
  bool below = false;        // something lower would show through: removal must leave a whiteout
  bool whiteout = false;     // what is shown is a whiteout
  bool ino_settled = true;   // false: the object may have been copied up, and its number be that of its origin
  BranchId end = kNoBranch;  // below this branch nothing counts: it hides the name there, or is no directory to merge
  // The branches whose layers hold the object under this name, top first: one; for a directory all that are merged,
  // unless a redirect says otherwise; none when a whiteout hides the name.
  absl::InlinedVector<BranchId, 4> layers;

  bool hidden() const { return layers.empty(); }
  BranchId home() const { return layers.front(); }
};

// What is known of a directory beyond other objects.
struct Directory {
  std::vector<LayerDirRef> layers;  // top first
  BranchId floor = kNoBranch;       // no branch below this one can add to it by its name
  bool listed = false;
  bool removed = false;
  // Of a listed directory. `entries` owns; keys view the names.
  absl::flat_hash_map<absl::string_view, std::unique_ptr<Dentry>> entries;
  std::vector<std::pair<uint64_t, Dentry*>> order;  // by cookie; null where an entry went
  uint64_t next_cookie = kFirstCookie;
  size_t shown = 0;          // entries that are not hidden
  size_t gone = 0;           // nulls in `order`
  std::vector<int> watches;  // of its layers (watching.cc)

  static constexpr uint64_t kFirstCookie = 3;  // after "." and ".."

  bool merged() const { return layers.size() > 1; }
  // The layer that gives the directory its attributes.
  LayerDir* top() const { return layers.front().get(); }
  // Its layer in a branch; null where it has none.
  const LayerDirRef& In(BranchId branch) const {
    static const LayerDirRef kNone;
    for (const LayerDirRef& layer : layers) {
      if (layer->branch->id() == branch) return layer;
    }
    return kNone;
  }
};

// Where the contents of an upper file still are that was copied up without them.
struct LowerData {
  LayerDirRef dir;
  std::string name;
  off_t size = 0;                  // as much of it counts
  std::optional<blkcnt_t> blocks;  // of a read-only branch's file, which nobody changes
  // Of a large file that is copied while it is in use: what is data in the upper file is its own already.
  bool partial = false;
  std::shared_ptr<LazyFile> lazy;  // of a partial one, once its contents are used
};

// Which object of a layer: the filesystem, counted as BranchSet does, and the inode number there.
using LowerKey = std::pair<uint64_t, uint64_t>;

// Of a file that has, or had when it was copied up, several names in a lower layer.
struct LowerLinks {
  LowerKey lower = {};  // {0, 0} while it is known by names of a writable layer only
  std::string origin;   // of its copy, which is in the index of hard links under the name that this gives
  bool indexed = false;
  int64_t excess = 0;  // of an indexed one: how many names more the union shows than the upper object has links
};

struct Inode {
  uint64_t lookups = 0;         // the kernel's count
  uint32_t children = 0;        // Inodes that have a name here
  mode_t type = 0;              // S_IFMT bits
  BranchId home = kNoBranch;    // of a non-directory: the branch that its object is in
  bool queued = false;          // for the background copy, which must find it
  bool copying = false;         // a copy is under way without the lock
  uint32_t changing = 0;        // changes of the contents that are under way without the lock
  bool data_writable = false;   // the cached data fd can write
  bool data_in_memory = false;  // what it is for is kept in memory (in_memory.h)
  bool passed = false;          // the kernel may have its contents open or mapped without us: it must not move
  bool own_ino = true;          // of a writable branch's object: its number is not that of an object below
  bool plain = false;           // a read-only branch's object: it has none of the flags that ReadFlagsAt() reads
  bool contents_known = false;  // of a regular file: `lower_data` has been looked for
  Protection protection = Protection::kUnknown;
  uint64_t ino = 0;
  absl::InlinedVector<Dentry*, 1> names;  // in the union; none: the root, or removed while in use
  FdCache::Slot data;                     // of a regular file: an fd for its contents
  std::unique_ptr<LowerLinks> links;      // of a file that can have names that nobody has asked for
  std::unique_ptr<LowerData> lower_data;  // of a metadata-only copy
  std::unique_ptr<Directory> dir;         // of a directory
  // Of an object that has lost its last name while in use. A lower one is still where it was; one of a writable branch
  // is held by an fd or, when fds are short, `parked`: by a link in the work directory that goes when the object is
  // forgotten.
  LayerDirRef orphan_dir;
  std::string orphan_name;
  bool parked = false;
  FdRef orphan_fd;
  ino_t object_ino = 0;  // its number in its branch, where changes by others are looked for; 0: unknown
  // Of a writable branch's object with several names: the branch's inode number, its key in the table.
  ino_t linked_ino = 0;

  bool is_dir() const { return dir != nullptr; }
};

}  // namespace acetate::fusefs
