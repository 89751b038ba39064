// Control groups: where a container's can be made, and how its limits are written. Three layouts are met in the wild:
// cgroup v2 alone, v1 alone, and both (hybrid: controllers on v1, a v2 tree without any beside them). A rootless user
// owns a part of the v2 tree at best (what systemd delegates); v1 is root's.
//
// Finding out reads /proc and looks at the tree; making, limiting and removing is done by the plan's steps.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/mountinfo.h"

namespace acetate::launcher {

// The cgroups that the calling process is in, as directories.
struct CgroupView {
  std::string unified;                    // of the v2 tree; empty when there is none
  std::string unified_mount;              // where that tree is mounted
  std::map<std::string, std::string> v1;  // by controller
};

// From the texts of /proc/self/cgroup and /proc/self/mountinfo.
CgroupView ParseCgroupView(absl::string_view self_cgroup, const std::vector<MountInfo>& mounts);
CgroupView ReadCgroupView();

struct CgroupLimit {
  std::string file;
  std::string value;
  bool optional = false;  // the kernel may be built without this file
};

struct CgroupPlan {
  std::string unified;              // v2 directory to make, in which PID 1 is born; empty: none
  std::string enable_in;            // v2 directory whose children need more controllers; empty: none
  std::string enable;               // what to write there
  std::vector<std::string> v1;      // v1 directories to make, which PID 1 joins
  std::vector<CgroupLimit> limits;  // in the order of writing
  std::string oom_events;           // file with an oom_kill counter; empty: no memory limit

  // Every directory, in the order of making.
  std::vector<std::string> Directories() const;
};

// Where the cgroup of container `short_id` goes and what is written there. Limits are 0 when not asked for. Without
// limits a place that cannot be had is no error; with limits the error says what is missing and how to get it.
absl::StatusOr<CgroupPlan> PlanCgroups(const CgroupView& view, absl::string_view short_id, uint64_t memory_bytes,
                                       uint64_t pids_limit);

// Kills what is left in the cgroup (v2) and removes it. What is gone already is no error. May wait up to a second for
// the last process to be gone.
absl::Status RemoveCgroup(const std::string& path);

// Kills every process in a v2 cgroup; false when the kernel cannot (before 5.14).
bool KillCgroup(const std::string& path);

// The count of processes killed for want of memory, from the text of memory.events (v2) or memory.oom_control (v1).
uint64_t ParseOomKills(absl::string_view text);

}  // namespace acetate::launcher
