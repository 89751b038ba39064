// Where a container's cgroups go and what is written there: decided and described, nothing made. Looks at the cgroup
// tree, and asks for a scope of systemd's where nothing else will do.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "launcher/cgroup.h"
#include "launcher/limits.h"

namespace acetate::launcher {

// One limit. Kernels differ in what a file is called: it is written to each that there is.
struct CgroupLimit {
  struct Setting {
    std::string file;
    std::string value;
  };
  std::string flag;  // that asked for it
  std::vector<Setting> settings;
  bool optional = false;  // no one asked for it, and the kernel may be built without
};

struct CgroupPlan {
  std::string scope;  // unit of systemd's to start, with this process in it, before all else; empty: none
  std::string scope_directory;
  std::string leaf;       // v2 directory that launch itself steps aside into, for its parent to be free; empty: none
  std::string unified;    // v2 directory to make, in which PID 1 is born; empty: none
  std::string enable_in;  // v2 directory whose children need more controllers; empty: none
  std::string enable;     // what to write there
  std::vector<std::string> v1;          // v1 directories to make, which PID 1 joins
  std::string v1_freezer;               // the one of them that stops processes; empty: none
  std::vector<CgroupLimit> limits;      // in the order of writing
  std::string oom_events;               // file with an oom_kill counter; empty: no memory limit
  std::vector<std::string> unenforced;  // with --best-effort: why, one sentence each

  // Every directory that the container's processes are in, in the order of making.
  std::vector<std::string> Directories() const;

  // The directory in which the container is stopped and killed as a whole; empty: none.
  const std::string& Whole() const { return unified.empty() ? v1_freezer : unified; }
};

// A unit that systemd would start for the caller.
struct ScopePlace {
  std::string directory;    // its cgroup, which is the caller's to divide
  std::string controllers;  // those that it would have, separated by spaces
};
// What systemd is asked, and only with limits.
struct SystemdQuestions {
  // The error says why it cannot be had.
  std::function<absl::StatusOr<ScopePlace>(absl::string_view unit)> find_scope;
  // Whether a unit of the user's own systemd is delegated, which not every version marks at the cgroup.
  std::function<bool(absl::string_view unit)> is_delegated;
};

// Without limits a place that cannot be had is no error, and systemd is not asked. With limits the error says what is
// missing and how to get it; with --best-effort it goes to `unenforced`.
absl::StatusOr<CgroupPlan> PlanCgroups(const CgroupView& view, absl::string_view short_id, const ResourceLimits& limits,
                                       const SystemdQuestions& systemd);

// The sentence for a limit whose file the kernel lacks.
std::string LacksFile(const CgroupLimit& limit);

}  // namespace acetate::launcher
