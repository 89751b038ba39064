#include "launcher/init.h"

#include <fcntl.h>
#include <linux/keyctl.h>
#include <linux/mount.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <iterator>

#include "common/syscalls.h"
#include "launcher/arguments.h"
#include "launcher/capabilities.h"
#include "launcher/fake_id_filter.h"
#include "launcher/files.h"
#include "launcher/own_init.h"
#include "launcher/program.h"
#include "launcher/protocol.h"
#include "launcher/terminal.h"

namespace acetate::launcher {
Init::Init(const Plan& plan, InitInputs inputs)
    : plan_(plan),
      in_(std::move(inputs)),
      root_(std::move(in_.union_mount)),
      sources_(plan.container.size()),
      argv_(ArgumentPointers(plan.spec.command)),
      envp_(ArgumentPointers(plan.environment)),
      home_("HOME=" + plan.home) {
  home_.reserve(PATH_MAX);
  envp_.insert(envp_.begin(), home_.data());
  if (root_.valid()) mounter_.emplace(root_.get());
  if (plan.spec.user.has_value()) {
    passwd_.reset(new char[kLargestImageFile]);
    group_.reset(new char[kLargestImageFile]);
  }
  OpenHostSources();
}

void Init::Run() {
  in_.profile.End(Profile::Phase::kClone);
  // A session of its own: the terminal's signals go to the launcher, which forwards them.
  setsid();
  umask(022);
  if (!host_error_.ok()) {
    report_.step = host_step_;
    Fail(host_error_);
  }
  OpenMountpoint();
  if (const auto* ids = std::get_if<EnterOwnIds>(&plan_.container[0].action)) {
    Errno error = Do(*ids);
    if (!error.ok()) Fail(error);
    ++report_.step;
  }
  OpenNewSources();
  for (; report_.step < plan_.container.size(); ++report_.step) {
    Errno error = std::visit([this](const auto& step) { return Do(step); }, plan_.container[report_.step].action);
    if (!error.ok()) Fail(error);
  }
  Fail(Errno(EINVAL));  // a plan ends with Execute
}

void Init::OpenHostSources() {
  for (; host_step_ < plan_.container.size(); ++host_step_) {
    ErrnoOr<UniqueFd> source = OpenHostSource(plan_.container[host_step_].action);
    host_error_ = source.error();
    if (!source.ok()) return;
    sources_[host_step_] = *std::move(source);
  }
}

// While this process still is the user, whose directory it is; the container's root may be somebody else.
void Init::OpenMountpoint() {
  for (; report_.step < plan_.container.size(); ++report_.step) {
    const auto* step = std::get_if<SwitchRoot>(&plan_.container[report_.step].action);
    if (step == nullptr) continue;
    ErrnoOr<UniqueFd> at = sys::OpenAt(AT_FDCWD, step->at.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW);
    if (!at.ok()) Fail(at.error());
    sources_[report_.step] = *std::move(at);
  }
  report_.step = 0;
}

void Init::OpenNewSources() {
  const uint32_t first = report_.step;
  for (; report_.step < plan_.container.size(); ++report_.step) {
    ErrnoOr<UniqueFd> source = OpenNewSource(plan_.container[report_.step].action);
    if (!source.ok()) Fail(source.error());
    if (source->valid()) sources_[report_.step] = *std::move(source);
  }
  report_.step = first;
}

Errno Init::AwaitHelper() {
  pollfd helper = {in_.report.get(), POLLIN, 0};
  while (poll(&helper, 1, -1) < 0) {
  }
  char word;
  ssize_t n = recv(in_.report.get(), &word, sizeof(word), 0);
  if (n == 0) _exit(kExitOwnFailure);  // the helper is gone
  return n > 0 ? kOk : Errno::Last();
}

// Keeps all capabilities: they are lost only with an id that is 0.
Errno Init::BecomeRoot() {
  if (setresgid(0, 0, 0) != 0) return Errno::Last();
  return setresuid(0, 0, 0) == 0 ? kOk : Errno::Last();
}

Errno Init::Do(const EnterOwnIds& step) {
  ACETATE_RETURN_IF_ERROR(AwaitHelper());
  if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return Errno::Last();
  return step.become_root ? BecomeRoot() : kOk;
}

void Init::Fail(Errno error) {
  report_.error = error.value();
  FailWith(kExitOwnFailure);
}

Errno Init::Report(InitReport::Kind kind, const int* fds, size_t count) {
  report_.kind = kind;
  return SendRecord(in_.report.get(), &report_, sizeof(report_), fds, count);
}

void Init::FailWith(int exit_status) {
  report_.exit_status = exit_status;
  // When the helper is gone there is no one left to tell.
  if (!Report(InitReport::Kind::kFailed, nullptr, 0).ok()) _exit(kExitOwnFailure);
  _exit(exit_status);
}

bool IsPresentNamespace(const UniqueFd& ns, const char* path) {
  struct stat wanted, present;
  return fstat(ns.get(), &wanted) == 0 && stat(path, &present) == 0 && wanted.st_dev == present.st_dev &&
         wanted.st_ino == present.st_ino;
}

// Not one that this process is in already, the host's network say, which it may not join. Not the pid namespace, which
// the forking process has joined: it takes in only those that are born into it.
Errno Init::Do(const JoinNamespaces&) {
  for (size_t i = 0; i < in_.namespaces.size(); ++i) {
    if (!kNamespaceFiles[i].joined_by_child || IsPresentNamespace(in_.namespaces[i], kNamespaceFiles[i].path)) continue;
    if (setns(in_.namespaces[i].get(), 0) != 0) return Errno::Last();
  }
  ACETATE_ASSIGN_OR_RETURN(root_, sys::OpenAt(AT_FDCWD, "/", O_PATH | O_DIRECTORY));
  // Where the container's root is not the user, what is made here is to be root's all the same.
  if (geteuid() != 0 && plan_.identity.MapsUid(0) && plan_.identity.MapsGid(0)) {
    ACETATE_RETURN_IF_ERROR(BecomeRoot());
  }
  return chdir("/") == 0 ? kOk : Errno::Last();
}

// Whoever is to join them later needs not look at this process, which may have become one that others may not look at.
Errno Init::Do(const HandOutNamespaces&) {
  UniqueFd files[std::size(kNamespaceFiles)];
  int fds[std::size(kNamespaceFiles)];
  for (size_t i = 0; i < std::size(kNamespaceFiles); ++i) {
    ACETATE_ASSIGN_OR_RETURN(files[i], sys::OpenAt(AT_FDCWD, kNamespaceFiles[i].path, O_RDONLY));
    fds[i] = files[i].get();
  }
  return Report(InitReport::Kind::kNamespaces, fds, std::size(fds));
}

Errno Init::Do(const JoinCgroups&) {
  for (const UniqueFd& procs : in_.cgroups) {
    if (write(procs.get(), "0", 1) != 1) return Errno::Last();
  }
  return kOk;
}

Errno Init::Do(const NewCgroupNamespace&) { return unshare(CLONE_NEWCGROUP) == 0 ? kOk : Errno::Last(); }

Errno Init::Do(const BringUpLoopback&) {
  UniqueFd fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return Errno::Last();
  ifreq request = {};
  strcpy(request.ifr_name, "lo");
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  return ioctl(fd.get(), SIOCSIFFLAGS, &request) == 0 ? kOk : Errno::Last();
}

Errno Init::Do(const SetHostname& step) {
  return sethostname(step.name.data(), step.name.size()) == 0 ? kOk : Errno::Last();
}

Errno Init::Do(const SwitchRoot&) {
  UniqueFd& at = sources_[report_.step];
  ACETATE_RETURN_IF_ERROR(sys::MoveMount(root_.get(), at.get()));
  at.Reset();
  if (fchdir(root_.get()) != 0) return Errno::Last();
  // The old root ends up on top of the new one, from where it is taken off: pivot_root(2), "pivot_root(".", ".")".
  ACETATE_RETURN_IF_ERROR(sys::PivotRoot(".", "."));
  if (umount2(".", MNT_DETACH) != 0) return Errno::Last();
  return chdir("/") == 0 ? kOk : Errno::Last();
}

Errno Init::Do(const MountFilesystem& step) {
  Errno error = mounter_->Attach(step, sources_[report_.step]);
  if (error == ELOOP) {
    snprintf(report_.detail, sizeof(report_.detail), "%s is a symbolic link in the image; it must be a directory",
             step.target.c_str());
    FailWith(kExitOwnFailure);
  }
  return error;
}

Errno Init::Do(const BindDevice& step) { return mounter_->Attach(step, sources_[report_.step]); }
Errno Init::Do(const ShowHostSys& step) { return mounter_->Attach(step, sources_[report_.step]); }
Errno Init::Do(const ShowEtcFile& step) { return mounter_->Attach(step, sources_[report_.step]); }
Errno Init::Do(const MakeSymlink& step) { return mounter_->Make(step); }
Errno Init::Do(const MaskPath& step) { return mounter_->Attach(step); }
Errno Init::Do(const MakeReadOnly& step) { return mounter_->Attach(step); }
Errno Init::Do(const BindVolume& step) { return mounter_->Attach(step, sources_[report_.step]); }
Errno Init::Do(const BindHostDevice& step) { return mounter_->Attach(step, sources_[report_.step]); }

Errno Init::Do(const AwaitNetwork&) { return AwaitHelper(); }

Errno Init::Do(const MakeTerminal& step) {
  ErrnoOr<Terminal> terminal = OpenTerminal(root_.get());
  if (!terminal.ok()) return terminal.error();
  if (step.size.rows != 0) {
    winsize size = {step.size.rows, step.size.columns, 0, 0};
    if (ioctl(terminal->master.get(), TIOCSWINSZ, &size) != 0) return Errno::Last();
  }
  if (step.is_console) ACETATE_RETURN_IF_ERROR(mounter_->AttachConsole(terminal->slave));
  int fds[] = {terminal->master.get(), terminal->slave.get()};
  ACETATE_RETURN_IF_ERROR(Report(InitReport::Kind::kTerminal, fds, std::size(fds)));
  for (UniqueFd& fd : in_.stdio) {
    fd.Reset(fcntl(terminal->slave.get(), F_DUPFD_CLOEXEC, 3));
    if (!fd.valid()) return Errno::Last();
  }
  return kOk;
}

Errno Init::Do(const SetUlimit& step) {
  rlimit limit = {step.limit.soft, step.limit.hard};
  return setrlimit(static_cast<__rlimit_resource>(step.limit.resource), &limit) == 0 ? kOk : Errno::Last();
}

Errno Init::Do(const MakeRootReadOnly&) { return sys::MountSetAttr(root_.get(), MOUNT_ATTR_RDONLY, false); }

Errno Init::Do(const EnterWorkdir& step) {
  if (step.path == "/") return kOk;
  ACETATE_ASSIGN_OR_RETURN(UniqueFd dir, OpenOrMake(root_.get(), step.path.c_str(), TargetKind::kDirectory, 0));
  if (fchdir(dir.get()) != 0) return Errno::Last();
  // The kernel says "(unreachable)" of a directory outside of the root.
  char path[PATH_MAX];
  if (syscall(SYS_getcwd, path, sizeof(path)) < 0) return Errno::Last();
  return path[0] == '/' ? kOk : Errno(EXDEV);
}

Errno Init::Do(const NewKeyring&) {
  if (syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, nullptr) >= 0 || errno == ENOSYS) return kOk;
  return Errno::Last();
}

