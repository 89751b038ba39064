#include "launcher/supervise.h"

#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/errno_or.h"
#include "common/syscalls.h"
#include "launcher/cgroup.h"
#include "launcher/files.h"
#include "launcher/init.h"
#include "launcher/program.h"

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

// The last line that says something.
std::string LastLine(absl::string_view text) {
  text = absl::StripAsciiWhitespace(text);
  size_t newline = text.rfind('\n');
  return std::string(newline == absl::string_view::npos ? text : text.substr(newline + 1));
}

std::string DescribeEnd(const siginfo_t& info) {
  if (info.si_code == CLD_EXITED) return absl::StrCat("exited with status ", info.si_status);
  const char* name = sigabbrev_np(info.si_status);
  return absl::StrCat("was killed by signal ", info.si_status, name != nullptr ? absl::StrCat(" (SIG", name, ")") : "");
}

class Supervisor {
 public:
  Supervisor(const Plan& plan, Processes processes) : plan_(plan), p_(std::move(processes)) {}

  Outcome Run() {
    while (init_alive_ || daemon_alive_) {
      enum { kControl, kReport, kOutput, kInit, kDaemon, kCount };
      // poll(2) passes over negative fds: those that have nothing more to tell. The report is mostly read at the end;
      // only for the sake of waiting signals does this process wake up when the command starts.
      pollfd fds[kCount] = {{p_.control.get(), POLLIN, 0},
                            {waiting_signals_.empty() ? -1 : p_.init_report.get(), POLLIN, 0},
                            {p_.daemon.output.get(), POLLIN, 0},
                            {init_alive_ ? p_.init_pidfd.get() : -1, POLLIN, 0},
                            {daemon_alive_ ? p_.daemon.pidfd.get() : -1, POLLIN, 0}};
      if (poll(fds, kCount, -1) < 0) continue;  // EINTR
      if (fds[kOutput].revents != 0) ReadOutput();
      if (fds[kReport].revents != 0) ReadReport();
      if (fds[kControl].revents != 0) ReadControl();
      // PID 1 before the daemon, whose end follows from that of PID 1.
      if (fds[kInit].revents != 0) ReapInit();
      if (fds[kDaemon].revents != 0) ReapDaemon();
    }
    ReadOutput();
    return Judge();
  }

 private:
  void ReadControl() {
    unsigned char signals[64];
    ssize_t n = read(p_.control.get(), signals, sizeof(signals));
    if (n < 0 && errno == EINTR) return;
    if (n <= 0) {
      p_.control.Reset();
      KillContainer();
      return;
    }
    waiting_signals_.append(signals, static_cast<size_t>(n));
    ReadReport();
  }

  // A signal that ends other processes but that the kernel would keep from PID 1 ends the container: the command has no
  // handler, so this is what the sender would see outside.
  void PassOn(int signal) {
    if (!init_alive_) {
      // All that is left is a daemon that takes its time; whoever sends this does not want to wait.
      if (TerminatesByDefault(signal)) sys::PidFdSendSignal(p_.daemon.pidfd.get(), SIGKILL).IgnoreError();
      return;
    }
    bool lost = WouldBeLost(ReadFileOrEmpty(absl::StrCat("/proc/", p_.init, "/status")), signal);
    if (lost) {
      ended_by_ = signal;
      KillContainer();
    } else {
      sys::PidFdSendSignal(p_.init_pidfd.get(), signal).IgnoreError();
    }
  }

  // With PID 1 dies all of its namespace; the cgroup also holds what may have been moved out of it.
  void KillContainer() {
    if (!init_alive_) return;
    if (!plan_.cgroup.unified.empty()) KillCgroup(plan_.cgroup.unified);
    sys::PidFdSendSignal(p_.init_pidfd.get(), SIGKILL).IgnoreError();
  }

  // Takes what PID 1 has reported so far, without waiting. Once the command runs, it gets the signals that came before:
  // sent earlier, they would be lost, since PID 1 has no handlers until then.
  void ReadReport() {
    InitReport report;
    ssize_t n;
    while ((n = read(p_.init_report.get(), &report, sizeof(report))) == sizeof(report)) {
      if (report.exit_status == 0) {
        at_exec_ = true;
      } else {
        failed_ = true;
        report_ = report;
      }
    }
    if (n == 0) {
      started_ = at_exec_ && !failed_;
      p_.init_report.Reset();
    }
    if (!started_ && init_alive_) return;
    for (unsigned char signal : std::exchange(waiting_signals_, {})) PassOn(signal);
  }

