#include "fusefs/daemon.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "common/mutex.h"
#include "common/runtime_dir.h"
#include "fusefs/background.h"
#include "fusefs/branch.h"
#include "fusefs/confine.h"
#include "fusefs/control.h"
#include "fusefs/fuse_ops.h"
#include "fusefs/live_branches.h"
#include "fusefs/make_branch.h"
#include "fusefs/mount.h"
#include "fusefs/mount_work.h"
#include "fusefs/mountpoint.h"
#include "fusefs/open_branches.h"
#include "fusefs/owner_calls.h"
#include "fusefs/session_loop.h"
#include "fusefs/signals.h"
#include "fusefs/stats.h"
#include "fusefs/stderr_capture.h"
#include "fusefs/union_fs.h"

namespace acetate::fusefs {
namespace {

struct DestroySession {
  void operator()(fuse_session* session) const { fuse_session_destroy(session); }
};
using SessionPtr = std::unique_ptr<fuse_session, DestroySession>;

// Users' soft limit is 1024 nearly everywhere, the hard one far higher: fd caches are sized from the soft one.
void RaiseFileLimit() {
  rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

// That they can be written at the end.
absl::Status CheckStatsFd(const Options& options) {
  if (!options.stats_fd.has_value()) return absl::OkStatus();
  const int flags = fcntl(static_cast<int>(*options.stats_fd), F_GETFL);
  if (flags >= 0 && (flags & O_ACCMODE) != O_RDONLY) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("stats_fd=", *options.stats_fd,
                                                 ": is no file descriptor that is open for writing; open one (",
                                                 *options.stats_fd, ">FILE in a shell) or leave the option out"));
}

void WriteStats(const Options& options, const Stats& stats) {
  if (!options.stats_fd.has_value()) return;
  if (dprintf(static_cast<int>(*options.stats_fd), "%s\n", stats.Json().c_str()) < 0) {
    fprintf(stderr, "fusefs: warning: stats_fd=%u: %s\n", *options.stats_fd, strerrordesc_np(errno));
  }
}

// `calls`: null for a daemon that needs none.
absl::StatusOr<std::unique_ptr<UnionFs>> MakeUnion(const Options& options, std::vector<OpenedBranch>* opened,
                                                   OwnerCalls* calls, Stats* stats) {
  std::vector<UnionFs::NewBranch> branches;
  std::string works;
  for (size_t i = 0; i < options.branches.size(); ++i) {
    const BranchSpec& spec = options.branches[i];
    OpenedBranch& from = (*opened)[i];
    absl::StatusOr<std::unique_ptr<Branch>> branch =
        MakeBranch(options, spec, static_cast<BranchId>(i), std::move(from.fd), calls);
    if (!branch.ok()) return branch.status();
    branches.push_back({*std::move(branch), std::move(from.work_fd)});
    if (!spec.workdir.empty()) absl::StrAppend(&works, works.empty() ? "'" : ", '", spec.workdir, "'");
  }
  ErrnoOr<std::unique_ptr<UnionFs>> made = UnionFs::Create(options, std::move(branches), MakeIdentity(options), stats);
  if (!made.ok()) {
    return ErrnoToStatus(made.error(),
                         works.empty() ? "read the layers" : absl::StrCat("prepare the work directory ", works));
  }
  return *std::move(made);
}

absl::StatusOr<SessionPtr> MakeSession(FuseContext* context, bool uring) {
  std::vector<std::string> strings = SessionArguments(*context->options, /*privileged=*/geteuid() == 0, uring);
  std::vector<char*> argv;
  argv.reserve(strings.size());
  for (std::string& argument : strings) argv.push_back(argument.data());
  fuse_args args = FUSE_ARGS_INIT(static_cast<int>(argv.size()), argv.data());
  StderrCapture capture;
  SessionPtr session(NewFuseSession(context, &args));
  const std::string printed = capture.Finish();
  fuse_opt_free_args(&args);
  if (session == nullptr) return absl::InvalidArgumentError(absl::StrCat("mount options: ", OneLine(printed)));
  return session;
}

// Answers what the control socket is asked. Before the mount is there, and after, only for counters.
class Requests {
 public:
  explicit Requests(const Stats* stats) : stats_(stats) {}
  // Null when the mount is about to go.
  void Serve(LiveBranches* branches) {
    MutexLock lock(&mu_);
    branches_ = branches;
  }

  std::string Answer(absl::string_view request) {
    if (request == "stats") return stats_->Json();
    const nlohmann::json parsed = nlohmann::json::parse(request.begin(), request.end(), nullptr, false);
    MutexLock lock(&mu_);
    if (branches_ != nullptr && parsed.is_object() && parsed.contains("branch")) return branches_->Change(parsed);
    if (branches_ != nullptr && parsed.is_object() && parsed.contains("whence")) return branches_->Whence(parsed);
    return R"({"error":"unknown request, or there is no mount yet"})";
  }

