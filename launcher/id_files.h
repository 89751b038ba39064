// --cidfile and --pidfile: made before the container is, so that what is wrong with them keeps it from starting, and
// gone again when it does not start. One thread.
#pragma once

#include <sys/types.h>

#include <string>

#include "absl/status/status.h"
#include "common/unique_fd.h"
#include "launcher/spec.h"

namespace acetate::launcher {

class IdFiles {
 public:
  IdFiles() = default;
  IdFiles(const IdFiles&) = delete;
  IdFiles& operator=(const IdFiles&) = delete;
  ~IdFiles();

  // Makes those that `spec` asks for. --cidfile must not exist: it tells of another container.
  absl::Status Make(const Spec& spec, const std::string& id);

  // The command runs: the files stay. `pid` is the host's number of PID 1.
  void Started(pid_t pid);

 private:
  std::string cid_file_;  // empty: not made, or to stay
  std::string pid_file_;
  UniqueFd pid_fd_;
};

}  // namespace acetate::launcher
