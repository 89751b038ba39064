// Counters of one mount: how many requests of each kind the kernel sent, and a few numbers of the union. Owned by main;
// every member may be called from any thread, and counting costs one relaxed atomic addition.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>

namespace acetate::fusefs {

// The kernel's FUSE requests, as linux/fuse.h names them.
// clang-format off
#define ACETATE_FUSE_OPCODES(X)                                                                                      \
  X(kLookup, LOOKUP) X(kForget, FORGET) X(kBatchForget, BATCH_FORGET)                                                \
  X(kGetattr, GETATTR) X(kSetattr, SETATTR) X(kStatx, STATX) X(kAccess, ACCESS)                                      \
  X(kReadlink, READLINK) X(kSymlink, SYMLINK) X(kLink, LINK) X(kMknod, MKNOD) X(kMkdir, MKDIR) X(kTmpfile, TMPFILE)  \
  X(kUnlink, UNLINK) X(kRmdir, RMDIR) X(kRename, RENAME) X(kRename2, RENAME2)                                        \
  X(kCreate, CREATE) X(kOpen, OPEN) X(kRead, READ) X(kWrite, WRITE) X(kFlush, FLUSH) X(kRelease, RELEASE)            \
  X(kFsync, FSYNC) X(kFallocate, FALLOCATE) X(kLseek, LSEEK) X(kCopyFileRange, COPY_FILE_RANGE)                      \
  X(kOpendir, OPENDIR) X(kReaddir, READDIR) X(kReaddirplus, READDIRPLUS) X(kReleasedir, RELEASEDIR)                  \
  X(kFsyncdir, FSYNCDIR) X(kStatfs, STATFS) X(kSyncfs, SYNCFS)                                                       \
  X(kGetxattr, GETXATTR) X(kSetxattr, SETXATTR) X(kListxattr, LISTXATTR) X(kRemovexattr, REMOVEXATTR)                \
  X(kGetlk, GETLK) X(kSetlk, SETLK) X(kFlock, FLOCK) X(kIoctl, IOCTL) X(kPoll, POLL) X(kBmap, BMAP)                  \
  X(kInit, INIT) X(kDestroy, DESTROY) X(kInterrupt, INTERRUPT)
// clang-format on

enum class Opcode : uint8_t {
#define ACETATE_ENUMERATOR(enumerator, name) enumerator,
  ACETATE_FUSE_OPCODES(ACETATE_ENUMERATOR)
#undef ACETATE_ENUMERATOR
};

// Numbers that are set or added to, not counted by request.
#define ACETATE_GAUGES(X) \
  X(kKnownInodes, known_inodes) X(kOpenFds, open_fds) X(kCopyUps, copy_ups) X(kBytesCopiedUp, bytes_copied_up)

enum class Gauge : uint8_t {
#define ACETATE_ENUMERATOR(enumerator, name) enumerator,
  ACETATE_GAUGES(ACETATE_ENUMERATOR)
#undef ACETATE_ENUMERATOR
};

#define ACETATE_ONE(enumerator, name) +1
inline constexpr size_t kOpcodeCount = ACETATE_FUSE_OPCODES(ACETATE_ONE);
inline constexpr size_t kGaugeCount = ACETATE_GAUGES(ACETATE_ONE);
#undef ACETATE_ONE

class Stats {
 public:
  void Count(Opcode opcode) { requests_[static_cast<size_t>(opcode)].fetch_add(1, std::memory_order_relaxed); }
  void Set(Gauge gauge, int64_t value) { gauges_[static_cast<size_t>(gauge)].store(value, std::memory_order_relaxed); }
  void Add(Gauge gauge, int64_t delta) {
    gauges_[static_cast<size_t>(gauge)].fetch_add(delta, std::memory_order_relaxed);
  }

  uint64_t requests(Opcode opcode) const {
    return requests_[static_cast<size_t>(opcode)].load(std::memory_order_relaxed);
  }
  int64_t gauge(Gauge gauge) const { return gauges_[static_cast<size_t>(gauge)].load(std::memory_order_relaxed); }

  // One line: {"requests":{"LOOKUP":1,...},"total_requests":1,"known_inodes":1,...}. Every opcode is there, seen or
  // not.
  std::string Json() const;

 private:
  std::array<std::atomic<uint64_t>, kOpcodeCount> requests_{};
  std::array<std::atomic<int64_t>, kGaugeCount> gauges_{};
};

}  // namespace acetate::fusefs
