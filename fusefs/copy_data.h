// Copying a file's contents between two branches, the cheapest way that works. Thread-safe; blocks.
#pragma once

#include <sys/types.h>

#include <cstddef>

#include "common/errno_or.h"

namespace acetate::fusefs {

// Makes the empty file `to` equal to the first `size` bytes of `from`: a clone (FICLONE) where the filesystem shares
// blocks, else copy_file_range of each run of data, else read and write. Holes stay holes. Returns the bytes that were
// copied one way or another, holes and clones not counted.
ErrnoOr<off_t> CopyData(int from, int to, off_t size);

// pwrite(), again when a signal interrupted it. It may write less.
ErrnoOr<size_t> WriteSome(int to, const char* data, size_t size, off_t offset);

// The same until all is written.
Errno WriteAll(int to, const char* data, size_t size, off_t offset);

// Copies the data of `from` between two positions to the same place in `to`; where `from` has a hole, `to` stays as it
// is.
Errno CopyRange(int from, int to, off_t begin, off_t end);

}  // namespace acetate::fusefs
