// libfuse's low-level API, and in one place what differs between its versions (3.14 and later).
#pragma once

#ifndef FUSE_USE_VERSION
#define FUSE_USE_VERSION 314
#endif

#include <fuse3/fuse_lowlevel.h>

// O_TMPFILE reaches the daemon from here on; with an older libfuse the kernel says EOPNOTSUPP.
#define ACETATE_LIBFUSE_HAS_TMPFILE (FUSE_VERSION >= FUSE_MAKE_VERSION(3, 17))

// FUSE_CAP_PASSTHROUGH: the kernel reads and writes a file of a branch by itself.
#ifdef FUSE_CAP_PASSTHROUGH
#define ACETATE_LIBFUSE_HAS_PASSTHROUGH 1
#else
#define ACETATE_LIBFUSE_HAS_PASSTHROUGH 0
#endif

// FUSE_CAP_HANDLE_KILLPRIV_V2: requests say whether the caller's write clears setuid bits. With an older libfuse the
// kernel finds out by itself, which takes it a GETXATTR before every write.
#ifdef FUSE_CAP_HANDLE_KILLPRIV_V2
#define ACETATE_LIBFUSE_HAS_KILLPRIV_V2 1
#else
#define ACETATE_LIBFUSE_HAS_KILLPRIV_V2 0
#endif

// The session option io_uring: requests and answers in rings shared with the kernel.
#define ACETATE_LIBFUSE_HAS_URING (FUSE_VERSION >= FUSE_MAKE_VERSION(3, 18))
