// Does operations in the current process's root directory, which is one of the trees under comparison, and tells what
// happened as a line of text that is the same for every correct filesystem:
//
//   ENOTEMPTY | a/b: dir 0755 0:0 mtime=now atime=1000000000.000000000 | a: dir ...
//
// First what the call returned, then (Op::check) how the paths that it named look afterwards to root. An operation on a
// file that is open but has no name left is marked with kUnlinked.
// Owns the process: it changes user ids, the umask and the slots of open fds. Single-threaded.
#pragma once

#include <string>
#include <vector>

#include "common/unique_fd.h"
#include "tests/differential/describe.h"
#include "tests/differential/op.h"

namespace acetate::differential {

inline constexpr char kUnlinked[] = " [unlinked]";

class Executor {
 public:
  // `proc_self_fd` is /proc/self/fd of this process, opened while it was reachable;
  // `since` as for Describer.
  Executor(UniqueFd proc_self_fd, time_t since);

  // Several lines for kWalk, else one.
  std::string Run(const Op& op);

 private:
  std::string Perform(const Op& op);

  // execute_data.cc: open files.
  std::string Open(const Op& op);
  std::string Tmpfile(const Op& op);
  std::string Read(const Op& op);
  std::string Write(const Op& op);
  std::string Seek(const Op& op);
  std::string SeekDataOrHole(const Op& op);
  std::string CopyRange(const Op& op);
  std::string Fstat(const Op& op);
  std::string LinkFd(const Op& op);
  int Slot(const Op& op) const { return slots_[op.slot].get(); }
  // What the slot holds has lost its last name; one that never had any does not count.
  bool IsUnlinked(int slot) const;
  bool IsFifo(int slot) const;

  // execute_attributes.cc: attributes by name and by fd.
  std::string Fxattr(const Op& op);
  std::string Getxattr(const Op& op);
  std::string Listxattr(const Op& op);
  std::string Readlink(const Op& op);
  std::string Statfs(const Op& op);

  // execute_scenes.cc: several calls, and what must hold among them.
  std::string List(const Op& op);
  std::string ListWhileChanging(const Op& op);
  std::string MmapWrite(const Op& op);
  std::string Locks(const Op& op);
  std::string RemoveTree(const Op& op);

  const UniqueFd proc_self_fd_;
  const Describer describer_;
  UniqueFd slots_[kSlots];
  bool born_nameless_[kSlots] = {};
};

// "ok" or the current errno.
std::string Result(long result);
// "ok 12" or the current errno.
std::string ResultWithValue(long result);

}  // namespace acetate::differential
