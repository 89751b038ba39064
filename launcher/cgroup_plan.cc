#include "launcher/cgroup_plan.h"

#include <pwd.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "launcher/files.h"

namespace acetate::launcher {
namespace {

struct Wish {
  const char* flag;
  const char* controller;  // of v2
  const char* v1;          // its name on v1
  bool asked;
};

std::vector<Wish> WishesOf(const ResourceLimits& limits) {
  std::vector<Wish> wishes = {
      {"--memory", "memory", "memory", limits.memory_bytes > 0},
      {"--memory-reservation", "memory", "memory", limits.memory_reservation > 0},
      {"--pids-limit", "pids", "pids", limits.pids_limit > 0},
      {"--cpus", "cpu", "cpu", limits.cpu_quota_us > 0},
      {"--cpu-shares", "cpu", "cpu", limits.cpu_shares > 0},
      {"--cpuset-cpus", "cpuset", "cpuset", !limits.cpuset_cpus.empty()},
      {"--cpuset-mems", "cpuset", "cpuset", !limits.cpuset_mems.empty()},
      {"--blkio-weight", "io", "blkio", limits.blkio_weight > 0},
  };
  std::erase_if(wishes, [](const Wish& wish) { return !wish.asked; });
  return wishes;
}

bool MayMakeChildren(const std::string& directory) {
  return access(directory.c_str(), W_OK | X_OK) == 0 && access((directory + "/cgroup.procs").c_str(), W_OK) == 0;
}

// A kernel's real root cgroup has no cgroup.type file; it alone may hold processes and pass controllers on.
bool IsRealRoot(const std::string& directory) { return access((directory + "/cgroup.type").c_str(), F_OK) != 0; }

bool IsUnitName(absl::string_view name) {
  return absl::EndsWith(name, ".slice") || absl::EndsWith(name, ".service") || absl::EndsWith(name, ".scope");
}

// systemd marks what it leaves to others; root alone sees the second of the marks.
bool IsMarkedDelegated(const std::string& directory) {
  for (const char* name : {"user.delegate", "trusted.delegate"}) {
    char value = 0;
    if (getxattr(directory.c_str(), name, &value, sizeof(value)) == 1 && value == '1') return true;
  }
  return false;
}

// Whether systemd may do with the cgroup as it likes, which includes taking back the controllers below it, and with
// them the limits: anything but a unit's that was delegated, and what is below such a one. (That of a user's own
// systemd is delegated to that systemd; whatever is a unit below it is its.)
bool IsSystemds(const CgroupView& view, const std::string& directory, const SystemdQuestions& systemd) {
  if (!view.under_systemd) return false;
  for (std::string dir = directory; dir.size() > view.unified_mount.size(); dir.resize(dir.rfind('/'))) {
    absl::string_view name = absl::string_view(dir).substr(dir.rfind('/') + 1);
    if (!IsUnitName(name)) continue;  // of those who made it, unless it is in a unit that is not delegated
    if (absl::StartsWith(name, "user@") || absl::EndsWith(name, ".slice")) return true;
    if (IsMarkedDelegated(dir)) return false;
    return !absl::StrContains(dir, "/user@") || !systemd.is_delegated(name);
  }
  return directory == view.unified_mount;
}

enum class Place {
  kNone,
  kReady,   // its children have the controllers
  kEnable,  // they have to be passed on first
  kAside,   // and for that launch has to leave it first
};

struct UnifiedPlace {
  Place kind = Place::kNone;
  std::string directory;
};

// A v2 cgroup that would do but for other processes in it.
struct Search {
  std::string busy;
  bool found_systemds = false;
};

// The nearest v2 cgroup, the caller's own or one above it, in which a child with the wanted controllers can be made.
// Moving a process needs write access to the cgroup above both ends, so it must be an ancestor.
UnifiedPlace FindUnifiedPlace(const CgroupView& view, const std::vector<std::string>& wanted, bool also_systemds,
                              const SystemdQuestions& systemd, Search* search) {
  if (view.unified.empty()) return {};
  for (std::string dir = view.unified; dir.size() >= view.unified_mount.size() && !dir.empty();
       dir.resize(dir.rfind('/'))) {
    if (!MayMakeChildren(dir)) continue;
    if (!also_systemds && IsSystemds(view, dir, systemd)) {
      search->found_systemds = true;
      continue;
    }
    if (HasAllWords(ReadFileOrEmpty(dir + "/cgroup.subtree_control"), wanted)) return {Place::kReady, dir};
    if (!HasAllWords(ReadFileOrEmpty(dir + "/cgroup.controllers"), wanted)) continue;
    if (access((dir + "/cgroup.subtree_control").c_str(), W_OK) != 0) continue;
    const std::string processes = ReadFileOrEmpty(dir + "/cgroup.procs");
    if (IsRealRoot(dir) || processes.empty()) return {Place::kEnable, dir};
    if (dir == view.unified && processes == absl::StrCat(view.self, "\n")) return {Place::kAside, dir};
    search->busy = dir;
  }
  return {};
}

std::string UserName() {
  std::string number = absl::StrCat(geteuid());
  for (absl::string_view line : absl::StrSplit(ReadFileOrEmpty("/etc/passwd"), '\n')) {
    std::vector<absl::string_view> fields = absl::StrSplit(line, ':');
    if (fields.size() > 2 && fields[2] == number) return std::string(fields[0]);
  }
  return number;
}

constexpr char kSystemdRun[] = "start launch under: systemd-run --user --scope -p Delegate=yes launch ...";

// The value of a file in the nearest of a directory and those above it that has it.
std::string NearestSetting(std::string directory, const std::string& mount, const char* name) {
  for (; directory.size() >= mount.size() && !directory.empty(); directory.resize(directory.rfind('/'))) {
    std::string text = ReadFileOrEmpty(absl::StrCat(directory, "/", name));
    if (!text.empty()) return text;
  }
  return "";
}

class Planner {
 public:
  Planner(const CgroupView& view, absl::string_view short_id, const ResourceLimits& limits,
          const SystemdQuestions& systemd)
      : view_(view),
        leaf_(absl::StrCat("/acetate-", short_id)),
        unit_(absl::StrCat("acetate-", short_id, ".scope")),
        limits_(limits),
        systemd_(systemd) {}

