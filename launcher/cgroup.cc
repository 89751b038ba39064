#include "launcher/cgroup.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/errno_or.h"
#include "common/syscalls.h"
#include "launcher/files.h"

namespace acetate::launcher {
namespace {

// The directory of cgroup `own` (a path of /proc/self/cgroup) below a mount; empty when it lies outside of what the
// mount shows.
std::string DirectoryIn(const MountInfo& mount, absl::string_view own) {
  absl::string_view below = own;
  if (mount.root != "/") {
    if (!absl::ConsumePrefix(&below, mount.root) || (!below.empty() && below[0] != '/')) return "";
  }
  if (below == "/") below = "";
  if (absl::StrContains(below, "/..")) return "";
  return absl::StrCat(mount.mount_point, below);
}

bool HasAll(absl::string_view list, const std::vector<std::string>& wanted) {
  std::vector<absl::string_view> have = absl::StrSplit(list, absl::ByAnyChar(" \n"), absl::SkipEmpty());
  for (const std::string& name : wanted) {
    bool found = false;
    for (absl::string_view entry : have) found = found || entry == name;
    if (!found) return false;
  }
  return true;
}

bool MayMakeChildren(const std::string& directory) {
  return access(directory.c_str(), W_OK | X_OK) == 0 && access((directory + "/cgroup.procs").c_str(), W_OK) == 0;
}

// A kernel's real root cgroup has no cgroup.type file; it alone may hold processes and pass controllers on.
bool IsRealRoot(const std::string& directory) { return access((directory + "/cgroup.type").c_str(), F_OK) != 0; }

// The nearest v2 cgroup, the caller's own or one above it, in which a child with the wanted controllers can be made.
// Moving a process needs write access to the cgroup above both ends, so it must be an ancestor. Sets `enable` when the
// controllers have to be switched on there first.
std::string FindUnifiedParent(const CgroupView& view, const std::vector<std::string>& wanted, bool* enable) {
  *enable = false;
  for (std::string dir = view.unified; dir.size() >= view.unified_mount.size() && !dir.empty();
       dir.resize(dir.rfind('/'))) {
    if (!MayMakeChildren(dir)) continue;
    if (HasAll(ReadFileOrEmpty(dir + "/cgroup.subtree_control"), wanted)) return dir;
    if (!HasAll(ReadFileOrEmpty(dir + "/cgroup.controllers"), wanted)) continue;
    if (IsRealRoot(dir) || ReadFileOrEmpty(dir + "/cgroup.procs").empty()) {
      *enable = true;
      return dir;
    }
  }
  return "";
}

absl::Status CannotLimit(absl::string_view flags, const CgroupView& view, absl::string_view controller) {
  std::string prefix = absl::StrCat(flags, " cannot be enforced: ");
  auto v1 = view.v1.find(std::string(controller));
  if (v1 != view.v1.end()) {
    return absl::FailedPreconditionError(
        absl::StrCat(prefix, "the ", controller, " controller is on cgroup v1 (", v1->second,
                     "), which only root may use; run as root, or boot with systemd.unified_cgroup_hierarchy=1"));
  }
  if (view.unified.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat(prefix, "no cgroup hierarchy with the ", controller, " controller is mounted"));
  }
  return absl::FailedPreconditionError(
      absl::StrCat(prefix, "no cgroup above ", view.unified, " that you may write passes on the ", controller,
                   " controller; start launch under: systemd-run --user --scope -p Delegate=yes launch ..."));
}

void AddMemoryLimit(const std::string& directory, bool unified, uint64_t bytes, CgroupPlan* plan) {
  // As much swap as memory, which is Docker's default.
  if (unified) {
    plan->limits.push_back({directory + "/memory.max", absl::StrCat(bytes)});
    plan->limits.push_back({directory + "/memory.swap.max", absl::StrCat(bytes), true});
    plan->oom_events = directory + "/memory.events";
  } else {
    plan->limits.push_back({directory + "/memory.limit_in_bytes", absl::StrCat(bytes)});
    uint64_t with_swap = bytes > (uint64_t{1} << 62) ? bytes : 2 * bytes;
    plan->limits.push_back({directory + "/memory.memsw.limit_in_bytes", absl::StrCat(with_swap), true});
    plan->oom_events = directory + "/memory.oom_control";
  }
}

}  // namespace

