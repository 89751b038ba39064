// A process that lives in one tree (chroot) and does operations there. A process of its own gives each tree the same
// absolute and climbing symlinks, its own umask and fds, and a filesystem that hangs or kills its caller is a finding
// instead of the end of the test.
#pragma once

#include <sys/types.h>

#include <ctime>
#include <string>

#include "common/unique_fd.h"
#include "tests/differential/op.h"

namespace acetate::differential {

class Worker {
 public:
  // Forks. `since`: when the test began, see Describer. Needs root. Throws std::runtime_error.
  Worker(const std::string& root, time_t since);
  // Kills the process: nothing of it holds the tree any longer.
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  // Several workers work at once between Send and Receive.
  void Send(const Op& op);
  // The executor's text; "HANGS" when there is none within half a minute, "DIES" when the process is gone.
  std::string Receive();
  std::string Run(const Op& op);

 private:
  pid_t pid_ = -1;
  UniqueFd socket_;
};

}  // namespace acetate::differential