  absl::StatusOr<CgroupPlan> Plan() {
    for (const Wish& wish : WishesOf(limits_)) {
      std::string refusal = Grant(wish);
      if (refusal.empty()) continue;
      refusal = absl::StrCat(wish.flag, " cannot be enforced: ", refusal);
      if (!limits_.best_effort) return absl::FailedPreconditionError(refusal);
      plan_.unenforced.push_back(refusal);
    }
    PlaceUnified();
    if (!plan_.v1.empty() && plan_.unified.empty()) {
      // What any cgroup of v2 does by itself.
      std::string ignored;
      AddV1("freezer", &plan_.v1_freezer);
      AddV1("cpuacct", &ignored);
    }
    for (const Wish& wish : granted_) AddLimit(wish);
    return std::move(plan_);
  }

 private:
  // Why the wish cannot be fulfilled; empty when it is granted.
  std::string Grant(const Wish& wish) {
    std::string directory;
    auto v1 = view_.v1.find(wish.v1);
    if (v1 != view_.v1.end()) {
      if (!AddV1(wish.v1, &directory)) {
        return absl::StrCat("the ", wish.v1, " controller is on cgroup v1 (", v1->second,
                            "), which only root may use; run as root, or boot with "
                            "systemd.unified_cgroup_hierarchy=1");
      }
    } else if (std::string refusal = GrantUnified(wish.controller); !refusal.empty()) {
      return refusal;
    }
    if (std::string refusal = CheckSet(wish, directory); !refusal.empty()) return refusal;
    granted_.push_back(wish);
    return "";
  }

  bool AddV1(const std::string& controller, std::string* directory) {
    auto v1 = view_.v1.find(controller);
    if (v1 == view_.v1.end() || !MayMakeChildren(v1->second)) return false;
    *directory = v1->second + leaf_;
    // Controllers may share a hierarchy, as cpu and cpuacct mostly do.
    if (std::find(plan_.v1.begin(), plan_.v1.end(), *directory) == plan_.v1.end()) plan_.v1.push_back(*directory);
    home_[controller] = *directory;
    return true;
  }

