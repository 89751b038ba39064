#include "launcher/launch.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/errno_or.h"
#include "common/runtime_dir.h"
#include "common/syscalls.h"
#include "launcher/cgroup.h"
#include "launcher/daemon.h"
#include "launcher/error_line.h"
#include "launcher/files.h"
#include "launcher/helper.h"
#include "launcher/host_steps.h"
#include "launcher/plan.h"
#include "launcher/program.h"
#include "launcher/record.h"

namespace acetate::launcher {
namespace {

absl::Status CheckFuseDevice() {
  if (access("/dev/fuse", R_OK | W_OK) == 0) return absl::OkStatus();
  const char* cure = errno == EACCES ? "; allow it with chmod 0666 /dev/fuse, or a udev rule"
                                     : "; load it with modprobe fuse, or give this container the device";
  absl::Status status = ErrnoToStatus(Errno::Last(), "/dev/fuse");
  return absl::Status(status.code(), absl::StrCat(status.message(), cure));
}

absl::Status CheckVolumes(const Spec& spec) {
  for (const Volume& volume : spec.volumes) {
    struct stat st;
    if (stat(volume.source.c_str(), &st) == 0) continue;
    return ErrnoToStatus(Errno::Last(), absl::StrCat("--volume: ", volume.source));
  }
  return absl::OkStatus();
}

absl::Status CheckUser(const Spec& spec, const Identity& identity) {
  if (!spec.user.has_value()) return absl::OkStatus();
  const IdOrName& user = spec.user->user;
  bool fits = !user.id.has_value() || identity.MapsUid(*user.id);
  if (spec.user->group.has_value() && spec.user->group->id.has_value()) {
    fits = fits && identity.MapsGid(*spec.user->group->id);
  }
  if (fits) return absl::OkStatus();
  return absl::FailedPreconditionError(
      "--user: this number is outside of the ids you may use; root can give you more in /etc/subuid and /etc/subgid");
}

// A layer that holds the store would show the container its own writable layer.
absl::Status CheckStoreOutside(const Image& image, const std::string& store) {
  for (const std::string& layer : image.layers) {
    std::string inside = layer == "/" ? layer : layer + "/";
    if (absl::StartsWith(store + "/", inside)) {
      return absl::FailedPreconditionError(
          absl::StrCat("the store ", store, " lies inside the image's layer ", layer, "; set XDG_DATA_HOME elsewhere"));
    }
  }
  return absl::OkStatus();
}

// Everything that can be found wrong without making anything is found wrong here.
absl::StatusOr<Plan> Resolve(const Spec& spec) {
  PlanInputs inputs;
  absl::StatusOr<Image> image = LoadImage(spec.image);
  if (!image.ok()) return image.status();
  inputs.image = *std::move(image);
  if (absl::Status s = CheckVolumes(spec); !s.ok()) return s;

  absl::StatusOr<std::string> store = StoreRoot();
  if (!store.ok()) return store.status();
  inputs.store_root = *std::move(store);
  if (absl::Status s = CheckStoreOutside(inputs.image, inputs.store_root); !s.ok()) return s;

  absl::StatusOr<Identity> identity = ChooseIdentity(ReadIdentitySources());
  if (!identity.ok()) return identity.status();
  inputs.identity = *std::move(identity);
  if (absl::Status s = CheckUser(spec, inputs.identity); !s.ok()) return s;

  if (absl::Status s = CheckFuseDevice(); !s.ok()) return s;
  absl::StatusOr<std::string> fusefs = FindFusefs();
  if (!fusefs.ok()) return fusefs.status();
  inputs.fusefs = *std::move(fusefs);

  absl::StatusOr<std::string> id = NewId();
  if (!id.ok()) return id.status();
  inputs.id = *std::move(id);
  absl::StatusOr<CgroupPlan> cgroup =
      PlanCgroups(ReadCgroupView(), ShortId(inputs.id), spec.memory_bytes, spec.pids_limit);
  if (!cgroup.ok()) return cgroup.status();
  inputs.cgroup = *std::move(cgroup);

  absl::StatusOr<std::string> runtime = RuntimeDir();
  if (!runtime.ok()) return runtime.status();
  inputs.runtime_root = *std::move(runtime);
  return MakePlan(spec, inputs);
}

// Ends what killed launchers left running and removes what they left outside of the store. Of the records, those whose
// container must go too are for the helper.
std::vector<Stale> SweepStale(const std::string& store_root) {
  std::vector<Stale> stale = FindStale(store_root);
  for (const Stale& left : stale) {
    KillRecordedInit(left.record);
    // What cannot be removed now is tried again next time: its record stays.
    for (const std::string& cgroup : left.record.cgroups) RemoveCgroup(cgroup).IgnoreError();
    if (!left.record.runtime_dir.empty()) RemoveTree(left.record.runtime_dir).IgnoreError();
  }
  return stale;
}

// The signals that the container gets when launch does. Not those that stop or continue launch itself, which the
// terminal's user means for the whole job, nor those that tell of a fault in it.
sigset_t ForwardedSignals() {
  sigset_t set;
  sigfillset(&set);
  for (int signal : {SIGCHLD, SIGURG, SIGPIPE, SIGCONT, SIGTSTP, SIGTTIN, SIGTTOU, SIGABRT, SIGBUS, SIGFPE, SIGILL,
                     SIGSEGV, SIGSYS, SIGTRAP}) {
    sigdelset(&set, signal);
  }
  return set;
}

// Passes signals on until the helper ends; returns its wait status.
int ForwardSignals(pid_t helper, const UniqueFd& control, const sigset_t& forwarded) {
  sigset_t awaited = forwarded;
  sigaddset(&awaited, SIGCHLD);
  for (;;) {
    int status;
    if (waitpid(helper, &status, WNOHANG) == helper) return status;
    int signal = sigwaitinfo(&awaited, nullptr);
    if (signal <= 0 || signal == SIGCHLD) continue;
    char byte = static_cast<char>(signal);
    // A helper that is gone cannot be told; its end is noticed next.
    if (write(control.get(), &byte, 1) < 0) continue;
  }
}

// A helper does not die of itself; someone killed it. PID 1 goes with it unless it asked not to.
int CleanUpAfterHelper(const Plan& plan, UndoList* undo, int wait_status) {
  KillRecordedInit(ParseRecord(ReadFileOrEmpty(plan.store.record)));
  undo->Run(!plan.spec.remove).IgnoreError();
  PrintErrorLine(absl::StrCat("the container's helper process was killed by signal ", WTERMSIG(wait_status)));
  return kExitOwnFailure;
}

absl::Status StartHelper(const Plan& plan, HostState* host, std::vector<Stale> stale, const sigset_t& mask,
                         pid_t* helper, UniqueFd* control) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return ErrnoToStatus(Errno::Last(), "make a pipe");
  UniqueFd reading(ends[0]);
  control->Reset(ends[1]);
  ErrnoOr<pid_t> pid = sys::Fork(CLONE_NEWUSER | CLONE_NEWNS, nullptr);
  if (!pid.ok()) {
    absl::Status status = ErrnoToStatus(pid.error(), "make a user namespace");
    return absl::Status(status.code(), absl::StrCat(status.message(), UserNamespaceHint()));
  }
  if (*pid == 0) {
    control->Reset();
    _exit(RunHelper({&plan, std::move(*host), std::move(stale), std::move(reading), mask}));
  }
  *helper = *pid;
  if (plan.identity.method == Identity::Method::kSingle) return absl::OkStatus();
  absl::Status status = WriteIdMaps(plan.identity, *pid);
  if (status.ok() && write(control->get(), &kIdMapsWritten, 1) != 1) status = absl::CancelledError("the helper ended");
  return status;
}

absl::StatusOr<int> Run(const Spec& spec, const sigset_t& forwarded, const sigset_t& mask) {
  absl::StatusOr<Plan> plan = Resolve(spec);
  if (!plan.ok()) return plan.status();
  std::vector<Stale> stale = SweepStale(plan->store.root);

  HostState host;
  pid_t helper = 0;
  UniqueFd control;
  absl::Status status = RunHostSteps(*plan, &host);
  if (status.ok()) status = StartHelper(*plan, &host, std::move(stale), mask, &helper, &control);
  if (!status.ok()) {
    if (helper != 0) {
      kill(helper, SIGKILL);
      waitpid(helper, nullptr, 0);
    }
    host.undo.Run(false).IgnoreError();
    return status;
  }
  int wait_status = ForwardSignals(helper, control, forwarded);
  if (WIFEXITED(wait_status)) return WEXITSTATUS(wait_status);
  return CleanUpAfterHelper(*plan, &host.undo, wait_status);
}

}  // namespace

int Launch(const Spec& spec) {
  // Blocked before anything is made, so that none of these ends launch between making a thing and cleaning it up.
  sigset_t forwarded = ForwardedSignals();
  sigset_t blocked = forwarded;
  sigaddset(&blocked, SIGCHLD);
  sigaddset(&blocked, SIGPIPE);
  sigset_t mask;
  sigprocmask(SIG_BLOCK, &blocked, &mask);
  absl::StatusOr<int> exit_status = Run(spec, forwarded, mask);
  if (exit_status.ok()) return *exit_status;
  PrintErrorLine(exit_status.status().message());
  return kExitOwnFailure;
}

int Explain(const Spec& spec) {
  absl::StatusOr<Plan> plan = Resolve(spec);
  if (!plan.ok()) {
    PrintErrorLine(plan.status().message());
    return kExitOwnFailure;
  }
  std::string text = ExplainPlan(*plan);
  return write(STDOUT_FILENO, text.data(), text.size()) == static_cast<ssize_t>(text.size()) ? 0 : kExitOwnFailure;
}

}  // namespace acetate::launcher
