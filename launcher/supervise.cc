#include "launcher/supervise.h"

#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <ctime>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/errno_or.h"
#include "common/syscalls.h"
#include "launcher/cgroup.h"
#include "launcher/cgroup_stats.h"
#include "launcher/error_line.h"
#include "launcher/files.h"
#include "launcher/freezer.h"
#include "launcher/init.h"
#include "launcher/network_keeper.h"
#include "launcher/outcome.h"
#include "launcher/state_file.h"
#include "launcher/timestamp.h"

namespace acetate::launcher {
namespace {

// As much of fusefs's output before the start as is kept for an error message.
constexpr size_t kKeptOutput = 4096;

bool TerminatesByDefault(int signal) {
  switch (signal) {
    case SIGCHLD:
    case SIGCONT:
    case SIGURG:
    case SIGWINCH:
    case SIGSTOP:
    case SIGTSTP:
    case SIGTTIN:
    case SIGTTOU:
      return false;
    default:
      return true;
  }
}

class Supervisor {
 public:
  Supervisor(const Plan& plan, Processes processes, Session* session, const std::function<void(pid_t)>& on_start)
      : plan_(plan),
        p_(std::move(processes)),
        session_(*session),
        on_start_(on_start),
        network_(plan, p_.mask, std::move(p_.bridge)),
        daemon_alive_(p_.daemon.pidfd.valid()) {}

  Outcome Run() {
    KeepState();
    while (init_alive_ || daemon_alive_ || !session_.Drained()) {
      enum { kReport, kOutput, kInit, kDaemon, kCount };
      // poll(2) passes over negative fds: those that have nothing more to tell.
      std::vector<pollfd> fds = {{p_.init_report.get(), POLLIN, 0},
                                 {p_.daemon.output.get(), POLLIN, 0},
                                 {init_alive_ ? p_.init_pidfd.get() : -1, POLLIN, 0},
                                 {daemon_alive_ ? p_.daemon.pidfd.get() : -1, POLLIN, 0}};
      network_.AddTo(&fds);
      session_.AddTo(&fds);
      if (poll(fds.data(), fds.size(), -1) < 0) continue;  // EINTR
      if (fds[kOutput].revents != 0) ReadOutput();
      if (fds[kReport].revents != 0) ReadReport();
      TakeNetworkEvent(network_.Handle(&fds[kCount]));
      std::vector<Session::Request> requests;
      session_.Handle(&fds[kCount + NetworkKeeper::kFds], &requests);
      for (const Session::Request& request : requests) Do(request);
      // PID 1 before the daemon, whose end follows from that of PID 1.
      if (fds[kInit].revents != 0) ReapInit();
      if (fds[kDaemon].revents != 0) ReapDaemon();
    }
    ReadOutput();
    return Judge();
  }

 private:
  void Do(const Session::Request& request) {
    switch (request.kind) {
      case Session::Request::Kind::kSignal:
        // Sent before the command runs, they would be lost, since PID 1 has no handlers until then.
        waiting_signals_.push_back(static_cast<unsigned char>(request.signal));
        ReadReport();
        break;
      case Session::Request::Kind::kOwnerGone:
        KillContainer();
        break;
      case Session::Request::Kind::kPause:
        SetPaused(request.client, true);
        break;
      case Session::Request::Kind::kUnpause:
        SetPaused(request.client, false);
        break;
      case Session::Request::Kind::kNamespaces:
        ReadReport();
        HandOutNamespaces(request.client);
        break;
    }
  }

  void HandOutNamespaces(uint64_t client) {
    if (!started_ || !init_alive_) return session_.Reply(client, Message::kRefused, "it does not run yet, or no more");
    if (paused_) return session_.Reply(client, Message::kRefused, "it is paused");
    std::vector<int> fds;
    for (const UniqueFd& fd : namespaces_) fds.push_back(fd.get());
    session_.Reply(client, Message::kDone, "", fds);
  }

  void SetPaused(uint64_t client, bool paused) {
    if (!started_ || !init_alive_) return session_.Reply(client, Message::kRefused, "it does not run yet, or no more");
    if (paused == paused_) {
      return session_.Reply(client, Message::kRefused, paused ? "it is paused already" : "it is not paused");
    }
    constexpr size_t kPid = 1;  // of kNamespaceFiles
    Freezable container{plan_.cgroup.Whole(), p_.init_pidfd.get(), namespaces_[kPid].get()};
    absl::Status status = paused ? Pause(container) : Unpause(container);
    if (!status.ok()) return session_.Reply(client, Message::kRefused, std::string(status.message()));
    paused_ = paused;
    state_.status = paused ? ContainerState::Status::kPaused : ContainerState::Status::kRunning;
    KeepState();
    session_.Reply(client, Message::kDone, "");
  }

  // A state that cannot be written is not worth the container's life; `ps` shows the one before.
  void KeepState() {
    if (!plan_.store.container.empty()) WriteState(plan_.store.container, state_).IgnoreError();
  }