  // A place for the controllers granted so far and this one, too.
  std::string GrantUnified(const std::string& controller) {
    if (std::find(on_unified_.begin(), on_unified_.end(), controller) != on_unified_.end()) return "";
    std::vector<std::string> wanted = on_unified_;
    wanted.push_back(controller);
    Search search;
    UnifiedPlace place = FindUnifiedPlace(view_, wanted, false, systemd_, &search);
    std::optional<ScopePlace> scope;
    absl::Status no_scope;
    if (place.kind == Place::kNone && !view_.unified.empty()) {
      absl::StatusOr<ScopePlace> offer = systemd_.find_scope(unit_);
      no_scope = offer.status();
      if (offer.ok()) scope = *std::move(offer);
    }
    const bool in_scope = scope.has_value() && HasAllWords(scope->controllers, wanted);
    if (place.kind == Place::kNone && !in_scope) {
      // systemd is out of reach: what is its own is better than nothing, as before it could be asked.
      if (!scope.has_value() && search.found_systemds) place = FindUnifiedPlace(view_, wanted, true, systemd_, &search);
      if (place.kind == Place::kNone) return WhyNot(controller, search, scope, no_scope);
    }
    on_unified_ = wanted;
    place_ = place;
    scope_ = in_scope ? scope : std::nullopt;
    return "";
  }

  std::string WhyNot(const std::string& controller, const Search& search, const std::optional<ScopePlace>& scope,
                     const absl::Status& no_scope) const {
    if (view_.unified.empty()) {
      return absl::StrCat("no cgroup hierarchy with the ", controller, " controller is mounted");
    }
    if (!HasAllWords(ReadFileOrEmpty(view_.unified_mount + "/cgroup.controllers"), {controller}) &&
        access((view_.unified_mount + "/cgroup.controllers").c_str(), F_OK) == 0) {
      return absl::StrCat("there is no ", controller, " controller in ", view_.unified_mount,
                          "/cgroup.controllers: the kernel lacks it, or what is around this container keeps it");
    }
    if (scope.has_value()) {
      return absl::StrCat("systemd does not delegate the ", controller,
                          " controller to users; as root put the lines [Service] and \"Delegate=cpu cpuset io memory "
                          "pids\" into /etc/systemd/system/user@.service.d/delegate.conf, run systemctl "
                          "daemon-reload, and log in again");
    }
    if (!search.busy.empty()) {
      return absl::StrCat(search.busy, " cannot pass the ", controller,
                          " controller on as long as other processes than launch are in it; move them below it: mkdir ",
                          search.busy, "/others; while read p; do echo $p > ", search.busy,
                          "/others/cgroup.procs; done < ", search.busy, "/cgroup.procs");
    }
    std::string text = absl::StrCat("no cgroup above ", view_.unified, " that you may write passes on the ", controller,
                                    " controller");
    if (view_.under_systemd) return absl::StrCat(text, " (", no_scope.message(), "); ", kSystemdRun);
    const std::string directory = absl::StrCat(view_.unified_mount, "/", UserName());
    return absl::StrCat(text, "; where systemd runs, ", kSystemdRun, "; else as root: echo +", controller, " > ",
                        view_.unified_mount, "/cgroup.subtree_control; mkdir ", directory, "; chown ", UserName(), " ",
                        directory, " ", directory, "/cgroup.{procs,threads,subtree_control}; echo PID > ", directory,
                        "/cgroup.procs, with the PID of the shell that starts launch");
  }

