#include "fusefs/daemon.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "common/runtime_dir.h"
#include "fusefs/background.h"
#include "fusefs/branch.h"
#include "fusefs/control.h"
#include "fusefs/fuse_ops.h"
#include "fusefs/make_branch.h"
#include "fusefs/mount.h"
#include "fusefs/mountpoint.h"
#include "fusefs/open_branches.h"
#include "fusefs/owner_calls.h"
#include "fusefs/signals.h"
#include "fusefs/stats.h"
#include "fusefs/stderr_capture.h"
#include "fusefs/union_fs.h"
#include "fusefs/volatile_mark.h"

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

// `calls`: null for a daemon that needs none.
absl::StatusOr<std::unique_ptr<UnionFs>> MakeUnion(const Options& options, OpenedBranches* opened, OwnerCalls* calls,
                                                   Stats* stats) {
  std::vector<std::unique_ptr<Branch>> branches;
  for (size_t i = 0; i < options.branches.size(); ++i) {
    absl::StatusOr<std::unique_ptr<Branch>> branch =
        MakeBranch(options, options.branches[i], static_cast<int>(i), std::move(opened->branch_fds[i]), calls);
    if (!branch.ok()) return branch.status();
    branches.push_back(*std::move(branch));
  }
  ErrnoOr<std::unique_ptr<UnionFs>> made =
      UnionFs::Create(options, std::move(branches), std::move(opened->work_fd), MakeIdentity(options), stats);
  if (!made.ok()) {
    return ErrnoToStatus(made.error(), options.workdir.empty()
                                           ? "read the layers"
                                           : absl::StrCat("prepare the work directory '", options.workdir, "'"));
  }
  return *std::move(made);
}

absl::StatusOr<SessionPtr> MakeSession(FuseContext* context) {
  std::vector<std::string> strings = SessionArguments(*context->options, /*privileged=*/geteuid() == 0);
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

absl::StatusOr<std::unique_ptr<ControlServer>> StartControl(const std::string& path, ControlServer::IfServed if_served,
                                                            const Stats* stats) {
  return ControlServer::Start(path, if_served, [stats](absl::string_view request) {
    return request == "stats" ? stats->Json() : std::string(R"({"error":"unknown request"})");
  });
}

// The socket named after the mount's device number. Without it only `fusefs stats` is missing, so failure is a warning.
std::unique_ptr<ControlServer> StartDefaultControl(const std::string& mountpoint, const Stats* stats) {
  const std::optional<MountInfo> mount = MountOn(mountpoint);
  if (!mount.has_value()) return nullptr;
  absl::StatusOr<std::string> dir = RuntimeDir();
  absl::StatusOr<std::unique_ptr<ControlServer>> server =
      dir.ok() ? StartControl(ControlPath(*dir, mount->major, mount->minor), ControlServer::IfServed::kReplace, stats)
               : dir.status();
  if (server.ok()) return *std::move(server);
  fprintf(stderr, "fusefs: warning: 'fusefs stats' will not work: %s\n",
          std::string(server.status().message()).c_str());
  return nullptr;
}

}  // namespace

absl::Status ServeMount(const Options& options) {
  // Nothing has been made until all of this is known to be right.
  absl::StatusOr<std::string> mountpoint = ResolveMountpoint(options.mountpoint, options.subtype);
  if (!mountpoint.ok()) return mountpoint.status();
  absl::StatusOr<OpenedBranches> opened = OpenBranches(options);
  if (!opened.ok()) return opened.status();
  std::optional<VolatileMark> mark;
  if (opened->work_fd.valid()) {
    absl::StatusOr<VolatileMark> unmarked = VolatileMark::Open(opened->work_fd.get(), options.workdir);
    if (!unmarked.ok()) return unmarked.status();
    if (options.sync == SyncMode::kVolatile && !options.read_only) mark = *std::move(unmarked);
  }
  // And a start that fails takes away what it has made in and around the work directory.
  const std::string inner_work = absl::StrCat(options.workdir, "/work");
  const bool makes_inner_work = access(inner_work.c_str(), F_OK) != 0;
  absl::Cleanup remove_work = [&] {
    if (!options.workdir.empty() && makes_inner_work) rmdir(inner_work.c_str());
    if (opened->made_work) rmdir(options.workdir.c_str());
  };

  absl::StatusOr<Background> background = Background::Enter(options.foreground);
  if (!background.ok()) return background.status();
  RaiseFileLimit();
  umask(0);

  Stats stats;
  std::unique_ptr<ControlServer> control;
  if (!options.control_path.empty()) {
    auto server = StartControl(options.control_path, ControlServer::IfServed::kRefuse, &stats);
    if (!server.ok()) return server.status();
    control = *std::move(server);
  }
  // After the limit and the umask, of which the helper has its own copies.
  const std::unique_ptr<OwnerCalls> calls = OwnerCalls::Start();
  absl::StatusOr<std::unique_ptr<UnionFs>> union_fs = MakeUnion(options, &*opened, calls.get(), &stats);
  if (!union_fs.ok()) return union_fs.status();
  FuseContext context = {union_fs->get(), &stats, &options};
  absl::StatusOr<SessionPtr> session = MakeSession(&context);
  if (!session.ok()) return session.status();
  absl::Cleanup remove_mark = [&] {
    if (mark.has_value()) mark->Remove().IgnoreError();
  };
  absl::Status mounted = mark.has_value() ? mark->Put() : absl::OkStatus();
  if (mounted.ok()) mounted = MountSession(session->get(), *mountpoint);
  if (!mounted.ok()) return mounted;
  std::move(remove_mark).Cancel();
  std::move(remove_work).Cancel();
  if (control == nullptr && !IsMountedFd(*mountpoint)) control = StartDefaultControl(*mountpoint, &stats);

  int result;
  {
    EndOnSignals signals(session->get());
    background->Ready();
    result = RunLoop(session->get());
  }
  control.reset();
  fuse_session_unmount(session->get());
  if (result == 0 && mark.has_value()) return mark->Clear();
  return result == 0 ? absl::OkStatus() : ErrnoToStatus(Errno(std::abs(result)), "read the kernel's requests");
}

}  // namespace acetate::fusefs
