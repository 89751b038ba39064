#include "launcher/streams.h"

#include <fcntl.h>
#include <unistd.h>

#include "common/errno_or.h"
#include "common/syscalls.h"

namespace acetate::launcher {
namespace {

absl::Status MakePipe(UniqueFd* reading, UniqueFd* writing) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return ErrnoToStatus(Errno::Last(), "make a pipe");
  reading->Reset(ends[0]);
  writing->Reset(ends[1]);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<StreamEnds> MakePipes(bool with_stdin, UniqueFd (&inside)[3]) {
  StreamEnds outside;
  if (with_stdin) {
    if (absl::Status s = MakePipe(&inside[0], &outside.in); !s.ok()) return s;
  } else {
    ErrnoOr<UniqueFd> null = sys::OpenAt(AT_FDCWD, "/dev/null", O_RDONLY);
    if (!null.ok()) return ErrnoToStatus(null.error(), "open /dev/null");
    inside[0] = *std::move(null);
  }
  if (absl::Status s = MakePipe(&outside.out, &inside[1]); !s.ok()) return s;
  if (absl::Status s = MakePipe(&outside.err, &inside[2]); !s.ok()) return s;
  return outside;
}

void LeaveBehind() {
  ErrnoOr<UniqueFd> null = sys::OpenAt(AT_FDCWD, "/dev/null", O_RDWR);
  // Without /dev/null there is nothing better than what they are.
  for (int fd = STDIN_FILENO; null.ok() && fd <= STDERR_FILENO; ++fd) dup2(null->get(), fd);
  if (chdir("/") != 0) return;
}

}  // namespace acetate::launcher
