// The union's objects in memory: names (Dentry), objects (Inode), and where a directory is in each layer (LayerDir).
//
// An Inode exists from the lookup that shows it to the kernel until the kernel forgets it (or as long as a child does);
// its address is its FUSE nodeid. A directory's Dentries exist once its listing was read, for as long as its Inode
// does. All of it is owned by InodeTable and guarded by UnionFs's mutex.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <memory>
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

namespace acetate::fusefs {

struct Inode;

// A directory in one layer: the layer's root, or a name in another LayerDir. In the upper layer this path equals the
// union's and changes with renames; in lower layers it never changes.
struct LayerDir {
  const Branch* branch = nullptr;
  std::shared_ptr<LayerDir> parent;  // null: the branch's root
  std::string name;
  FdCache::Slot slot;
  FdRef pinned;  // what to use whatever the name leads to: of a directory removed while in use, or below our own mount
};

using LayerDirRef = std::shared_ptr<LayerDir>;

// A name in a listed directory.
struct Dentry {
  Inode* parent = nullptr;
  std::string name;
  uint64_t cookie = 0;      // position in the listing, for readdir; 0 for a whiteout
  uint64_t ino = 0;         // the union's, equal to st_ino once it is settled
  Inode* inode = nullptr;   // while known
  unsigned char type = 0;   // DT_*; of a whiteout without meaning
  bool whiteout = false;    // the upper layer holds a whiteout here; nothing is shown
  bool below = false;       // a lower layer would show through: removal must leave a whiteout
  bool in_upper = false;    // the upper layer holds the object, or for a directory its top
  bool ino_settled = true;  // false: the object may have been copied up, and its number be that of its origin
  // The lower layers that hold the object under this name, as positions in parent->dir->lowers: none or one; for a
  // directory all that are merged, unless a redirect says otherwise.
  absl::InlinedVector<uint16_t, 4> lowers;
};

// What is known of a directory beyond other objects.
struct Directory {
  LayerDirRef upper;                   // where it is in the upper branch; null when it is not
  std::vector<LayerDirRef> lowers;     // where it is below, top first
  std::unique_ptr<Redirect> redirect;  // what the upper one says of where it is below
  bool listed = false;
  bool removed = false;
  bool impure = false;  // the upper one is marked as holding objects that came from below
  // Of a listed directory. `entries` owns; keys view the names.
  absl::flat_hash_map<absl::string_view, std::unique_ptr<Dentry>> entries;
  std::vector<std::pair<uint64_t, Dentry*>> order;  // by cookie; null where an entry went
  uint64_t next_cookie = kFirstCookie;
  size_t shown = 0;  // entries that are no whiteouts
  size_t gone = 0;   // nulls in `order`

  static constexpr uint64_t kFirstCookie = 3;  // after "." and ".."

  bool merged() const { return (upper != nullptr ? 1 : 0) + lowers.size() > 1; }
  // The layer that gives the directory its attributes.
  LayerDir* top() const { return upper != nullptr ? upper.get() : lowers.front().get(); }
};

// Where the contents of an upper file still are that was copied up without them.
struct LowerData {
  LayerDirRef dir;
  std::string name;
  off_t size = 0;  // as much of it counts
  // Of a large file that is copied while it is in use: what is data in the upper file is its own already.
  bool partial = false;
  std::shared_ptr<LazyFile> lazy;  // of a partial one, once its contents are used
};

// Which object of a lower layer: the filesystem, counted as UnionFs does, and the inode number there.
using LowerKey = std::pair<uint64_t, uint64_t>;

// Of a file that has, or had when it was copied up, several names in a lower layer.
struct LowerLinks {
  LowerKey lower = {};  // {0, 0} while it is known by names of the upper layer only
  std::string origin;   // of its copy, which is in the index of hard links under the name that this gives
  bool indexed = false;
  int64_t excess = 0;  // of an indexed one: how many names more the union shows than the upper object has links
};

struct Inode {
  uint64_t lookups = 0;         // the kernel's count
  uint32_t children = 0;        // Inodes that have a name here
  mode_t type = 0;              // S_IFMT bits
  bool upper = false;           // of a non-directory: its object is in the upper branch
  bool queued = false;          // for the background copy, which must find it
  bool copying = false;         // a copy-up is under way without the lock
  bool data_writable = false;   // the cached data fd can write
  bool own_ino = true;          // of an upper object: its number is not that of an object below
  bool contents_known = false;  // of a regular file: `lower_data` has been looked for
  Protection protection = Protection::kUnknown;
  uint64_t ino = 0;
  absl::InlinedVector<Dentry*, 1> names;  // in the union; none: the root, or removed while in use
  FdCache::Slot data;                     // of a regular file: an fd for its contents
  std::unique_ptr<LowerLinks> links;      // of a file that can have names that nobody has asked for
  std::unique_ptr<LowerData> lower_data;  // of a metadata-only copy
  std::unique_ptr<Directory> dir;         // of a directory
  // Of an object that has lost its last name while in use. A lower one is still where it was; an upper one is held by
  // an fd or, when fds are short, `parked`: by a link in the work directory that goes when the object is forgotten.
  LayerDirRef orphan_dir;
  std::string orphan_name;
  bool parked = false;
  FdRef orphan_fd;
  // Of an upper object with several names: the branch's inode number, its key in the table.
  ino_t upper_ino = 0;

  bool is_dir() const { return dir != nullptr; }
};

}  // namespace acetate::fusefs