Errno Init::Do(const FakeOwnIds& step) {
  ACETATE_ASSIGN_OR_RETURN(UniqueFd listener, InstallFakeIdFilter(step.program));
  const int fd = listener.get();
  memcpy(report_.detail, &fake_user_, sizeof(fake_user_));
  const Errno error = Report(InitReport::Kind::kFakeIds, &fd, 1);
  memset(report_.detail, 0, sizeof(report_.detail));
  return error;
}

Errno Init::Do(const LimitBoundingSet& step) { return DropBoundingSet(step.capabilities); }

Errno Init::Do(const LimitCapabilities& step) { return SetCapabilities(step.capabilities); }

Errno Init::Do(const ForbidNewPrivileges&) { return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 ? kOk : Errno::Last(); }

// After the last change of ids and capabilities, each of which clears the request.
Errno Init::Do(const DieWithHelper&) {
  if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0) return Errno::Last();
  // A helper that died before the request was made has closed its end of the socket.
  pollfd helper = {in_.report.get(), 0, 0};
  if (poll(&helper, 1, 0) > 0 && (helper.revents & (POLLERR | POLLHUP)) != 0) _exit(kExitOwnFailure);
  return kOk;
}

// The child goes on with the plan; this process stays what it is to the end.
Errno Init::Do(const StayAsInit&) {
  ErrnoOr<pid_t> child = sys::Fork(0, nullptr);
  if (!child.ok()) return child.error();
  if (*child > 0) RunAsInit(*child);
  return setsid() >= 0 ? kOk : Errno::Last();
}

