#include "launcher/signals.h"

#include <cstring>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace acetate::launcher {
namespace {

int SignalByName(absl::string_view name) {
  for (int signal = 1; signal < SIGRTMIN; ++signal) {
    const char* known = sigabbrev_np(signal);
    if (known != nullptr && name == known) return signal;
  }
  if (name == "RTMIN") return SIGRTMIN;
  if (name == "RTMAX") return SIGRTMAX;
  int offset;
  if (absl::ConsumePrefix(&name, "RTMIN+") && absl::SimpleAtoi(name, &offset)) return SIGRTMIN + offset;
  if (absl::ConsumePrefix(&name, "RTMAX-") && absl::SimpleAtoi(name, &offset)) return SIGRTMAX - offset;
  return 0;
}

}  // namespace

absl::StatusOr<int> ParseSignal(absl::string_view text) {
  std::string upper = absl::AsciiStrToUpper(text);
  absl::string_view name = upper;
  absl::ConsumePrefix(&name, "SIG");
  int signal = 0;
  bool is_number = text.find_first_not_of("0123456789") == absl::string_view::npos;
  if (!is_number) {
    signal = SignalByName(name);
  } else if (!absl::SimpleAtoi(text, &signal)) {
    signal = 0;
  }
  if (signal >= 1 && signal <= SIGRTMAX) return signal;
  return absl::InvalidArgumentError("is not a signal; write a name such as TERM, or a number");
}

std::string SignalName(int signal) {
  const char* name = sigabbrev_np(signal);
  return name != nullptr ? absl::StrCat("SIG", name) : absl::StrCat(signal);
}

sigset_t ForwardedSignals() {
  sigset_t set;
  sigfillset(&set);
  for (int signal : {SIGCHLD, SIGURG, SIGPIPE, SIGCONT, SIGTSTP, SIGTTIN, SIGTTOU, SIGABRT, SIGBUS, SIGFPE, SIGILL,
                     SIGSEGV, SIGSYS, SIGTRAP}) {
    sigdelset(&set, signal);
  }
  return set;
}

}  // namespace acetate::launcher