  void Start() {
    started_ = true;
    p_.profile.End(Profile::Phase::kExec);
    state_.status = ContainerState::Status::kRunning;
    state_.pid = p_.init;
    state_.uids = plan_.UidsOnHost();
    state_.gids = plan_.GidsOnHost();
    state_.network = NetworkName(plan_.network.mode);
    state_.started = FormatSeconds(time(nullptr));
    KeepState();
    on_start_(p_.init);
  }

  // A signal that ends other processes but that the kernel would keep from PID 1 ends the container: the command has no
  // handler, so this is what the sender would see outside.
  void PassOn(int signal) {
    if (!init_alive_) {
      // All that is left is a daemon that takes its time; whoever sends this does not want to wait.
      if (daemon_alive_ && TerminatesByDefault(signal)) {
        sys::PidFdSendSignal(p_.daemon.pidfd.get(), SIGKILL).IgnoreError();
      }
      return;
    }
    // launch's own init, which may not be looked at, takes all signals.
    std::string proc = absl::StrCat("/proc/", p_.init);
    bool lost = !plan_.spec.init && WouldBeLost(ReadFileOrEmpty(proc + "/status"), signal) &&
                !AwaitsSignals(ReadFileOrEmpty(proc + "/syscall"));
    if (lost) {
      end_.ended_by = signal;
      KillContainer();
    } else {
      sys::PidFdSendSignal(p_.init_pidfd.get(), signal).IgnoreError();
    }
  }

  // With PID 1 dies all of its namespace; the cgroup also holds what exec is just adding to it.
  void KillContainer() {
    if (!init_alive_) return;
    if (!plan_.cgroup.Whole().empty()) KillCgroup(plan_.cgroup.Whole());
    sys::PidFdSendSignal(p_.init_pidfd.get(), SIGKILL).IgnoreError();
  }

  // Takes what PID 1 has reported so far, without waiting. Once the command runs, it gets the signals that came before.
  void ReadReport() {
    while (p_.init_report.valid()) {
      InitReport report;
      std::vector<UniqueFd> fds;
      ErrnoOr<size_t> size = ReceiveRecord(p_.init_report.get(), &report, sizeof(report), &fds);
      if (!size.ok()) break;  // nothing yet
      if (*size == sizeof(report)) {
        TakeReport(report, std::move(fds));
        continue;
      }
      p_.init_report.Reset();
      if (at_exec_ && !end_.failure.has_value()) Start();
    }
    if (!started_ && init_alive_) return;
    for (unsigned char signal : std::exchange(waiting_signals_, {})) PassOn(signal);
  }

  void TakeReport(const InitReport& report, std::vector<UniqueFd> fds) {
    switch (report.kind) {
      case InitReport::Kind::kNamespaces:
        namespaces_ = std::move(fds);
        ConnectNetwork();
        break;
      case InitReport::Kind::kTerminal:
        if (fds.size() == 2) session_.SetTerminal(std::move(fds[0]), std::move(fds[1]));
        break;
      case InitReport::Kind::kFakeIds:
        if (fds.size() == 1) AnswerForIds(fds[0], report);
        break;
      case InitReport::Kind::kAtExec:
        at_exec_ = true;
        break;
      case InitReport::Kind::kFailed:
        end_.failure = report;
        break;
    }
  }

  void AnswerForIds(const UniqueFd& listener, const InitReport& report) {
    FakeUser first;
    memcpy(&first, report.detail, sizeof(first));
    // One that has died is noticed by the callers, whose calls fail.
    p_.fake_ids.Answer(listener, first).IgnoreError();
  }

  void ConnectNetwork() {
    if (!network_.IsNeeded() || namespaces_.size() != std::size(kNamespaceFiles)) return;
    constexpr size_t kNet = 3;  // of kNamespaceFiles
    absl::Status status = network_.Start(namespaces_[kNet]);
    if (!status.ok()) FailStart(std::string(status.message()));
  }

  void TakeNetworkEvent(NetworkKeeper::Event event) {
    switch (event) {
      case NetworkKeeper::Event::kNothing:
        return;
      case NetworkKeeper::Event::kReady:
        state_.address = network_.Address();
        SendRecord(p_.init_report.get(), "", 1, nullptr, 0).IgnoreError();  // to one that waits, or is gone
        return;
      case NetworkKeeper::Event::kEnded:
        ReadReport();
        if (!init_alive_) return;
        if (!started_) return FailStart(network_.Complaint());
        // The command may do without, and its connections may be closed already.
        state_.message = absl::StrCat(network_.Complaint(), "; the container goes on without");
        PrintErrorLine(state_.message);
        KeepState();
    }
  }

  void FailStart(std::string message) {
    end_.start_failure = std::move(message);
    KillContainer();
  }

  // What fusefs says goes to stderr. Until the command runs it is kept instead: if fusefs ends, it is the reason.
  void ReadOutput() {
    char buffer[4096];
    if (!started_) ReadReport();
    ssize_t n;
    while ((n = read(p_.daemon.output.get(), buffer, sizeof(buffer))) > 0) {
      end_.daemon_output.append(buffer, static_cast<size_t>(n));
      if (started_) PrintOutput();
      if (end_.daemon_output.size() > kKeptOutput) end_.daemon_output.erase(0, end_.daemon_output.size() - kKeptOutput);
    }
    if (n == 0) p_.daemon.output.Reset();
  }