Errno Init::Do(const FilterSystemCalls& step) { return InstallSeccompFilter(step.programs); }

Errno Init::TakeStandardFds() {
  for (int number = 0; number < 3; ++number) {
    if (in_.stdio[number].valid() && dup2(in_.stdio[number].get(), number) < 0) return Errno::Last();
  }
  if (!plan_.spec.terminal || !in_.stdio[0].valid()) return kOk;
  return ioctl(STDIN_FILENO, TIOCSCTTY, 0) == 0 ? kOk : Errno::Last();
}

Errno Init::Do(const Execute&) {
  ACETATE_RETURN_IF_ERROR(TakeStandardFds());
  for (int signal = 1; signal < NSIG; ++signal) {
    // Fails for the two that cannot be changed.
    struct sigaction act = {};
    act.sa_handler = SIG_DFL;
    sigaction(signal, &act, nullptr);
  }
  sigprocmask(SIG_SETMASK, &in_.mask, nullptr);
  ACETATE_RETURN_IF_ERROR(sys::CloexecFrom(3));
  in_.profile.End(Profile::Phase::kInitSteps);
  // Says that all went well up to here; if nothing follows but the end of the socket, execve(2) did, too.
  ACETATE_RETURN_IF_ERROR(Report(InitReport::Kind::kAtExec, nullptr, 0));
  FailWith(
      ExecuteProgram(argv_.data(), envp_.data(), plan_.search_path.c_str(), report_.detail, sizeof(report_.detail)));
}

}  // namespace acetate::launcher
