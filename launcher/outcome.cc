#include "launcher/outcome.h"

#include <cerrno>
#include <cstring>
#include <variant>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "launcher/program.h"

namespace acetate::launcher {
namespace {

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

std::string DescribeFailure(const Plan& plan, const InitReport& failure) {
  std::string detail(failure.detail, strnlen(failure.detail, sizeof(failure.detail)));
  if (!detail.empty()) return detail;
  const Step<ContainerAction>* step = failure.step < plan.container.size() ? &plan.container[failure.step] : nullptr;
  // mount_too_revealing() of the kernel: a new /proc or /sys may not show what is covered in the present one.
  const bool covered =
      failure.error == EPERM && step != nullptr && std::holds_alternative<MountFilesystem>(step->action);
  return absl::StrCat(
      step != nullptr ? step->what : "start", ": ", strerrordesc_np(failure.error),
      covered ? "; a container around this one covers parts of its /proc or /sys: start it without" : "");
}

// Of a command that has run.
std::string DescribeKill(const Plan& plan, const ContainerEnd& end) {
  if (end.oom_kills > 0) {
    return absl::StrCat("out of memory: the kernel killed ", end.oom_kills,
                        end.oom_kills == 1 ? " process" : " processes", " at the limit of ",
                        plan.spec.limits.memory_bytes >> 20, " MiB");
  }
  const bool filtered = plan.spec.seccomp != kSeccompUnconfined;
  if (filtered && end.init.si_code != CLD_EXITED && end.init.si_status == SIGSYS) {
    return "a system call that the seccomp profile forbids killed the command (SIGSYS)";
  }
  return "";
}

}  // namespace

bool IsFusefsToBlame(const ContainerEnd& end) {
  if (!end.daemon_failure.has_value()) return false;
  if (!end.failure.has_value()) return true;
  const int error = end.failure->error;
  return error == ENOTCONN || error == ECONNABORTED || error == ENODEV;
}

Outcome JudgeEnd(const Plan& plan, const ContainerEnd& end) {
  Outcome outcome;
  if (!end.start_failure.empty()) {
    outcome.exit_status = kExitOwnFailure;
    outcome.message = end.start_failure;
  } else if (IsFusefsToBlame(end)) {
    outcome.exit_status = kExitOwnFailure;
    outcome.message = absl::StrCat("fusefs, which serves the container's root, ", DescribeEnd(*end.daemon_failure));
    if (!end.daemon_output.empty()) absl::StrAppend(&outcome.message, ": ", LastLine(end.daemon_output));
  } else if (end.failure.has_value()) {
    outcome.exit_status = end.failure->exit_status;
    outcome.message = DescribeFailure(plan, *end.failure);
  } else {
    const bool exited = end.init.si_code == CLD_EXITED;
    outcome.exit_status = exited ? end.init.si_status : 128 + (end.ended_by != 0 ? end.ended_by : end.init.si_status);
    outcome.message = DescribeKill(plan, end);
  }
  return outcome;
}

}  // namespace acetate::launcher