  // Whether the CPUs or nodes of a cpuset are there to be had. v2 takes any, and falls back to all when none is.
  std::string CheckSet(const Wish& wish, const std::string& v1) const {
    if (absl::string_view(wish.controller) != "cpuset") return "";
    const bool cpus = absl::string_view(wish.flag) == "--cpuset-cpus";
    const std::string& wanted = cpus ? limits_.cpuset_cpus : limits_.cpuset_mems;
    std::string present;
    if (!v1.empty()) {
      present = ReadFileOrEmpty(absl::StrCat(v1.substr(0, v1.rfind('/')), cpus ? "/cpuset.cpus" : "/cpuset.mems"));
    } else {
      const std::string above = scope_.has_value() ? scope_->directory : place_.directory;
      present = NearestSetting(above, view_.unified_mount, cpus ? "cpuset.cpus.effective" : "cpuset.mems.effective");
    }
    if (MissingFrom(present, wanted).empty()) return "";
    return absl::StrCat(absl::StrJoin(MissingFrom(present, wanted), ","), " of ", wanted, " cannot be had here; there ",
                        "is ", absl::StripAsciiWhitespace(present));
  }

  void PlaceUnified() {
    if (scope_.has_value()) {
      plan_.scope = unit_;
      plan_.scope_directory = scope_->directory;
      plan_.leaf = scope_->directory + leaf_ + ".launch";
      Enable(scope_->directory);
    } else {
      Search search;
      if (place_.kind == Place::kNone) place_ = FindUnifiedPlace(view_, {}, true, systemd_, &search);
      if (place_.kind == Place::kNone) return;
      if (place_.kind == Place::kAside) plan_.leaf = place_.directory + leaf_ + ".launch";
      if (place_.kind == Place::kReady) {
        plan_.unified = place_.directory + leaf_;
      } else {
        Enable(place_.directory);
      }
    }
    for (const std::string& controller : on_unified_) home_[controller] = plan_.unified;
  }

  void Enable(const std::string& directory) {
    plan_.unified = directory + leaf_;
    plan_.enable_in = directory + "/cgroup.subtree_control";
    plan_.enable = absl::StrCat("+", absl::StrJoin(on_unified_, " +"));
  }

  void Write(const char* flag, std::vector<CgroupLimit::Setting> settings, bool optional = false) {
    plan_.limits.push_back({flag, std::move(settings), optional});
  }

  void AddLimit(const Wish& wish) {
    const absl::string_view flag = wish.flag;
    const bool v1 = view_.v1.contains(wish.v1);
    const std::string in = home_[v1 ? wish.v1 : wish.controller] + "/";
    if (flag == "--memory") {
      AddMemory(in, v1);
    } else if (flag == "--memory-reservation") {
      Write(wish.flag,
            {{in + (v1 ? "memory.soft_limit_in_bytes" : "memory.low"), absl::StrCat(limits_.memory_reservation)}});
    } else if (flag == "--pids-limit") {
      Write(wish.flag, {{in + "pids.max", absl::StrCat(limits_.pids_limit)}});
    } else if (flag == "--cpus" && v1) {
      Write(wish.flag, {{in + "cpu.cfs_period_us", absl::StrCat(kCpuPeriodUs)}});
      Write(wish.flag, {{in + "cpu.cfs_quota_us", absl::StrCat(limits_.cpu_quota_us)}});
    } else if (flag == "--cpus") {
      Write(wish.flag, {{in + "cpu.max", absl::StrCat(limits_.cpu_quota_us, " ", kCpuPeriodUs)}});
    } else if (flag == "--cpu-shares") {
      Write(wish.flag, {{in + (v1 ? "cpu.shares" : "cpu.weight"),
                         absl::StrCat(v1 ? limits_.cpu_shares : CpuWeight(limits_.cpu_shares))}});
    } else if (flag == "--cpuset-cpus" || flag == "--cpuset-mems") {
      AddSet(wish, in, v1);
    } else if (flag == "--blkio-weight") {
      const std::string same = absl::StrCat(limits_.blkio_weight);
      if (v1) Write(wish.flag, {{in + "blkio.bfq.weight", same}, {in + "blkio.weight", same}});
      if (!v1) {
        Write(wish.flag,
              {{in + "io.bfq.weight", same}, {in + "io.weight", absl::StrCat(IoWeight(limits_.blkio_weight))}});
      }
    }
  }

