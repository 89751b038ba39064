// What the layers of a union hold, as plain data: made at random, flattened to the one tree that a union must show,
// and written to disk.
//
// Layer 0 is the upper as it is found at mount; 1 and on are the lowers, topmost first. A layer lists parents before
// their children, and directories hold their final attributes: Materialise sets them last.
#pragma once

#include <sys/types.h>

#include <map>
#include <string>
#include <vector>

#include "tests/differential/random.h"
#include "tests/differential/record.h"

namespace acetate::differential {

enum class EntryType { kDirectory, kFile, kSymlink, kNode, kHardLink, kWhiteout, kXattrWhiteout };

struct Entry {
  EntryType type = EntryType::kFile;
  int layer = 0;
  std::string path;  // relative; "" is the layer's root
  mode_t mode = 0;   // permission bits; for a node with its type
  uid_t uid = 0;
  gid_t gid = 0;
  int64_t mtime = 1000000000;  // seconds
  int64_t mtime_ns = 0;
  int64_t atime = 1000000001;  // nanoseconds are 0
  uint64_t size = 0;           // of a file
  uint64_t hole = 0;           // bytes at its start that are not written
  uint64_t pattern = 0;        // seed of what is written after them
  dev_t rdev = 0;
  std::string target;            // of a symlink; of a hard link the first name
  bool opaque = false;           // of a directory
  bool xattr_whiteouts = false;  // of a directory: it may hold whiteouts written as xattrs
  std::map<std::string, std::string> xattrs;
};

Record ToRecord(const Entry& entry);
Entry EntryFromRecord(const Record& record);

struct Layers {
  int count = 2;  // the upper included
  std::vector<Entry> entries;
};

// An upper and one to four lowers with everything a layer can hold.
Layers RandomLayers(Random& random);

// The tree that a union of the layers shows, as entries of one layer, parents first.
std::vector<Entry> Flatten(const Layers& layers);

// The same layers without entries whose parent is missing, hard links whose first name is, and whiteouts that hide
// nothing: what is left after others were taken out.
Layers Sound(const Layers& layers);

}  // namespace acetate::differential