 private:
  const Stats* const stats_;
  Mutex mu_;
  LiveBranches* branches_ ABSL_GUARDED_BY(mu_) = nullptr;
};

absl::StatusOr<std::unique_ptr<ControlServer>> StartControl(const std::string& path, ControlServer::IfServed if_served,
                                                            Requests* requests) {
  return ControlServer::Start(path, if_served,
                              [requests](absl::string_view request) { return requests->Answer(request); });
}

// The socket named after the mount's device number. Without it only commands that ask are missing, so failure is a
// warning.
std::unique_ptr<ControlServer> StartDefaultControl(const MountInfo& mount, Requests* requests) {
  absl::StatusOr<std::string> dir = RuntimeDir();
  absl::StatusOr<std::unique_ptr<ControlServer>> server =
      dir.ok() ? StartControl(ControlPath(*dir, mount.major, mount.minor), ControlServer::IfServed::kReplace, requests)
               : dir.status();
  if (server.ok()) return *std::move(server);
  fprintf(stderr, "fusefs: warning: 'fusefs stats', 'branch' and 'whence' will not work: %s\n",
          std::string(server.status().message()).c_str());
  return nullptr;
}

}  // namespace

absl::Status ServeMount(const Options& options) {
  // Nothing has been made until all of this is known to be right.
  absl::StatusOr<bool> uring = TakesUring(options.io, LookForUring());
  if (!uring.ok()) return uring.status();
  absl::Status stats_fd = CheckStatsFd(options);
  if (!stats_fd.ok()) return stats_fd;
  absl::StatusOr<std::string> mountpoint = ResolveMountpoint(options.mountpoint, options.subtype);
  if (!mountpoint.ok()) return mountpoint.status();
  if (options.passthrough) {
    absl::Status possible = Passthrough::Check();
    if (!possible.ok()) return possible;
  }
  absl::StatusOr<std::vector<OpenedBranch>> opened = OpenBranches(options);
  if (!opened.ok()) return opened.status();
  absl::StatusOr<VolatileMarks> marks = VolatileMarks::Open(options, *opened);
  if (!marks.ok()) return marks.status();
  MadeWork made_work(options, *opened);

  absl::StatusOr<Background> background = Background::Enter(options.foreground);
  if (!background.ok()) return background.status();
  RaiseFileLimit();
  umask(0);

  // After the limit and the umask, of which the helper has its own copies.
  const std::unique_ptr<OwnerCalls> calls = OwnerCalls::Start();
  // Before there are threads, each of which would be confined by itself.
  if (options.confine) {
    absl::StatusOr<Confinement> confinement = Confinement::Prepare(options, *opened);
    if (!confinement.ok()) return confinement.status();
    absl::Status entered = confinement->Enter(calls.get());
    if (!entered.ok()) return entered;
  }
  Stats stats;
  Requests requests(&stats);
  std::unique_ptr<ControlServer> control;
  if (!options.control_path.empty()) {
    auto server = StartControl(options.control_path, ControlServer::IfServed::kRefuse, &requests);
    if (!server.ok()) return server.status();
    control = *std::move(server);
  }
  absl::StatusOr<std::unique_ptr<UnionFs>> union_fs = MakeUnion(options, &*opened, calls.get(), &stats);
  if (!union_fs.ok()) return union_fs.status();
  Passthrough passthrough(union_fs->get());
  FuseContext context = {union_fs->get(), &stats, &options, options.passthrough ? &passthrough : nullptr};
  absl::StatusOr<SessionPtr> session = MakeSession(&context, *uring);
  if (!session.ok()) return session.status();
  if (options.udba == Udba::kNotify) {
    Errno watching = (*union_fs)->StartWatching([&](const auto& notes) { ForgetInKernel(session->get(), notes); });
    if (!watching.ok()) return ErrnoToStatus(watching, "udba=notify");
  }
  absl::Cleanup remove_marks = [&] { marks->Remove(); };
  absl::Status mounted = marks->Put();
  if (mounted.ok()) mounted = MountSession(session->get(), *mountpoint);
  if (!mounted.ok()) return mounted;
  std::move(remove_marks).Cancel();
  made_work.Keep();
  if (!IsMountedFd(*mountpoint)) {
    if (const std::optional<MountInfo> mount = MountOn(*mountpoint)) {
      if (control == nullptr) control = StartDefaultControl(*mount, &requests);
      if (options.max_readahead == 0) context.readahead = OpenReadahead(mount->major, mount->minor);
    }
  }

  std::vector<UniqueFd> locks;
  for (OpenedBranch& branch : *opened) locks.push_back(std::move(branch.lock_fd));
  LiveBranches branches(&options, union_fs->get(), session->get(), calls.get(), std::move(locks));
  int result;
  {
    EndOnSignals signals(session->get());
    background->Ready();
    requests.Serve(&branches);
    result = RunLoop(session->get(), *uring);
  }
  // A change that is under way waits for the kernel, which waits for nobody any more.
  fuse_session_unmount(session->get());
  requests.Serve(nullptr);
  control.reset();
  WriteStats(options, stats);
  if (!context.failure.ok()) {
    marks->Clear().IgnoreError();
    return context.failure;
  }
  if (result == 0) return marks->Clear();
  return ErrnoToStatus(Errno(std::abs(result)), "read the kernel's requests");
}

}  // namespace acetate::fusefs
