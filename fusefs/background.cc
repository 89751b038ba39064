#include "fusefs/background.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <utility>

#include "common/errno_or.h"

namespace acetate::fusefs {
namespace {

// Runs in the process that the user started.
[[noreturn]] void AwaitReady(int pipe_fd, pid_t child) {
  char byte;
  ssize_t got;
  while ((got = read(pipe_fd, &byte, 1)) < 0 && errno == EINTR) {
  }
  if (got == 1) _exit(0);
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFEXITED(status)) _exit(WEXITSTATUS(status));
  fprintf(stderr, "fusefs: ended before the mount was ready: %s\n", strsignal(WTERMSIG(status)));
  _exit(1);
}

}  // namespace

absl::StatusOr<Background> Background::Enter(bool foreground) {
  if (foreground) return Background(UniqueFd());
  int fds[2];
  if (pipe2(fds, O_CLOEXEC) != 0) return ErrnoToStatus(Errno::Last(), "make a pipe");
  UniqueFd read_end(fds[0]);
  UniqueFd write_end(fds[1]);
  const pid_t child = fork();
  if (child < 0) return ErrnoToStatus(Errno::Last(), "fork");
  if (child > 0) {
    write_end.Reset();
    AwaitReady(read_end.get(), child);
  }
  return Background(std::move(write_end));
}

void Background::Ready() {
  // A current directory would keep its filesystem from being unmounted.
  if (chdir("/") != 0) perror("fusefs: chdir /");
  if (!parent_.valid()) return;
  setsid();
  UniqueFd null(open("/dev/null", O_RDWR | O_CLOEXEC));
  for (int fd = 0; null.valid() && fd <= 2; ++fd) dup2(null.get(), fd);
  // The parent may have been killed; nobody waits then.
  [[maybe_unused]] const ssize_t told = write(parent_.get(), "", 1);
  parent_.Reset();
}

void EnsureStandardFds() {
  int fd;
  do {
    fd = open("/dev/null", O_RDWR);  // without O_CLOEXEC: what fusefs executes needs these three as well
  } while (fd >= 0 && fd <= 2);
  if (fd > 2) close(fd);
}

}  // namespace acetate::fusefs
