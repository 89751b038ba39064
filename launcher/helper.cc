#include "launcher/helper.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "common/errno_or.h"
#include "common/syscalls.h"
#include "launcher/daemon.h"
#include "launcher/error_line.h"
#include "launcher/files.h"
#include "launcher/init.h"
#include "launcher/program.h"
#include "launcher/supervise.h"

namespace acetate::launcher {
namespace {

// Carries out the plan's helper steps.
class HelperSteps {
 public:
  explicit HelperSteps(HelperInputs* inputs) : in_(*inputs) {}

  absl::Status Run() {
    for (const Step<HelperAction>& step : in_.plan->helper) {
      what_ = &step.what;
      absl::Status status = std::visit([this](const auto& action) { return Do(action); }, step.action);
      if (!status.ok()) return status;
    }
    return absl::OkStatus();
  }

  Processes TakeProcesses() { return std::move(processes_); }

 private:
  absl::Status Do(const MapIds&) {
    if (in_.plan->identity.method == Identity::Method::kSingle) {
      if (absl::Status s = WriteIdMaps(in_.plan->identity, 0); !s.ok()) return s;
    } else {
      char byte;
      if (read(in_.control.get(), &byte, 1) != 1) return absl::CancelledError("the launcher ended");
    }
    // From here on no other process of the user, or of this user namespace, may trace or read this one.
    return Named(prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0 ? kOk : Errno::Last());
  }

  // The device has to be opened in here: the kernel wants its opener and the mount to share the user namespace.
  absl::Status Do(const MountUnion& action) {
    ErrnoOr<UniqueFd> device = sys::OpenAt(AT_FDCWD, "/dev/fuse", O_RDWR);
    if (!device.ok()) return ErrnoToStatus(device.error(), "open /dev/fuse");
    device_ = *std::move(device);
    ErrnoOr<UniqueFd> fs = sys::FsOpen("fuse");
    if (!fs.ok()) return Named(fs.error());
    Errno error = sys::FsConfigString(fs->get(), "fd", absl::StrCat(device_.get()).c_str());
    for (const auto& [key, value] : action.options) {
      if (!error.ok()) break;
      error = value.empty() ? sys::FsConfigFlag(fs->get(), key.c_str())
                            : sys::FsConfigString(fs->get(), key.c_str(), value.c_str());
    }
    if (error.ok()) error = sys::FsConfigCreate(fs->get());
    if (!error.ok()) return Named(error);
    ErrnoOr<UniqueFd> mount = sys::FsMount(fs->get(), 0);
    if (!mount.ok()) return Named(mount.error());
    union_ = *std::move(mount);
    return absl::OkStatus();
  }

  absl::Status Do(const StartDaemon& action) {
    absl::StatusOr<Daemon> daemon = StartFusefs(action.words, std::move(device_), in_.mask);
    if (!daemon.ok()) return daemon.status();
    processes_.daemon = *std::move(daemon);
    return absl::OkStatus();
  }

  absl::Status Do(const StartInit& action) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) return Named(Errno::Last());
    UniqueFd report(ends[0]);
    if (fcntl(report.get(), F_SETFL, O_NONBLOCK) != 0) return Named(Errno::Last());
    // PID 1 is made ready before the fork; the parent's copy goes afterwards, and with it the last reference to the
    // union that is not the container's.
    Init init(*in_.plan, std::move(union_), std::move(in_.host.v1_procs), UniqueFd(ends[1]), in_.mask);
    ErrnoOr<pid_t> pid = sys::Fork(action.namespaces, &processes_.init_pidfd, in_.host.unified_cgroup.get());
    if (!pid.ok()) return Named(pid.error());
    if (*pid == 0) {
      report.Reset();
      init.Run();
    }
    processes_.init = *pid;
    processes_.init_report = std::move(report);
    processes_.control = std::move(in_.control);
    return absl::OkStatus();
  }

  absl::Status Named(Errno error) const { return error.ok() ? absl::OkStatus() : ErrnoToStatus(error, *what_); }

  HelperInputs& in_;
  const std::string* what_ = nullptr;
  UniqueFd device_;
  UniqueFd union_;
  Processes processes_;
};

// The containers that killed launchers did not get to remove. Only in here are all of their files ours.
void RemoveStaleTrees(const std::vector<Stale>& stale) {
  for (const Stale& left : stale) {
    if (left.record.remove_container) {
      if (!RemoveTree(left.record.container).ok()) continue;  // the record stays, for another try
      if (!left.record.name_link.empty()) unlink(left.record.name_link.c_str());
    }
    unlink(left.path.c_str());
  }
}

}  // namespace

int RunHelper(HelperInputs inputs) {
  setsid();
  HelperSteps steps(&inputs);
  absl::Status status = steps.Run();
  Outcome outcome;
  if (status.ok()) {
    Processes processes = steps.TakeProcesses();
    RecordInit(inputs.host.record, processes.init).IgnoreError();
    RemoveStaleTrees(inputs.stale);
    outcome = Supervise(*inputs.plan, std::move(processes));
  } else {
    // A daemon that was started reads from a mount that is gone now, and ends.
    outcome.exit_status = kExitOwnFailure;
    outcome.message = std::string(status.message());
  }
  bool keep = outcome.started && !inputs.plan->spec.remove;
  absl::Status undone = inputs.host.undo.Run(keep);
  if (!outcome.message.empty()) PrintErrorLine(outcome.message);
  if (!undone.ok()) PrintErrorLine(undone.message());
  return outcome.exit_status;
}

}  // namespace acetate::launcher