CgroupView ParseCgroupView(absl::string_view self_cgroup, const std::vector<MountInfo>& mounts) {
  CgroupView view;
  // Each line: hierarchy id, controllers, path. Id 0 without controllers is v2.
  for (absl::string_view line : absl::StrSplit(self_cgroup, '\n', absl::SkipEmpty())) {
    std::vector<absl::string_view> fields = absl::StrSplit(line, absl::MaxSplits(':', 2));
    if (fields.size() != 3) continue;
    for (const MountInfo& mount : mounts) {
      if (fields[1].empty()) {
        if (mount.fs_type != "cgroup2" || !view.unified.empty()) continue;
        view.unified = DirectoryIn(mount, fields[2]);
        if (!view.unified.empty()) view.unified_mount = mount.mount_point;
        continue;
      }
      if (mount.fs_type != "cgroup") continue;
      std::vector<std::string> mounted = absl::StrSplit(mount.super_options, ',');
      for (absl::string_view controller : absl::StrSplit(fields[1], ',')) {
        bool here = false;
        for (const std::string& option : mounted) here = here || option == controller;
        std::string directory = here ? DirectoryIn(mount, fields[2]) : "";
        if (!directory.empty()) view.v1.emplace(controller, directory);
      }
    }
  }
  return view;
}

CgroupView ReadCgroupView() { return ParseCgroupView(ReadFileOrEmpty("/proc/self/cgroup"), ReadMountInfo()); }

std::vector<std::string> CgroupPlan::Directories() const {
  std::vector<std::string> all = v1;
  if (!unified.empty()) all.push_back(unified);
  return all;
}

absl::StatusOr<CgroupPlan> PlanCgroups(const CgroupView& view, absl::string_view short_id, uint64_t memory_bytes,
                                       uint64_t pids_limit) {
  CgroupPlan plan;
  std::string leaf = absl::StrCat("/acetate-", short_id);
  struct Wish {
    const char* controller;
    const char* flag;
    bool asked;
  };
  const Wish wishes[] = {{"memory", "--memory", memory_bytes > 0}, {"pids", "--pids-limit", pids_limit > 0}};

  std::vector<std::string> on_unified;
  std::map<std::string, std::string> home;  // the container's directory, by controller
  for (const Wish& wish : wishes) {
    if (!wish.asked) continue;
    auto v1 = view.v1.find(wish.controller);
    if (v1 == view.v1.end()) {
      on_unified.push_back(wish.controller);
      continue;
    }
    if (!MayMakeChildren(v1->second)) return CannotLimit(wish.flag, view, wish.controller);
    std::string directory = v1->second + leaf;
    home[wish.controller] = directory;
    if (plan.v1.empty() || plan.v1.back() != directory) plan.v1.push_back(directory);
  }

  bool enable = false;
  std::string parent = view.unified.empty() ? "" : FindUnifiedParent(view, on_unified, &enable);
  if (parent.empty() && !on_unified.empty()) {
    return CannotLimit(on_unified[0] == "memory" ? "--memory" : "--pids-limit", view, on_unified[0]);
  }
  if (!parent.empty()) {
    plan.unified = parent + leaf;
    for (const std::string& controller : on_unified) home[controller] = plan.unified;
    if (enable) {
      plan.enable_in = parent + "/cgroup.subtree_control";
      plan.enable = absl::StrCat("+", absl::StrJoin(on_unified, " +"));
    }
  }

  if (memory_bytes > 0) AddMemoryLimit(home["memory"], home["memory"] == plan.unified, memory_bytes, &plan);
  if (pids_limit > 0) plan.limits.push_back({home["pids"] + "/pids.max", absl::StrCat(pids_limit)});
  return plan;
}

bool KillCgroup(const std::string& path) { return WriteExisting(path + "/cgroup.kill", "1").ok(); }

absl::Status RemoveCgroup(const std::string& path) {
  constexpr int kTries = 100;
  for (int i = 0; i < kTries; ++i) {
    if (rmdir(path.c_str()) == 0 || errno == ENOENT) return absl::OkStatus();
    if (errno != EBUSY) break;
    if (i == 0) KillCgroup(path);
    // v2 tells when the last process is gone; v1 does not, so there it is asked again after 10 ms.
    ErrnoOr<UniqueFd> events = sys::OpenAt(AT_FDCWD, (path + "/cgroup.events").c_str(), 0);
    pollfd event = {events.ok() ? events->get() : -1, POLLPRI, 0};
    poll(&event, 1, 10);
  }
  return ErrnoToStatus(Errno::Last(), absl::StrCat("remove the cgroup ", path));
}

uint64_t ParseOomKills(absl::string_view text) {
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    uint64_t count;
    if (absl::ConsumePrefix(&line, "oom_kill ") && absl::SimpleAtoi(line, &count)) return count;
  }
  return 0;
}

}  // namespace acetate::launcher
