// A container's state.json in the store: what it does or how it ended. Written by the helper alone while the
// container's record is locked, and by who holds that lock after a helper was killed; read by anybody, since each
// writing is a rename. A state that says "running" without a locked record is that of a container whose helper was
// killed.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "common/errno_or.h"
#include "launcher/cgroup_stats.h"
#include "launcher/identity.h"

namespace acetate::launcher {

struct ContainerState {
  // kCreated: its command was not executed yet.
  enum class Status { kCreated, kRunning, kPaused, kExited };
  Status status = Status::kCreated;
  pid_t pid = 0;                // PID 1's number on the host; 0 when it does not run
  std::string started;          // see timestamp.h
  std::string finished;         // empty while it runs
  int exit_status = 0;          // when it has ended: as launch exits
  std::string message;          // what launch had to say about the end, or its network's; mostly empty
  std::string network;          // see NetworkName(); empty until it runs
  std::string address;          // in its network; empty when not known
  CgroupStatistics statistics;  // when it has ended: what it had used
  // Which ids of the host the container's are; empty until it runs.
  std::vector<IdRange> uids;
  std::vector<IdRange> gids;
};

// "created", "running", "paused", "exited".
const char* StatusName(ContainerState::Status status);

std::string FormatState(const ContainerState& state);
// What is missing or malformed is as in a new object.
ContainerState ParseState(absl::string_view text);

Errno WriteState(const std::string& container, const ContainerState& state);
ContainerState ReadState(const std::string& container);

}  // namespace acetate::launcher
