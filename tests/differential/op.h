// One operation of a trace, as plain data. What each kind does with the fields is said in executor.h.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "tests/differential/record.h"

namespace acetate::differential {

enum class OpKind {
  // fds that stay open from one operation to the next, in numbered slots
  kOpen,
  kTmpfile,
  kClose,
  kRead,
  kWrite,
  kSeek,
  kFtruncate,
  kFallocate,
  kCopyRange,
  kFsync,
  kFstat,
  kFchmod,
  kFchown,
  kFutimens,
  kFxattr,
  kLinkFd,
  // names
  kMkdir,
  kRmdir,
  kUnlink,
  kRename,
  kLink,
  kSymlink,
  kMknod,
  // attributes
  kTruncate,
  kChmod,
  kChown,
  kUtimens,
  kSetxattr,
  kGetxattr,
  kListxattr,
  kRemovexattr,
  kAccess,
  kStat,
  kReadlink,
  kStatfs,
  kUmask,
  // scenes of several calls, judged by themselves
  kList,
  kListWhileChanging,
  kMmapWrite,
  kLocks,
  kRemoveTree,
  // everything the tree holds
  kWalk,
  // all fds are closed, the union under test is unmounted (flags 1: its daemon killed) and mounted again
  kRemount,
  kCount,
};

inline constexpr int kSlots = 6;

struct Op {
  OpKind kind = OpKind::kWalk;
  int as = 0;         // index into kUsers
  bool check = true;  // also report what the paths look like before and after
  int slot = 0;
  int slot2 = 0;
  std::string path;
  std::string path2;
  std::string name;   // of an xattr; target of a symlink
  std::string value;  // of an xattr
  int64_t flags = 0;
  int64_t mode = 0;
  int64_t offset = 0;
  int64_t offset2 = 0;
  int64_t length = 0;
  int64_t pattern = 0;  // seed of the bytes written
  int64_t uid = 0;
  int64_t gid = 0;
  int64_t rdev = 0;
  int64_t atime = 0;  // seconds, or one of kTimeNow, kTimeOmit
  int64_t mtime = 0;
  int64_t mtime_ns = 0;
};

inline constexpr int64_t kTimeNow = -1;
inline constexpr int64_t kTimeOmit = -2;

// Works on what a slot already holds.
bool IsSlotOp(OpKind kind);

const char* KindWord(OpKind kind);
std::string ToString(const Op& op);
Record ToRecord(const Op& op);
Op OpFromRecord(const Record& record);

}  // namespace acetate::differential