  void AddMemory(const std::string& in, bool v1) {
    const bool asked = limits_.memory_swap != 0;
    const bool unlimited = limits_.memory_swap == kUnlimitedSwap;
    const char* flag = asked ? "--memory-swap" : "--memory";
    const uint64_t memory = limits_.memory_bytes;
    // As much swap as memory unless it is asked for, which is Docker's default.
    const uint64_t doubled = memory > (uint64_t{1} << 62) ? memory : 2 * memory;
    const uint64_t both = asked ? static_cast<uint64_t>(limits_.memory_swap) : doubled;
    if (v1) {
      Write("--memory", {{in + "memory.limit_in_bytes", absl::StrCat(memory)}});
      Write(flag, {{in + "memory.memsw.limit_in_bytes", unlimited ? "-1" : absl::StrCat(both)}}, !asked);
      plan_.oom_events = in + "memory.oom_control";
    } else {
      Write("--memory", {{in + "memory.max", absl::StrCat(memory)}});
      Write(flag, {{in + "memory.swap.max", unlimited ? "max" : absl::StrCat(both - memory)}}, !asked);
      plan_.oom_events = in + "memory.events";
    }
  }

  // On v1 a new cgroup has neither CPUs nor nodes, and takes no process before it has both.
  void AddSet(const Wish& wish, const std::string& in, bool v1) {
    if (!v1) {
      const bool cpus = absl::string_view(wish.flag) == "--cpuset-cpus";
      Write(wish.flag,
            {{in + (cpus ? "cpuset.cpus" : "cpuset.mems"), cpus ? limits_.cpuset_cpus : limits_.cpuset_mems}});
      return;
    }
    if (set_written_) return;
    set_written_ = true;
    const std::string above = view_.v1.at("cpuset");
    auto value = [&](bool granted, const std::string& asked, const char* file) {
      return granted ? asked : std::string(absl::StripAsciiWhitespace(ReadFileOrEmpty(above + file)));
    };
    auto granted = [&](absl::string_view flag) {
      return std::any_of(granted_.begin(), granted_.end(), [&](const Wish& each) { return each.flag == flag; });
    };
    Write(wish.flag, {{in + "cpuset.mems", value(granted("--cpuset-mems"), limits_.cpuset_mems, "/cpuset.mems")}});
    Write(wish.flag, {{in + "cpuset.cpus", value(granted("--cpuset-cpus"), limits_.cpuset_cpus, "/cpuset.cpus")}});
  }

  const CgroupView& view_;
  const std::string leaf_;
  const std::string unit_;
  const ResourceLimits& limits_;
  const SystemdQuestions& systemd_;
  CgroupPlan plan_;
  std::vector<Wish> granted_;
  std::map<std::string, std::string> home_;  // the container's directory, by controller
  std::vector<std::string> on_unified_;      // controllers that are to be had there, in `place_` or `scope_`
  UnifiedPlace place_;
  std::optional<ScopePlace> scope_;
  bool set_written_ = false;
};

}  // namespace

std::vector<std::string> CgroupPlan::Directories() const {
  std::vector<std::string> all = v1;
  if (!unified.empty()) all.push_back(unified);
  return all;
}

absl::StatusOr<CgroupPlan> PlanCgroups(const CgroupView& view, absl::string_view short_id, const ResourceLimits& limits,
                                       const SystemdQuestions& systemd) {
  return Planner(view, short_id, limits, systemd).Plan();
}

std::string LacksFile(const CgroupLimit& limit) {
  std::vector<absl::string_view> names;
  for (const CgroupLimit::Setting& setting : limit.settings) {
    names.push_back(absl::string_view(setting.file).substr(setting.file.rfind('/') + 1));
  }
  std::string text =
      absl::StrCat(limit.flag, " cannot be enforced: this kernel's cgroups have no ", absl::StrJoin(names, " and no "));
  if (limit.flag == "--blkio-weight") absl::StrAppend(&text, "; as root: modprobe bfq");
  if (limit.flag == "--memory-swap") absl::StrAppend(&text, "; boot with swapaccount=1");
  return text;
}

}  // namespace acetate::launcher
