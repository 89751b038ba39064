#include "launcher/host_steps.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "common/errno_or.h"
#include "common/syscalls.h"
#include "launcher/config_file.h"
#include "launcher/files.h"
#include "launcher/id_lease.h"
#include "launcher/record.h"
#include "launcher/systemd_scope.h"

namespace acetate::launcher {
namespace {

using Kind = UndoList::Kind;
using When = UndoList::When;

class HostSteps {
 public:
  HostSteps(const Plan& plan, HostState* state) : plan_(plan), state_(state) {
    state_->unenforced = plan.cgroup.unenforced;
  }

  absl::Status Run() {
    for (const Step<HostAction>& step : plan_.host) {
      what_ = &step.what;
      absl::Status status = std::visit([this](const auto& action) { return Do(action); }, step.action);
      if (!status.ok()) return status;
    }
    return absl::OkStatus();
  }

 private:
  absl::Status Do(const MakeStoreDirectory&) { return MakeStore(plan_.store.root); }

  absl::Status Do(const WriteRecord&) {
    RunRecord record;
    record.remove_container = plan_.spec.remove;
    record.container = plan_.store.container;
    record.name_link = plan_.store.name_link;
    record.runtime_dir = plan_.runtime_dir;
    record.cgroups = plan_.cgroup.Directories();
    record.leaf = plan_.cgroup.leaf;
    absl::StatusOr<UniqueFd> fd = CreateRecord(plan_.store.record, record);
    if (!fd.ok()) return fd.status();
    state_->record = *std::move(fd);
    state_->undo.Add(Kind::kFile, When::kAlways, plan_.store.record);
    return absl::OkStatus();
  }

  absl::Status Do(const ClaimName&) {
    absl::Status status = TakeName(plan_.store, plan_.id, plan_.spec.name);
    if (status.ok()) state_->undo.Add(Kind::kFile, When::kWithContainer, plan_.store.name_link);
    return status;
  }

  absl::Status Do(const MakeContainer&) {
    if (absl::Status s = MakeDirectory(plan_.store.container, 0700); !s.ok()) return s;
    state_->undo.Add(Kind::kTree, When::kWithContainer, plan_.store.container);
    // The upper's own mode is that of the container's root directory.
    if (absl::Status s = MakeDirectory(plan_.store.upper, 0755); !s.ok()) return s;
    if (absl::Status s = MakeDirectory(plan_.store.work, 0700); !s.ok()) return s;
    return WriteConfigFile(plan_);
  }

  absl::Status Do(const MakeRuntimeDirectory&) {
    absl::Status status = MakeDirectory(plan_.runtime_dir, 0700);
    if (status.ok()) state_->undo.Add(Kind::kTree, When::kAlways, plan_.runtime_dir);
    return status;
  }

  // Removed with the directory.
  absl::Status Do(const WriteEtcFiles&) {
    for (const char* name : plan_.EtcFiles()) {
      absl::string_view which = name;
      std::string text = which == "hosts"         ? plan_.network.hosts
                         : which == "resolv.conf" ? plan_.network.resolv_conf
                                                  : plan_.hostname + "\n";
      if (Errno e = ReplaceFile(absl::StrCat(plan_.runtime_dir, "/", name), text, 0644); !e.ok()) return Named(e);
    }
    return absl::OkStatus();
  }

  // Ends by itself when the last process in it does.
  absl::Status Do(const StartScope& action) {
    absl::Status status = StartSystemdScope(action.unit);
    if (!status.ok()) return absl::Status(status.code(), absl::StrCat(*what_, ": ", status.message()));
    const std::string present = ReadCgroupView().unified;
    if (present == action.directory) return absl::OkStatus();
    return absl::InternalError(absl::StrCat(*what_, ": it is in ", present, ", not in ", action.directory));
  }

  absl::Status Do(const StepAside& action) {
    if (absl::Status s = MakeDirectory(action.leaf, 0755); !s.ok()) return s;
    // The scope goes with all that is in it.
    if (plan_.cgroup.scope.empty()) state_->undo.Add(Kind::kLeaf, When::kAlways, action.leaf);
    return MoveProcesses(action.leaf.substr(0, action.leaf.rfind('/')), action.leaf);
  }

  absl::Status Do(const TakeIds& action) {
    absl::StatusOr<UniqueFd> lease = TakeLease(action.runtime_root, action.slice);
    if (!lease.ok()) return lease.status();
    state_->id_lease = *std::move(lease);
    state_->undo.Add(Kind::kFile, When::kAlways, LeasePath(action.runtime_root, action.slice));
    return absl::OkStatus();
  }

  absl::Status Do(const MakeCgroupDirectory& action) {
    if (absl::Status s = MakeDirectory(action.path, 0755); !s.ok()) return s;
    state_->undo.Add(Kind::kCgroup, When::kAlways, action.path);
    if (action.path == plan_.cgroup.unified) {
      return Open(action.path, O_RDONLY | O_DIRECTORY, &state_->unified_cgroup);
    }
    UniqueFd procs;
    absl::Status status = Open(action.path + "/cgroup.procs", O_WRONLY, &procs);
    if (status.ok()) state_->v1_procs.push_back(std::move(procs));
    return status;
  }

  absl::Status Do(const EnableControllers& action) { return Named(WriteExisting(action.file, action.controllers)); }

  absl::Status Do(const WriteLimit& action) {
    bool written = false;
    for (const CgroupLimit::Setting& setting : action.limit.settings) {
      Errno error = WriteExisting(setting.file, setting.value);
      if (!error.ok() && error != ENOENT) return Named(error);
      written = written || error.ok();
    }
    if (written || action.limit.optional) return absl::OkStatus();
    if (!plan_.spec.limits.best_effort) return absl::FailedPreconditionError(LacksFile(action.limit));
    state_->unenforced.push_back(LacksFile(action.limit));
    return absl::OkStatus();
  }

  absl::Status MakeDirectory(const std::string& path, mode_t mode) {
    return mkdir(path.c_str(), mode) == 0 ? absl::OkStatus() : Named(Errno::Last());
  }

  absl::Status Open(const std::string& path, int flags, UniqueFd* target) {
    ErrnoOr<UniqueFd> fd = sys::OpenAt(AT_FDCWD, path.c_str(), flags);
    if (!fd.ok()) return Named(fd.error());
    *target = *std::move(fd);
    return absl::OkStatus();
  }

  // The error of the present step.
  absl::Status Named(Errno error) const { return error.ok() ? absl::OkStatus() : ErrnoToStatus(error, *what_); }

  const Plan& plan_;
  HostState* const state_;
  const std::string* what_ = nullptr;
};

}  // namespace

absl::Status RunHostSteps(const Plan& plan, HostState* state) { return HostSteps(plan, state).Run(); }

}  // namespace acetate::launcher
