#include "fusefs/lazy_file.h"

#include <linux/magic.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstring>

#include "fusefs/copy_data.h"

namespace acetate::fusefs {
namespace {

constexpr off_t kCopyAtOnce = 4 * LazyFile::kPiece;
// The copying gives way to others, but not for ever.
constexpr std::chrono::milliseconds kGiveWay(50);

off_t SizeOf(int fd) {
  struct stat st = {};
  fstat(fd, &st);
  return st.st_size;
}

// The first data at or after `offset`, or `end`.
off_t NextData(int fd, off_t offset, off_t end) {
  const off_t data = lseek(fd, offset, SEEK_DATA);
  return data < 0 ? end : std::min(data, end);
}

off_t NextHole(int fd, off_t offset, off_t end) {
  const off_t hole = lseek(fd, offset, SEEK_HOLE);
  return hole < 0 ? end : std::min(hole, end);
}

// Reads up to `size` bytes; what is past the end of the file is zero.
Errno ReadZeroFilled(int fd, char* buffer, off_t size, off_t offset) {
  while (size > 0) {
    const ssize_t got = pread(fd, buffer, static_cast<size_t>(size), offset);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Errno::Last();
    if (got == 0) break;
    buffer += got;
    size -= got;
    offset += got;
  }
  memset(buffer, 0, static_cast<size_t>(size));
  return kOk;
}

}  // namespace

bool LazyFile::TellsHoles(long filesystem_type) {
  switch (filesystem_type) {
    case EXT4_SUPER_MAGIC:
    case XFS_SUPER_MAGIC:
    case BTRFS_SUPER_MAGIC:
    case F2FS_SUPER_MAGIC:
    case TMPFS_MAGIC:
      return true;
    default:
      return false;
  }
}

LazyFile::LazyFile(UniqueFd upper, UniqueFd lower, off_t floor)
    : upper_(std::move(upper)), lower_(std::move(lower)), floor_(floor) {}

ErrnoOr<size_t> LazyFile::Read(char* buffer, size_t size, off_t offset) const {
  off_t floor;
  {
    std::lock_guard<std::mutex> lock(mu_);
    floor = finished_ ? 0 : floor_;
  }
  const off_t end = std::min(SizeOf(upper_.get()), offset + static_cast<off_t>(size));
  off_t position = offset;
  while (position < end) {
    char* const at = buffer + (position - offset);
    const off_t data = NextData(upper_.get(), position, end);
    if (data == position) {
      const off_t hole = NextHole(upper_.get(), position, end);
      ACETATE_RETURN_IF_ERROR(ReadZeroFilled(upper_.get(), at, hole - position, position));
      position = hole;
      continue;
    }
    const off_t lower_end = std::clamp(floor, position, data);
    ACETATE_RETURN_IF_ERROR(ReadZeroFilled(lower_.get(), at, lower_end - position, position));
    memset(at + (lower_end - position), 0, static_cast<size_t>(data - lower_end));
    position = data;
  }
  return static_cast<size_t>(std::max<off_t>(position - offset, 0));
}

Errno LazyFile::Fill(off_t begin, off_t end) {
  end = std::min(end, floor_);
  while (begin < end) {
    const off_t hole = NextHole(upper_.get(), begin, end);
    const off_t data = NextData(upper_.get(), hole, end);
    ACETATE_RETURN_IF_ERROR(CopyRange(lower_.get(), upper_.get(), hole, data));
    begin = data;
  }
  return kOk;
}

LazyFile::ChangeLock::ChangeLock(LazyFile* file) : file_(file) {
  ++file_->changing_;
  file_->mu_.lock();
}

LazyFile::ChangeLock::~ChangeLock() {
  --file_->changing_;
  file_->unchanging_.notify_all();
  file_->mu_.unlock();
}

ErrnoOr<size_t> LazyFile::Write(const char* data, size_t size, off_t offset) {
  const ChangeLock lock(this);
  if (!finished_) {
    const off_t end = offset + static_cast<off_t>(size);
    const off_t first = offset / kPiece * kPiece;
    const off_t last = end / kPiece * kPiece;
    if (offset != first) ACETATE_RETURN_IF_ERROR(Fill(first, first + kPiece));
    if (end != last) ACETATE_RETURN_IF_ERROR(Fill(last, last + kPiece));
  }
  return WriteSome(upper_.get(), data, size, offset);
}

ErrnoOr<off_t> LazyFile::Truncate(off_t size) {
  const ChangeLock lock(this);
  if (ftruncate(upper_.get(), size) != 0) return Errno::Last();
  floor_ = std::min(floor_, size);
  return floor_;
}

ErrnoOr<bool> LazyFile::CopySome() {
  std::unique_lock<std::mutex> lock(mu_);
  unchanging_.wait_for(lock, kGiveWay, [&] { return changing_ == 0; });
  if (finished_ || next_ >= floor_) return true;
  const off_t hole = NextHole(upper_.get(), next_, floor_);
  const off_t end = std::min(hole + kCopyAtOnce, floor_);
  ACETATE_RETURN_IF_ERROR(Fill(hole, end));
  next_ = end;
  return next_ >= floor_;
}

void LazyFile::Finish() {
  std::lock_guard<std::mutex> lock(mu_);
  finished_ = true;
}

}  // namespace acetate::fusefs
