// What the kernel has open in a mount with --passthrough, and as what: a file of a branch that it reads, writes and
// maps by itself, or contents that it asks the daemon for and caches.
//
// The kernel allows an inode one of the two at a time, and one file (fuse_file_io_open()): an open that is answered
// otherwise fails with EIO. So the first open decides, and later ones follow it until the last is released.
//
// Owned by main. Thread-safe; its lock is held over no call of the union.
#pragma once

#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "common/mutex.h"
#include "fusefs/libfuse.h"
#include "fusefs/union_fs.h"

namespace acetate::fusefs {

class Passthrough {
 public:
  explicit Passthrough(UnionFs* fs) : fs_(fs) {}

  // Whether this process, libfuse and the kernel can do it. An error is one line that says what to do.
  static absl::Status Check();
  // In INIT. False, and `connection` as it was, where the kernel does not offer it.
  static bool Negotiate(fuse_conn_info* connection);

  // Fills in how `node` is opened. Each open is to be released, also one whose reply could not be delivered.
  void Open(fuse_req_t req, fuse_session* session, NodeId node, fuse_file_info* info);
  void Release(fuse_session* session, NodeId node, const fuse_file_info& info);

  // Whether the kernel may be writing it by itself: then its attributes change and nobody tells.
  bool IsWritten(NodeId node);

 private:
  struct OpenFile {
    size_t opens = 0;
    size_t writers = 0;
    int backing_id = 0;  // 0: it goes through the daemon
  };

  // The number by which the kernel knows the file from now on; 0: it does not take it.
  int RegisterLocked(fuse_req_t req, int fd) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  UnionFs* const fs_;
  Mutex mu_;
  absl::flat_hash_map<NodeId, OpenFile> open_ ABSL_GUARDED_BY(mu_);
  absl::flat_hash_set<dev_t> refused_ ABSL_GUARDED_BY(mu_);  // filesystems whose files the kernel does not take
};

}  // namespace acetate::fusefs
