// libfuse's low-level API, and in one place what differs between its versions (3.14 and later).
#pragma once

#ifndef FUSE_USE_VERSION
#define FUSE_USE_VERSION 314
#endif

#include <fuse3/fuse_lowlevel.h>

// O_TMPFILE reaches the daemon from here on; with an older libfuse the kernel says EOPNOTSUPP.
#define ACETATE_LIBFUSE_HAS_TMPFILE (FUSE_VERSION >= FUSE_MAKE_VERSION(3, 17))
