// exec: a further command in a container that runs. This process keeps the user's terminal and signals, as for a new
// container; a helper, forked, enters the container's user and pid namespaces and forks the process that becomes the
// command, which enters the others. The helper itself stays on the host's side of the mounts, so that it holds nothing
// of the container's and cannot be reached from inside.
#include <fcntl.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/syscalls.h"
#include "launcher/cgroup.h"
#include "launcher/client.h"
#include "launcher/each.h"
#include "launcher/error_line.h"
#include "launcher/identity.h"
#include "launcher/init.h"
#include "launcher/plan.h"
#include "launcher/program.h"
#include "launcher/protocol.h"
#include "launcher/resolve.h"
#include "launcher/streams.h"
#include "launcher/supervise.h"
#include "launcher/systemd_scope.h"
#include "launcher/terminal.h"
#include "launcher/verbs.h"

namespace acetate::launcher {
namespace {

constexpr size_t kUser = 0;  // of kNamespaceFiles
constexpr size_t kPid = 1;

// What the helper is forked with.
struct ExecInputs {
  Plan plan;
  std::vector<UniqueFd> namespaces;
  std::vector<UniqueFd> cgroups;
  UniqueFd control;
  sigset_t mask;
};

// The container's settings with those of the command line in their place.
Spec Merge(const Spec& container, const Spec& asked) {
  Spec spec = asked;
  spec.environment = container.environment;
  for (const std::string& entry : asked.environment) {
    std::string prefix = entry.substr(0, entry.find('=') + 1);
    std::erase_if(spec.environment, [&](const std::string& known) { return known.rfind(prefix, 0) == 0; });
    spec.environment.push_back(entry);
  }
  spec.ulimits = container.ulimits;
  spec.userns = container.userns;
  spec.fake_ids = container.fake_ids;
  spec.cap_add = container.cap_add;
  spec.cap_drop = container.cap_drop;
  spec.seccomp = container.seccomp;
  spec.seccomp_profile = container.seccomp_profile;
  if (spec.workdir.empty()) spec.workdir = container.workdir;
  if (!spec.user.has_value()) spec.user = container.user;
  return spec;
}

// The path of the last unit of systemd's on the way to a cgroup, which the unit's name ends; empty when there is none.
std::string UnitAbove(const std::string& cgroup) {
  for (const char* kind : {".scope/", ".service/"}) {
    size_t end = cgroup.rfind(kind);
    if (end != std::string::npos) return cgroup.substr(0, end + strlen(kind) - 1);
  }
  return "";
}

// The kernel moves a process only for who may write to the cgroup above both places. For a user in another part of
// the tree than the container systemd does it, to where the container's launch is.
absl::Status ComeNear(const RunRecord& record) {
  if (record.cgroups.empty()) return absl::OkStatus();
  const CgroupView view = ReadCgroupView();
  if (view.unified.empty()) return absl::OkStatus();
  for (const std::string& cgroup : record.cgroups) {
    if (!absl::StartsWith(cgroup, view.unified_mount + "/")) continue;
    std::string above = view.unified;
    while (above.size() > view.unified_mount.size() && !absl::StartsWith(cgroup, above + "/")) {
      above.resize(above.rfind('/'));
    }
    if (access((above + "/cgroup.procs").c_str(), W_OK) == 0) return absl::OkStatus();
    const std::string unit = UnitAbove(record.leaf);
    absl::Status status = absl::UnavailableError("it is in no unit of systemd's");
    if (!unit.empty()) status = JoinSystemdUnit(unit.substr(unit.rfind('/') + 1), record.leaf.substr(unit.size()));
    if (status.ok()) return status;
    return absl::PermissionDeniedError(absl::StrCat("you may not move a process from the cgroup ", view.unified, " to ",
                                                    cgroup, ": ", status.message(),
                                                    "; call exec from where the container was started"));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<UniqueFd>> OpenCgroups(const RunRecord& record) {
  std::vector<UniqueFd> cgroups;
  for (const std::string& cgroup : record.cgroups) {
    std::string path = cgroup + "/cgroup.procs";
    ErrnoOr<UniqueFd> fd = sys::OpenAt(AT_FDCWD, path.c_str(), O_WRONLY);
    if (!fd.ok()) return ErrnoToStatus(fd.error(), absl::StrCat("join the cgroup ", cgroup));
    cgroups.push_back(*std::move(fd));
  }
  return cgroups;
}

// In the helper: forks the command's process. Its streams are the caller's own, a terminal, or nothing.
absl::Status StartCommand(ExecInputs* in, Processes* processes) {
  // Nothing inside, nor any process of the user, may look at this process or its children before they are the command.
  if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return ErrnoToStatus(Errno::Last(), "hide the process");
  // Before the pid namespace is joined, in which it would be in the container's reach.
  if (in->plan.FakesIds()) {
    absl::Status s = processes->fake_ids.Start(in->plan.Capabilities(), in->namespaces[kUser]);
    if (!s.ok()) return s;
  }
  // One that has none of its own is in this one, which cannot be joined.
  const bool has_own = !IsPresentNamespace(in->namespaces[kUser], kNamespaceFiles[kUser].path);
  if ((has_own && setns(in->namespaces[kUser].get(), CLONE_NEWUSER) != 0) ||
      setns(in->namespaces[kPid].get(), CLONE_NEWPID) != 0) {
    return ErrnoToStatus(Errno::Last(), "join the container's user and pid namespaces");
  }
  auto ends = SocketPair();
  if (!ends.ok()) return ErrnoToStatus(ends.error(), "make a socket");
  InitInputs inputs;
  inputs.cgroups = std::move(in->cgroups);
  inputs.namespaces = std::move(in->namespaces);
  inputs.report = std::move(ends->second);
  inputs.mask = in->mask;
  for (UniqueFd& fd : inputs.stdio) {
    if (!in->plan.spec.detach || in->plan.spec.terminal) break;
    ErrnoOr<UniqueFd> null = sys::OpenAt(AT_FDCWD, "/dev/null", O_RDWR);
    if (!null.ok()) return ErrnoToStatus(null.error(), "open /dev/null");
    fd = *std::move(null);
  }
  Init init(in->plan, std::move(inputs));
  ErrnoOr<pid_t> pid = sys::Fork(0, &processes->init_pidfd);
  if (!pid.ok()) return ErrnoToStatus(pid.error(), "fork");
  if (*pid == 0) {
    ends->first.Reset();
    init.Run();
  }
  processes->init = *pid;
  processes->init_report = std::move(ends->first);
  return absl::OkStatus();
}

int RunExecHelper(ExecInputs in) {
  setsid();
  Processes processes;
  absl::Status status = StartCommand(&in, &processes);
  if (!status.ok()) {
    PrintErrorLine(status.message());
    return kExitOwnFailure;
  }
  Session session(in.plan.spec, std::move(in.control), UniqueFd());
  Outcome outcome = Supervise(in.plan, std::move(processes), &session, [&](pid_t pid) {
    session.Started(pid);
    if (in.plan.spec.HasSession()) LeaveBehind();
  });
  if (!outcome.message.empty()) PrintErrorLine(outcome.message);
  session.End(outcome.exit_status, outcome.message);
  return outcome.exit_status;
}

absl::StatusOr<int> ExecIn(const CommandLine& line, const Container& container) {
  if (!line.spec.detach && line.spec.terminal && line.spec.interactive && isatty(STDIN_FILENO) != 1) {
    return absl::FailedPreconditionError("-it: stdin is not a terminal; leave out -t, or -i");
  }
  absl::StatusOr<Packet> answer = Ask(container, Message::kNamespaces);
  if (!answer.ok()) return answer.status();
  if (answer->fds.size() != std::size(kNamespaceFiles)) return absl::InternalError("namespaces are missing");
  absl::StatusOr<Identity> identity = ChooseIdentity(ReadIdentitySources());
  if (!identity.ok()) return identity.status();
  if (absl::Status s = ComeNear(container.record); !s.ok()) return s;
  identity->inner_uids = container.state.uids;
  identity->inner_gids = container.state.gids;
  identity->may_set_groups = identity->may_set_groups || container.config.spec.userns.mode == UsernsSpec::Mode::kAuto;
  absl::StatusOr<std::vector<UniqueFd>> cgroups = OpenCgroups(container.record);
  if (!cgroups.ok()) return cgroups.status();
  const Spec spec = Merge(container.config.spec, line.spec);
  absl::StatusOr<std::vector<SeccompProgram>> seccomp = SeccompFilterFor(spec);
  if (!seccomp.ok()) return seccomp.status();
  auto ends = SocketPair();
  if (!ends.ok()) return ErrnoToStatus(ends.error(), "make a socket");

  ExecInputs in;
  in.plan = MakeExecPlan(spec, *identity, !cgroups->empty(), WindowSizeOfUser(), *seccomp);
  in.namespaces = std::move(answer->fds);
  in.cgroups = *std::move(cgroups);
  in.control = std::move(ends->second);
  in.mask = BlockClientSignals();
  ErrnoOr<pid_t> helper = sys::Fork(0, nullptr);
  if (!helper.ok()) return ErrnoToStatus(helper.error(), "fork");
  if (*helper == 0) {
    ends->first.Reset();
    _exit(RunExecHelper(std::move(in)));
  }
  in.namespaces.clear();
  in.control.Reset();

  ClientOptions options;
  options.socket = std::move(ends->first);
  options.child = *helper;
  options.terminal = line.spec.terminal && !line.spec.detach;
  options.interactive = options.terminal && line.spec.interactive;
  options.leaves_at_start = line.spec.detach;
  options.detach_keys = line.spec.detach_keys;
  ClientEnd end = RunClient(std::move(options));
  if (end.how == ClientEnd::How::kLeft) return 0;
  if (WIFEXITED(end.status)) return WEXITSTATUS(end.status);
  return absl::InternalError(absl::StrCat("exec's helper process was killed by signal ", WTERMSIG(end.status)));
}

}  // namespace

int Exec(const CommandLine& line, const std::string& store_root) {
  int exit_status = 0;
  int failed = ForEach(line.containers, store_root, false, [&](Container& container) {
    absl::StatusOr<int> status = ExecIn(line, container);
    if (status.ok()) exit_status = *status;
    return status.status();
  });
  return failed != 0 ? failed : exit_status;
}

}  // namespace acetate::launcher
