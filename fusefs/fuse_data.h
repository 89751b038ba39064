// The handlers of requests about contents. Part of fuse_ops; each is as its namesake in fuse_lowlevel_ops and replies
// exactly once.
#pragma once

#include <sys/types.h>

#include <cstddef>

#include "fusefs/libfuse.h"

namespace acetate::fusefs {

void HandleRead(fuse_req_t req, fuse_ino_t node, size_t size, off_t offset, fuse_file_info* info);
void HandleWrite(fuse_req_t req, fuse_ino_t node, const char* data, size_t size, off_t offset, fuse_file_info* info);
void HandleFSync(fuse_req_t req, fuse_ino_t node, int data_only, fuse_file_info* info);
void HandleFSyncDir(fuse_req_t req, fuse_ino_t node, int data_only, fuse_file_info* info);
void HandleFallocate(fuse_req_t req, fuse_ino_t node, int mode, off_t offset, off_t length, fuse_file_info* info);
void HandleLSeek(fuse_req_t req, fuse_ino_t node, off_t offset, int whence, fuse_file_info* info);
void HandleCopyFileRange(fuse_req_t req, fuse_ino_t in, off_t in_offset, fuse_file_info* in_info, fuse_ino_t out,
                         off_t out_offset, fuse_file_info* out_info, size_t size, int flags);

// Whether the kernel leaves it to us to clear setuid bits, and this caller's write clears them.
bool KillsSuid(const fuse_file_info* info);
// Whether the node has a setgid bit and the caller is neither of its group nor root: one whose change of contents,
// owner or access list clears it (setattr_should_drop_sgid(), posix_acl_update_mode()).
bool IsStrangerToSetgid(fuse_req_t req, fuse_ino_t node);

}  // namespace acetate::fusefs
