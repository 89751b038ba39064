// The handler of IOCTL requests: flags of files, which the kernel's FUSE asks for by the ioctls that read and set them
// (fuse_fileattr_get(), fuse_fileattr_set()). Part of fuse_ops; every other ioctl is ENOTTY.
#pragma once

#include <cstddef>

#include "fusefs/libfuse.h"

namespace acetate::fusefs {

// As fuse_lowlevel_ops::ioctl; replies exactly once.
void HandleIoctl(fuse_req_t req, fuse_ino_t node, unsigned command, void* argument, fuse_file_info* info,
                 unsigned flags, const void* input, size_t input_size, size_t output_size);

}  // namespace acetate::fusefs
