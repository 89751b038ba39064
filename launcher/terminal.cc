#include "launcher/terminal.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "launcher/files.h"

namespace acetate::launcher {

ErrnoOr<Terminal> OpenTerminal(int root) {
  ACETATE_ASSIGN_OR_RETURN(UniqueFd master, OpenInside(root, "dev/pts/ptmx", O_RDWR | O_NOCTTY,
                                                       RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS));
  struct statfs fs;
  struct stat st;
  if (fstatfs(master.get(), &fs) != 0 || fstat(master.get(), &st) != 0) return Errno::Last();
  if (fs.f_type != DEVPTS_SUPER_MAGIC || !S_ISCHR(st.st_mode) || st.st_rdev != makedev(5, 2)) return Errno(ENODEV);
  int unlock = 0;
  if (ioctl(master.get(), TIOCSPTLCK, &unlock) != 0) return Errno::Last();
  UniqueFd slave(ioctl(master.get(), TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC));
  if (!slave.valid()) return Errno::Last();
  return Terminal{std::move(master), std::move(slave)};
}

WindowSize SizeOf(int fd) {
  winsize size = {};
  if (ioctl(fd, TIOCGWINSZ, &size) != 0) return {};
  return {size.ws_row, size.ws_col};
}

void RawMode::Enter(int fd) {
  if (fd_ >= 0 || tcgetattr(fd, &saved_) != 0) return;
  termios raw = saved_;
  cfmakeraw(&raw);
  if (tcsetattr(fd, TCSANOW, &raw) == 0) fd_ = fd;
}

void RawMode::Leave() {
  if (fd_ >= 0) tcsetattr(fd_, TCSANOW, &saved_);
  fd_ = -1;
}

}  // namespace acetate::launcher