  // What fusefs says goes to stderr. Until the command runs it is kept instead: if fusefs ends, it is the reason.
  void ReadOutput() {
    char buffer[4096];
    if (!started_) ReadReport();
    ssize_t n;
    while ((n = read(p_.daemon.output.get(), buffer, sizeof(buffer))) > 0) {
      output_.append(buffer, static_cast<size_t>(n));
      if (started_) PrintOutput();
      if (output_.size() > kKeptOutput) output_.erase(0, output_.size() - kKeptOutput);
    }
    if (n == 0) p_.daemon.output.Reset();
  }

  void PrintOutput() {
    if (write(STDERR_FILENO, output_.data(), output_.size()) < 0) return;  // no one reads it
    output_.clear();
  }

  void ReapInit() {
    siginfo_t info = {};
    if (waitid(P_PIDFD, static_cast<id_t>(p_.init_pidfd.get()), &info, WEXITED) != 0) return;
    init_alive_ = false;
    init_end_ = info;
    ReadReport();
  }

  void ReapDaemon() {
    siginfo_t info = {};
    if (waitid(P_PIDFD, static_cast<id_t>(p_.daemon.pidfd.get()), &info, WEXITED) != 0) return;
    daemon_alive_ = false;
    daemon_end_ = info;
    // A dying PID 1 lets go of the mount, and so ends the daemon, a little before it can be reaped itself.
    bool in_order = !init_alive_ || IsExiting(ReadFileOrEmpty(absl::StrCat("/proc/", p_.init, "/stat")));
    daemon_failed_ = !in_order || info.si_code != CLD_EXITED || info.si_status != 0;
    KillContainer();
  }

  // What the container's end means for the one who launched it.
  Outcome Judge() {
    Outcome outcome;
    outcome.started = started_;
    bool lost_connection =
        failed_ && (report_.error == ENOTCONN || report_.error == ECONNABORTED || report_.error == ENODEV);
    if (daemon_failed_ && (!failed_ || lost_connection)) {
      outcome.exit_status = kExitOwnFailure;
      outcome.message = absl::StrCat("fusefs, which serves the container's root, ", DescribeEnd(daemon_end_));
      if (!output_.empty()) absl::StrAppend(&outcome.message, ": ", LastLine(output_));
      return outcome;
    }
    if (!output_.empty()) PrintOutput();
    if (failed_) {
      outcome.exit_status = report_.exit_status;
      outcome.message = ReportText();
      return outcome;
    }
    bool exited = init_end_.si_code == CLD_EXITED;
    outcome.exit_status = exited ? init_end_.si_status : 128 + (ended_by_ != 0 ? ended_by_ : init_end_.si_status);
    if (!plan_.cgroup.oom_events.empty()) {
      uint64_t killed = ParseOomKills(ReadFileOrEmpty(plan_.cgroup.oom_events));
      if (killed > 0) {
        outcome.message =
            absl::StrCat("out of memory: the kernel killed ", killed, killed == 1 ? " process" : " processes",
                         " at the limit of ", plan_.spec.memory_bytes >> 20, " MiB");
      }
    }
    return outcome;
  }

  std::string ReportText() const {
    std::string detail(report_.detail, strnlen(report_.detail, sizeof(report_.detail)));
    if (!detail.empty()) return detail;
    std::string what = report_.step < plan_.container.size() ? plan_.container[report_.step].what : "start";
    // mount_too_revealing() of the kernel: a new /proc or /sys may not show what is covered in the present one.
    bool covered = report_.error == EPERM && report_.step < plan_.container.size() &&
                   std::holds_alternative<MountFilesystem>(plan_.container[report_.step].action);
    return absl::StrCat(
        what, ": ", strerrordesc_np(report_.error),
        covered ? "; a container around this one covers parts of its /proc or /sys: start it without" : "");
  }

  const Plan& plan_;
  Processes p_;
  bool init_alive_ = true;
  bool daemon_alive_ = true;
  bool at_exec_ = false;  // PID 1 had nothing left to do but to execute the command
  bool started_ = false;  // the command runs, or ran
  bool failed_ = false;   // PID 1 reported a failure
  bool daemon_failed_ = false;
  int ended_by_ = 0;  // the signal whose default action we took in the kernel's place
  siginfo_t init_end_ = {};
  siginfo_t daemon_end_ = {};
  InitReport report_;
  std::string output_;
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

Outcome Supervise(const Plan& plan, Processes processes) { return Supervisor(plan, std::move(processes)).Run(); }

}  // namespace acetate::launcher
