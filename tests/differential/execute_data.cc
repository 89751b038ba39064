// Executor: operations on open files.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "absl/strings/str_cat.h"
#include "tests/differential/executor.h"
#include "tests/differential/vocabulary.h"

namespace acetate::differential {
namespace {

bool AllZero(int fd, off_t from, off_t to) {
  std::string buffer(65536, 0);
  while (from < to) {
    const ssize_t got = pread(fd, buffer.data(), std::min<off_t>(buffer.size(), to - from), from);
    if (got <= 0) return false;
    if (buffer.substr(0, got).find_first_not_of('\0') != std::string::npos) return false;
    from += got;
  }
  return true;
}

}  // namespace

bool Executor::IsUnlinked(int slot) const {
  struct stat st;
  return !born_nameless_[slot] && fstat(slots_[slot].get(), &st) == 0 && !S_ISDIR(st.st_mode) && st.st_nlink == 0;
}

bool Executor::IsFifo(int slot) const {
  struct stat st;
  return fstat(slots_[slot].get(), &st) == 0 && S_ISFIFO(st.st_mode);
}

std::string Executor::Open(const Op& op) {
  // A device that a nodev mount forbids to open is no difference of filesystems.
  struct stat st;
  const int follow = (op.flags & O_NOFOLLOW) != 0 ? AT_SYMLINK_NOFOLLOW : 0;
  const bool there = fstatat(AT_FDCWD, op.path.c_str(), &st, follow) == 0;
  if (there && (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode))) return "device, not opened";
  UniqueFd fd(open(op.path.c_str(), op.flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, op.mode));
  if (!fd.valid()) return ErrnoText(errno);
  slots_[op.slot] = std::move(fd);
  born_nameless_[op.slot] = false;
  return "ok";
}

std::string Executor::Tmpfile(const Op& op) {
  UniqueFd fd(open(op.path.c_str(), op.flags | O_TMPFILE | O_CLOEXEC, op.mode));
  if (!fd.valid()) return ErrnoText(errno);
  slots_[op.slot] = std::move(fd);
  born_nameless_[op.slot] = true;
  return "ok";
}

std::string Executor::Read(const Op& op) {
  if (IsFifo(op.slot)) return "a pipe, the kernel's own";
  std::string data(op.length, 0);
  const ssize_t got =
      op.offset < 0 ? read(Slot(op), data.data(), data.size()) : pread(Slot(op), data.data(), data.size(), op.offset);
  if (got < 0) return ErrnoText(errno);
  data.resize(got);
  return "ok " + DataText(data);
}

std::string Executor::Write(const Op& op) {
  if (IsFifo(op.slot)) return "a pipe, the kernel's own";
  const std::string data = Pattern(op.pattern, op.length);
  return ResultWithValue(op.offset < 0 ? write(Slot(op), data.data(), data.size())
                                       : pwrite(Slot(op), data.data(), data.size(), op.offset));
}

std::string Executor::Seek(const Op& op) {
  if (op.flags == SEEK_DATA || op.flags == SEEK_HOLE) return SeekDataOrHole(op);
  struct stat st;
  const bool is_file = fstat(Slot(op), &st) == 0 && S_ISREG(st.st_mode);
  // Elsewhere, positions are the filesystem's own affair.
  if (!is_file && op.flags != SEEK_SET) return "not a file";
  const off_t at = lseek(Slot(op), is_file ? op.offset : 0, op.flags);
  return ResultWithValue(at);
}

// Where holes are is for each filesystem to say, but what it calls a hole must read as zeros.
std::string Executor::SeekDataOrHole(const Op& op) {
  const int fd = Slot(op);
  struct stat st;
  if (fstat(fd, &st) != 0) return ErrnoText(errno);
  if (!S_ISREG(st.st_mode)) return "not a file";
  const off_t at = lseek(fd, op.offset, op.flags);
  const int error = errno;
  lseek(fd, 0, SEEK_SET);
  const bool can_read = (fcntl(fd, F_GETFL) & O_ACCMODE) != O_WRONLY;
  if (at < 0 && error == ENXIO && op.flags == SEEK_DATA && op.offset >= 0 && op.offset < st.st_size) {
    return !can_read || AllZero(fd, op.offset, st.st_size) ? "ok" : "SEEK_DATA sees no data though there is some";
  }
  if (at < 0) return ErrnoText(error);
  if (at < op.offset || at > st.st_size) return absl::StrCat("position ", at, " is outside");
  if (op.flags == SEEK_DATA && can_read && !AllZero(fd, op.offset, at)) return "SEEK_DATA skips data";
  return "ok";
}

std::string Executor::CopyRange(const Op& op) {
  // The kernel's overlayfs is not asked to write to an unlinked file, so it may not hold what the others hold.
  if (IsUnlinked(op.slot) && !IsUnlinked(op.slot2)) return std::string("source, not copied") + kUnlinked;
  off_t in = op.offset;
  off_t out = op.offset2;
  int64_t copied = 0;
  while (copied < op.length) {
    const ssize_t got = copy_file_range(Slot(op), &in, slots_[op.slot2].get(), &out, op.length - copied, 0);
    if (got < 0) return absl::StrCat(ErrnoText(errno), " after ", copied);
    if (got == 0) break;
    copied += got;
  }
  return absl::StrCat("ok ", copied);
}

std::string Executor::Fstat(const Op& op) {
  struct stat st;
  if (fstat(Slot(op), &st) != 0) return ErrnoText(errno);
  return absl::StrCat("ok ", describer_.Stat(st), " ", describer_.Xattrs("", Slot(op)));
}

std::string Executor::LinkFd(const Op& op) {
  if (Slot(op) < 0) return "no fd";
  const std::string number = std::to_string(Slot(op));
  return Result(linkat(proc_self_fd_.get(), number.c_str(), AT_FDCWD, op.path.c_str(), AT_SYMLINK_FOLLOW));
}

}  // namespace acetate::differential
