// Calls that write contents by fd, past any Branch. Defined here they come before libc's in a test program, so that a
// death can be put before each of them as well.
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdarg>

#include "fusefs/crash_scene.h"

using acetate::fusefs::FaultPoint;

extern "C" {

ssize_t pwrite(int fd, const void* data, size_t size, off_t offset) {
  FaultPoint::Reach();
  return syscall(SYS_pwrite64, fd, data, size, offset);
}

int ftruncate(int fd, off_t length) noexcept {
  FaultPoint::Reach();
  return static_cast<int>(syscall(SYS_ftruncate, fd, length));
}

int fallocate(int fd, int mode, off_t offset, off_t length) {
  FaultPoint::Reach();
  return static_cast<int>(syscall(SYS_fallocate, fd, mode, offset, length));
}

ssize_t copy_file_range(int in, off64_t* in_offset, int out, off64_t* out_offset, size_t size, unsigned flags) {
  FaultPoint::Reach();
  // A little at a time, so that a copy can be cut short in its middle.
  return syscall(SYS_copy_file_range, in, in_offset, out, out_offset, size < 4096 ? size : 4096, flags);
}

// FICLONE, or the end of another's request.
int ioctl(int fd, unsigned long request, ...) noexcept {
  FaultPoint::Reach();
  va_list arguments;
  va_start(arguments, request);
  void* argument = va_arg(arguments, void*);
  va_end(arguments);
  return static_cast<int>(syscall(SYS_ioctl, fd, request, argument));
}

}  // extern "C"
