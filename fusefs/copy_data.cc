#include "fusefs/copy_data.h"

#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <memory>

namespace acetate::fusefs {
namespace {

constexpr size_t kBufferSize = 1 << 20;

Errno CopyRunByHand(int from, int to, off_t begin, off_t end) {
  auto buffer = std::make_unique<char[]>(kBufferSize);
  while (begin < end) {
    size_t wanted = std::min<size_t>(kBufferSize, static_cast<size_t>(end - begin));
    ssize_t size = pread(from, buffer.get(), wanted, begin);
    if (size < 0) {
      if (errno == EINTR) continue;
      return Errno::Last();
    }
    if (size == 0) return kOk;  // shorter than it was: the rest stays a hole
    ACETATE_RETURN_IF_ERROR(WriteAll(to, buffer.get(), static_cast<size_t>(size), begin));
    begin += size;
  }
  return kOk;
}

Errno CopyRun(int from, int to, off_t begin, off_t end) {
  while (begin < end) {
    off_t in = begin, out = begin;
    ssize_t size = copy_file_range(from, &in, to, &out, static_cast<size_t>(end - begin), 0);
    if (size < 0) {
      if (errno == EINTR) continue;
      if (errno == ENOSPC || errno == EDQUOT || errno == EIO) return Errno::Last();
      // Not between these two filesystems, or not at all: the reasons differ by kernel, the remedy does not.
      return CopyRunByHand(from, to, begin, end);
    }
    if (size == 0) return kOk;
    begin += size;
  }
  return kOk;
}

// Counts what it copies.
Errno CopyRuns(int from, int to, off_t position, off_t size, off_t* copied) {
  while (position < size) {
    off_t begin = lseek(from, position, SEEK_DATA);
    if (begin < 0 && errno == ENXIO) break;  // only a hole is left
    if (begin < 0) begin = position;         // no SEEK_DATA: all is data
    if (begin >= size) break;
    off_t end = lseek(from, begin, SEEK_HOLE);
    if (end < 0 || end > size) end = size;
    ACETATE_RETURN_IF_ERROR(CopyRun(from, to, begin, end));
    *copied += end - begin;
    position = end;
  }
  return kOk;
}

}  // namespace

ErrnoOr<size_t> WriteSome(int to, const char* data, size_t size, off_t offset) {
  for (;;) {
    const ssize_t written = pwrite(to, data, size, offset);
    if (written >= 0) return static_cast<size_t>(written);
    if (errno != EINTR) return Errno::Last();
  }
}

Errno WriteAll(int to, const char* data, size_t size, off_t offset) {
  while (size > 0) {
    ACETATE_ASSIGN_OR_RETURN(const size_t written, WriteSome(to, data, size, offset));
    data += written;
    size -= written;
    offset += static_cast<off_t>(written);
  }
  return kOk;
}

Errno CopyRange(int from, int to, off_t begin, off_t end) {
  off_t copied = 0;
  return CopyRuns(from, to, begin, end, &copied);
}

ErrnoOr<off_t> CopyData(int from, int to, off_t size) {
  if (size == 0) return off_t{0};
  if (ioctl(to, FICLONE, from) == 0) {
    if (ftruncate(to, size) != 0) return Errno::Last();
    return off_t{0};
  }
  off_t copied = 0;
  ACETATE_RETURN_IF_ERROR(CopyRuns(from, to, 0, size, &copied));
  if (ftruncate(to, size) != 0) return Errno::Last();
  return copied;
}

}  // namespace acetate::fusefs