  void PrintOutput() {
    if (write(STDERR_FILENO, end_.daemon_output.data(), end_.daemon_output.size()) < 0) return;  // no one reads it
    end_.daemon_output.clear();
  }

  void ReapInit() {
    siginfo_t info = {};
    if (waitid(P_PIDFD, static_cast<id_t>(p_.init_pidfd.get()), &info, WEXITED) != 0) return;
    init_alive_ = false;
    end_.init = info;
    network_.Stop();
    ReadReport();
    p_.fake_ids.Stop();
    p_.profile.End(Profile::Phase::kRun);
    // They keep the mounts, and so fusefs, alive.
    namespaces_.clear();
    session_.CommandEnded();
  }

  void ReapDaemon() {
    siginfo_t info = {};
    if (waitid(P_PIDFD, static_cast<id_t>(p_.daemon.pidfd.get()), &info, WEXITED) != 0) return;
    daemon_alive_ = false;
    // A dying PID 1 lets go of the mount, and so ends the daemon, a little before it can be reaped itself.
    bool in_order = !init_alive_ || IsExiting(ReadFileOrEmpty(absl::StrCat("/proc/", p_.init, "/stat")));
    if (!in_order || info.si_code != CLD_EXITED || info.si_status != 0) end_.daemon_failure = info;
    KillContainer();
  }

  // What the container's end means for the one who launched it.
  Outcome Judge() {
    if (!plan_.cgroup.oom_events.empty()) {
      end_.oom_kills = ParseOomKills(ReadFileOrEmpty(plan_.cgroup.oom_events));
    }
    if (!end_.daemon_output.empty() && end_.start_failure.empty() && !IsFusefsToBlame(end_)) PrintOutput();
    Outcome outcome = JudgeEnd(plan_, end_);
    outcome.started = started_;
    state_.status = ContainerState::Status::kExited;
    state_.pid = 0;
    state_.finished = FormatSeconds(time(nullptr));
    state_.exit_status = outcome.exit_status;
    if (!outcome.message.empty()) state_.message = outcome.message;
    state_.statistics = ReadCgroupStatistics(plan_.cgroup.Directories());
    // Of what is over there is none.
    state_.statistics.memory_bytes.reset();
    state_.statistics.processes.reset();
    state_.statistics.copied_up_bytes = BytesCopiedUp(FinalCounters());
    KeepState();
    return outcome;
  }

  // What fusefs has left; nothing if it was killed.
  std::string FinalCounters() const {
    std::string text(4096, '\0');
    const ssize_t size = pread(p_.daemon.stats.get(), text.data(), text.size(), 0);
    text.resize(size > 0 ? static_cast<size_t>(size) : 0);
    return text;
  }

  const Plan& plan_;
  Processes p_;
  Session& session_;
  const std::function<void(pid_t)>& on_start_;
  NetworkKeeper network_;
  ContainerState state_;
  std::vector<UniqueFd> namespaces_;  // in the order of kNamespaceFiles
  bool init_alive_ = true;
  bool daemon_alive_;
  bool paused_ = false;
  bool at_exec_ = false;  // PID 1 had nothing left to do but to execute the command
  bool started_ = false;  // the command runs, or ran
  ContainerEnd end_;      // as far as it is known
  std::basic_string<unsigned char> waiting_signals_;
};

}  // namespace

bool WouldBeLost(absl::string_view proc_status, int signal) {
  if (signal == SIGKILL || !TerminatesByDefault(signal)) return false;
  bool found = false;
  uint64_t spared = 0;  // caught, ignored or blocked
  for (absl::string_view line : absl::StrSplit(proc_status, '\n')) {
    for (absl::string_view field : {"SigBlk:\t", "SigIgn:\t", "SigCgt:\t"}) {
      uint64_t set;
      if (absl::ConsumePrefix(&line, field) && absl::SimpleHexAtoi(line, &set)) {
        spared |= set;
        found = true;
      }
    }
  }
  return found && (spared >> (signal - 1) & 1) == 0;
}

bool AwaitsSignals(absl::string_view proc_syscall) {
  return absl::StartsWith(proc_syscall, absl::StrCat(SYS_rt_sigtimedwait, " "));
}

bool IsExiting(absl::string_view proc_stat) {
  constexpr uint64_t kPfExiting = 0x4;  // PF_EXITING of the kernel's sched.h
  // The second field, the program's name in parentheses, may hold anything.
  size_t end_of_name = proc_stat.rfind(')');
  if (end_of_name == absl::string_view::npos) return false;
  // After it: a space, then the state, the third field. The flags are the ninth.
  std::vector<absl::string_view> fields = absl::StrSplit(proc_stat.substr(end_of_name + 1), ' ');
  uint64_t flags;
  return fields.size() > 7 && absl::SimpleAtoi(fields[7], &flags) && (flags & kPfExiting) != 0;
}

Outcome Supervise(const Plan& plan, Processes processes, Session* session, const std::function<void(pid_t)>& started) {
  return Supervisor(plan, std::move(processes), session, started).Run();
}

}  // namespace acetate::launcher
