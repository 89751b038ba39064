#include "launcher/helper.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
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
#include "launcher/protocol.h"
#include "launcher/session.h"
#include "launcher/streams.h"
#include "launcher/supervise.h"
#include "launcher/sweep.h"

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
  Session* session() { return &*session_; }

 private:
  absl::Status Do(const MapIds&) {
    if (in_.plan->identity.method == Identity::Method::kSingle) {
      if (absl::Status s = WriteIdMaps(in_.plan->identity, 0); !s.ok()) return s;
    } else {
      ErrnoOr<Packet> packet = AwaitPacket(in_.control.get(), -1);
      if (!packet.ok() || packet->type != Message::kIdMapsWritten) return absl::CancelledError("the launcher ended");
    }
    in_.profile.End(Profile::Phase::kUserNamespace);
    // From here on no other process of the user, or of this user namespace, may trace or read this one.
    return Named(prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0 ? kOk : Errno::Last());
  }

  // The namespaces that are made from here on take part in the host's mounts no more than this one.
  absl::Status Do(const LeaveHostsMounts&) {
    if (mount(nullptr, "/", nullptr, MS_REC | MS_SLAVE, nullptr) != 0) return Named(Errno::Last());
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
    ErrnoOr<UniqueFd> mount = sys::FsMount(fs->get(), action.attributes);
    if (!mount.ok()) return Named(mount.error());
    union_ = *std::move(mount);
    in_.profile.End(Profile::Phase::kMount);
    return absl::OkStatus();
  }

  absl::Status Do(const Listen&) {
    ErrnoOr<UniqueFd> listener = ListenIn(in_.plan->runtime_dir, kControlSocket);
    if (!listener.ok()) return Named(listener.error());
    listener_ = *std::move(listener);
    return absl::OkStatus();
  }

  absl::Status Do(const OpenLog&) {
    ErrnoOr<LogWriter> log = LogWriter::Open(in_.plan->store.container, in_.plan->spec.log_max_bytes);
    if (!log.ok()) return Named(log.error());
    log_ = *std::move(log);
    return absl::OkStatus();
  }

  absl::Status Do(const StartDaemon& action) {
    absl::StatusOr<Daemon> daemon = StartFusefs(action.words, std::move(device_), in_.mask);
    if (!daemon.ok()) return daemon.status();
    processes_.daemon = *std::move(daemon);
    in_.profile.End(Profile::Phase::kDaemonStart);
    return absl::OkStatus();
  }

  absl::Status Do(const StartInit& action) {
    auto ends = SocketPair();
    if (!ends.ok()) return Named(ends.error());
    session_.emplace(in_.plan->spec, std::move(in_.control), std::move(listener_));
    if (log_.has_value()) session_->KeepLog(*std::move(log_));
    InitInputs inputs;
    inputs.union_mount = std::move(union_);
    inputs.cgroups = std::move(in_.host.v1_procs);
    inputs.report = std::move(ends->second);
    inputs.mask = in_.mask;
    inputs.profile = in_.profile;
    if (in_.plan->spec.HasSession() && !in_.plan->spec.terminal) {
      absl::StatusOr<StreamEnds> outside = MakePipes(in_.plan->spec.interactive, inputs.stdio);
      if (!outside.ok()) return outside.status();
      session_->SetPipes(*std::move(outside));
    }
    if (absl::Status s = GiveAway(inputs.stdio); !s.ok()) return s;
    // PID 1 is made ready before the fork; the parent's copy goes afterwards, and with it the last reference to the
    // union that is not the container's.
    Init init(*in_.plan, std::move(inputs));
    if (in_.plan->FakesIds()) {
      absl::Status s = processes_.fake_ids.Start(in_.plan->Capabilities(), UniqueFd());
      if (!s.ok()) return s;
    }
    // Only of who can be looked at the maps can be written.
    const bool own_ids = in_.plan->identity.has_inner();
    if (own_ids) prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
    ErrnoOr<pid_t> pid = sys::Fork(action.namespaces, &processes_.init_pidfd, in_.host.unified_cgroup.get());
    if (!pid.ok()) return Named(pid.error());
    if (*pid == 0) {
      ends->first.Reset();
      init.Run();
    }
    if (own_ids) {
      prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
      // PID 1 waits for this word, or for the end of this process.
      if (absl::Status s = WriteInnerIdMaps(in_.plan->identity, *pid); !s.ok()) return s;
      SendRecord(ends->first.get(), "", 1, nullptr, 0).IgnoreError();  // PID 1 may be gone, which is noticed later
    }
    processes_.init = *pid;
    processes_.init_report = std::move(ends->first);
    processes_.mask = in_.mask;
    processes_.bridge = std::move(in_.bridge);
    processes_.profile = in_.profile;
    return absl::OkStatus();
  }

  // The container's root has to be able to open its streams by their names, /dev/stdout and the like.
  absl::Status GiveAway(const UniqueFd (&stdio)[3]) {
    const Identity& identity = in_.plan->identity;
    if (!identity.slice.has_value()) return absl::OkStatus();
    for (const UniqueFd& fd : stdio) {
      struct stat st;
      if (!fd.valid() || fstat(fd.get(), &st) != 0 || !S_ISFIFO(st.st_mode)) continue;
      if (fchown(fd.get(), identity.inner_uids[0].outside, identity.inner_gids[0].outside) != 0) {
        return Named(Errno::Last());
      }
    }
    return absl::OkStatus();
  }

  absl::Status Named(Errno error) const { return error.ok() ? absl::OkStatus() : ErrnoToStatus(error, *what_); }

  HelperInputs& in_;
  const std::string* what_ = nullptr;
  UniqueFd device_;
  UniqueFd union_;
  UniqueFd listener_;
  std::optional<LogWriter> log_;
  std::optional<Session> session_;  // from StartInit on
  Processes processes_;
};

}  // namespace

int RunHelper(HelperInputs inputs) {
  setsid();
  HelperSteps steps(&inputs);
  absl::Status status = steps.Run();
  if (!status.ok()) {
    // A daemon that was started reads from a mount that is gone now, and ends.
    PrintErrorLine(status.message());
    inputs.host.undo.Run(false).IgnoreError();
    return kExitOwnFailure;
  }
  Processes processes = steps.TakeProcesses();
  Session* session = steps.session();
  RecordInit(inputs.host.record, processes.init).IgnoreError();
  RemoveStaleTrees(inputs.stale);
  bool own_streams = inputs.plan->spec.HasSession();
  Outcome outcome = Supervise(*inputs.plan, std::move(processes), session, [&](pid_t pid) {
    session->Started(pid);
    // Whoever started it may read its output to the end, and this process is to be in no one's way.
    if (own_streams) LeaveBehind();
  });
  // Who waits for the end reads it there, even when nothing else of the container stays.
  RecordEnd(inputs.host.record, outcome.exit_status).IgnoreError();
  bool keep = outcome.started && !inputs.plan->spec.remove;
  absl::Status undone = inputs.host.undo.Run(keep);
  if (!outcome.message.empty()) PrintErrorLine(outcome.message);
  if (!undone.ok()) PrintErrorLine(undone.message());
  session->End(outcome.exit_status, outcome.message);
  return outcome.exit_status;
}

}  // namespace acetate::launcher
