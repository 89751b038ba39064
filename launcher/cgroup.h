// Control groups: where the calling process is in them, and what is done to a container's own. Three layouts are met in
// the wild: cgroup v2 alone, v1 alone, and both (hybrid: controllers on v1, a v2 tree without any beside them). A
// rootless user owns a part of the v2 tree at best; v1 is root's. What a container gets is planned by cgroup_plan.h.
//
// All functions may be called from any thread.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "common/mountinfo.h"

namespace acetate::launcher {

// The cgroups that the calling process is in, as directories.
struct CgroupView {
  std::string unified;                    // of the v2 tree; empty when there is none
  std::string unified_mount;              // where that tree is mounted
  std::map<std::string, std::string> v1;  // by controller
  pid_t self = 0;                         // the calling process
  bool under_systemd = false;             // systemd runs this machine, and the cgroups of its units are its own
};

// From the texts of /proc/self/cgroup and /proc/self/mountinfo.
CgroupView ParseCgroupView(absl::string_view self_cgroup, const std::vector<MountInfo>& mounts);
CgroupView ReadCgroupView();

// Whether each of the words is in a list of them, such as cgroup.controllers holds.
bool HasAllWords(absl::string_view list, const std::vector<std::string>& wanted);

// Kills what is left in the cgroup and removes it. What is gone already is no error. May wait up to ten seconds for
// the last process to be gone.
absl::Status RemoveCgroup(const std::string& path);

// Kills every process in a cgroup at once, so that none can fork away: through cgroup.kill (v2, kernel 5.14), else by
// stopping all, signalling each and letting them go (v2's cgroup.freeze, or v1's freezer). False when the cgroup has
// none of these, or some process could not be signalled.
bool KillCgroup(const std::string& path);

// Stops every process in a cgroup for as long as it takes to let them go again: by cgroup.freeze (v2) or freezer.state
// (v1). They notice nothing. Freezing waits up to ten seconds for the last to stop.
absl::Status FreezeCgroup(const std::string& path);
absl::Status ThawCgroup(const std::string& path);

// Moves every process of the v2 cgroup `from` to `to`; they are on one tree, and both the caller's.
absl::Status MoveProcesses(const std::string& from, const std::string& to);

// Takes back that launch stepped aside into `leaf`, for its parent to pass controllers on: unless others have
// cgroups there meanwhile, the parent passes none on, its processes are in it, and the leaf is gone. What is gone
// already is no error.
absl::Status LeaveLeaf(const std::string& leaf);

// The count of processes killed for want of memory, from the text of memory.events (v2) or memory.oom_control (v1).
uint64_t ParseOomKills(absl::string_view text);

}  // namespace acetate::launcher
