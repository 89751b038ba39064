#include "launcher/launch.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <climits>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/errno_or.h"
#include "common/runtime_dir.h"
#include "common/syscalls.h"
#include "launcher/bridge_keeper.h"
#include "launcher/client.h"
#include "launcher/error_line.h"
#include "launcher/files.h"
#include "launcher/helper.h"
#include "launcher/host_steps.h"
#include "launcher/id_files.h"
#include "launcher/id_lease.h"
#include "launcher/plan.h"
#include "launcher/profile.h"
#include "launcher/program.h"
#include "launcher/protocol.h"
#include "launcher/record.h"
#include "launcher/resolve.h"
#include "launcher/sweep.h"

namespace acetate::launcher {
namespace {

constexpr size_t kLargestProfile = 1 << 20;

// A helper does not die of itself; someone killed it. PID 1 goes with it unless it asked not to.
int CleanUpAfterHelper(const Plan& plan, UndoList* undo, int wait_status) {
  KillRecordedInit(ParseRecord(ReadFileOrEmpty(plan.store.record)));
  undo->Run(!plan.spec.remove).IgnoreError();
  PrintErrorLine(absl::StrCat("the container's helper process was killed by signal ", WTERMSIG(wait_status)));
  return kExitOwnFailure;
}

absl::Status StartHelper(const Plan& plan, HostState* host, std::vector<Stale> stale, UniqueFd bridge,
                         const sigset_t& mask, const Profile& profile, pid_t* helper, UniqueFd* control) {
  auto ends = SocketPair();
  if (!ends.ok()) return ErrnoToStatus(ends.error(), "make a socket");
  *control = std::move(ends->first);
  UniqueFd helpers_end = std::move(ends->second);
  const bool on_host = plan.identity.method == Identity::Method::kHost;
  ErrnoOr<pid_t> pid = sys::Fork(CLONE_NEWNS | (on_host ? 0u : CLONE_NEWUSER), nullptr);
  if (!pid.ok()) {
    absl::Status status = ErrnoToStatus(pid.error(), on_host ? "make a mount namespace" : "make a user namespace");
    return absl::Status(status.code(), absl::StrCat(status.message(), on_host ? "" : UserNamespaceHint()));
  }
  if (*pid == 0) {
    control->Reset();
    _exit(RunHelper(
        {&plan, std::move(*host), std::move(stale), std::move(bridge), std::move(helpers_end), mask, profile}));
  }
  *helper = *pid;
  if (plan.identity.method == Identity::Method::kSingle || on_host) return absl::OkStatus();
  absl::Status status = WriteIdMaps(plan.identity, *pid);
  if (status.ok() && !SendPacket(control->get(), Message::kIdMapsWritten, "").ok()) {
    status = absl::CancelledError("the helper ended");
  }
  return status;
}

// What a helper that was started comes to.
int FollowHelper(const Plan& plan, pid_t helper, UniqueFd control, UndoList* undo, IdFiles* files) {
  ClientOptions options;
  options.socket = std::move(control);
  options.child = helper;
  options.terminal = plan.spec.terminal && !plan.spec.detach;
  options.interactive = options.terminal && plan.spec.interactive;
  options.leaves_at_start = plan.spec.detach;
  options.detach_keys = plan.spec.detach_keys;
  options.on_start = [&](pid_t pid) { files->Started(pid); };
  ClientEnd end = RunClient(std::move(options));
  switch (end.how) {
    case ClientEnd::How::kLeft:
      if (plan.spec.detach) WriteAll(STDOUT_FILENO, plan.id + "\n").IgnoreError();
      return 0;
    case ClientEnd::How::kExited:
    case ClientEnd::How::kLost:
      break;
  }
  if (WIFEXITED(end.status)) return WEXITSTATUS(end.status);
  return CleanUpAfterHelper(plan, undo, end.status);
}

// Held while ids are chosen, if they are to be no other container's, until they are taken.
absl::StatusOr<UniqueFd> LockIdsFor(const Spec& spec) {
  if (spec.userns.mode != UsernsSpec::Mode::kAuto) return UniqueFd();
  absl::StatusOr<std::string> runtime = RuntimeDir();
  if (!runtime.ok()) return runtime.status();
  return LockIds(*runtime);
}

absl::StatusOr<int> Run(const Spec& spec, const std::string& existing_id, const sigset_t& mask,
                        const Profile& profile) {
  absl::StatusOr<UniqueFd> ids = LockIdsFor(spec);
  if (!ids.ok()) return ids.status();
  absl::StatusOr<Plan> plan = Resolve(spec, existing_id);
  if (!plan.ok()) return plan.status();
  profile.End(Profile::Phase::kPlan);
  // First of all, so that it has none of the locks that are about to be taken.
  UniqueFd bridge;
  if (plan->network.mode == NetworkMode::kBridge) {
    absl::StatusOr<UniqueFd> keeper = StartBridgeKeeper(*plan);
    if (!keeper.ok()) return keeper.status();
    bridge = *std::move(keeper);
  }
  std::vector<Stale> stale = SweepHost(plan->store.root);

  IdFiles files;
  if (absl::Status s = files.Make(spec, plan->id); !s.ok()) return s;
  HostState host;
  pid_t helper = 0;
  UniqueFd control;
  absl::Status status = RunHostSteps(*plan, &host);
  if (status.ok() && !host.unenforced.empty()) {
    PrintErrorLine(absl::StrCat("warning: ", absl::StrJoin(host.unenforced, "; ")));
  }
  ids->Reset();
  profile.End(Profile::Phase::kHostSteps);
  if (status.ok())
    status = StartHelper(*plan, &host, std::move(stale), std::move(bridge), mask, profile, &helper, &control);
  if (!status.ok()) {
    if (helper != 0) {
      kill(helper, SIGKILL);
      waitpid(helper, nullptr, 0);
    }
    host.undo.Run(false).IgnoreError();
    return status;
  }
  return FollowHelper(*plan, helper, std::move(control), &host.undo, &files);
}

// Paths that a later `start` is to understand, wherever it is called.
Spec WithAbsoluteVolumes(Spec spec) {
  char here[PATH_MAX];
  for (Volume& volume : spec.volumes) {
    if (!absl::StartsWith(volume.source, "/") && getcwd(here, sizeof(here)) != nullptr) {
      volume.source = absl::StrCat(here, "/", volume.source);
    }
  }
  return spec;
}

// The profile as it is now: a later `start` or `exec` is to have the same.
absl::StatusOr<Spec> WithProfile(Spec spec) {
  if (spec.seccomp.empty() || spec.seccomp == kSeccompUnconfined || !spec.seccomp_profile.empty()) return spec;
  ErrnoOr<std::string> text = ReadFileAt(AT_FDCWD, spec.seccomp.c_str(), kLargestProfile);
  if (!text.ok()) return ErrnoToStatus(text.error(), absl::StrCat("--security-opt: ", spec.seccomp));
  spec.seccomp_profile = *std::move(text);
  return spec;
}

}  // namespace

int Launch(const Spec& spec, const std::string& existing_id) {
  const Profile profile = spec.profile ? Profile::Start() : Profile();
  // Blocked before anything is made, so that none of these ends launch between making a thing and cleaning it up.
  sigset_t mask = BlockClientSignals();
  absl::StatusOr<Spec> whole = WithProfile(WithAbsoluteVolumes(spec));
  absl::StatusOr<int> exit_status = whole.ok() ? Run(*whole, existing_id, mask, profile) : whole.status();
  if (exit_status.ok()) {
    if (!spec.detach) profile.End(Profile::Phase::kCleanUp);
    WriteAll(STDERR_FILENO, profile.Report()).IgnoreError();
    return *exit_status;
  }
  PrintErrorLine(exit_status.status().message());
  return kExitOwnFailure;
}

int Explain(const Spec& spec) {
  absl::StatusOr<Spec> whole = WithProfile(spec);
  absl::StatusOr<Plan> plan = whole.ok() ? Resolve(*whole, "") : whole.status();
  if (!plan.ok()) {
    PrintErrorLine(plan.status().message());
    return kExitOwnFailure;
  }
  return WriteAll(STDOUT_FILENO, ExplainPlan(*plan)).ok() ? 0 : kExitOwnFailure;
}

}  // namespace acetate::launcher
