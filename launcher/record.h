// What is left to clean up when a launcher cannot do it itself, written down in the store as running/ID for as long as
// the container lives. The file is locked with flock(2) through an fd that the launcher and its helper share, so a
// record that can be locked is what killed processes left; the next launch cleans up after them.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/errno_or.h"
#include "common/unique_fd.h"

namespace acetate::launcher {

struct RunRecord {
  bool remove_container = false;
  std::string container;
  std::string name_link;
  std::string runtime_dir;
  std::vector<std::string> cgroups;  // that the container's processes are in
  std::string leaf;                  // v2 cgroup that launch itself is in, made for it; empty: none
  pid_t init = 0;                    // host pid of the container's PID 1; 0: not yet started
  uint64_t init_start = 0;  // its start time in clock ticks, which tells it from a later process of that number
  int end = -1;             // the container's exit status, once it has ended in order
};

std::string FormatRecord(const RunRecord& record);
RunRecord ParseRecord(absl::string_view text);

// Makes, locks and writes the record file. The lock lives as long as a copy of the returned fd.
absl::StatusOr<UniqueFd> CreateRecord(const std::string& path, const RunRecord& record);

// Adds the container's PID 1 to its record.
Errno RecordInit(const UniqueFd& record, pid_t init);

// Adds the container's end. Who has the file open reads it there when the container itself is gone.
Errno RecordEnd(const UniqueFd& record, int exit_status);

// Kills the recorded PID 1 if it still runs, and waits until it is gone.
void KillRecordedInit(const RunRecord& record);

struct Stale {
  UniqueFd lock;
  std::string path;
  RunRecord record;
};

// The records of launchers that are no more, each locked now by the caller.
std::vector<Stale> FindStale(const std::string& root);

}  // namespace acetate::launcher
