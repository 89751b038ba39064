// What goes into the union's operations and comes out of them.
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "fusefs/fd_cache.h"
#include "fusefs/kill_suid.h"

namespace acetate::fusefs {

using NodeId = uint64_t;
inline constexpr NodeId kRootId = 1;

// What a lookup or a creation tells the kernel. It counts as one lookup of `node`.
struct Entry {
  NodeId node = 0;
  struct stat attr = {};
};

// Which attributes SetAttr changes; those that are not set stay.
struct AttrChange {
  bool set_mode = false, set_uid = false, set_gid = false, set_size = false, set_times = false;
  bool by_fd = false;      // the change of size is an ftruncate()
  bool kill_suid = false;  // the change of size clears setuid bits, as a write by this caller does
  mode_t mode = 0;
  uid_t uid = 0;
  gid_t gid = 0;
  off_t size = 0;
  struct timespec times[2] = {};  // UTIME_NOW and UTIME_OMIT as in utimensat
};

struct Written {
  size_t size = 0;
  SuidKill suid;  // the kernel does not know of it
};

// A part of a file.
struct FileRange {
  FdRef fd;
  size_t size = 0;
  bool in_memory = false;  // in_memory.h
};

// What the kernel is to forget: a name in a directory; or, without a parent, a node's attributes, and its contents.
struct KernelNote {
  NodeId parent = 0;
  std::string name;
  NodeId node = 0;
  bool contents = false;
};

// Takes the entries of a listing until it has no room.
class DirSink {
 public:
  virtual ~DirSink() = default;
  virtual bool Fits(absl::string_view name) = 0;
  // `next` is the offset at which a later listing goes on; `entry` is null where only the name is told.
  virtual void Add(const std::string& name, uint64_t next, uint64_t ino, mode_t type, const Entry* entry) = 0;
};

}  // namespace acetate::fusefs
