// fusefs: parses the command line, says in one line what is wrong, and hands over to the command.
#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include "fusefs/background.h"
#include "fusefs/branch_command.h"
#include "fusefs/check_command.h"
#include "fusefs/daemon.h"
#include "fusefs/diff_command.h"
#include "fusefs/libfuse.h"
#include "fusefs/options.h"
#include "fusefs/stats_command.h"

namespace acetate::fusefs {
namespace {

constexpr char kVersion[] = "0.1";

// Names in a message are the user's and may hold anything; an error stays one line.
int Fail(const absl::Status& status, int exit_status = 1) {
  std::string message(status.message());
  std::replace_if(
      message.begin(), message.end(), [](unsigned char c) { return c < ' ' || c == 127; }, '?');
  fprintf(stderr, "fusefs: %s\n", message.c_str());
  return exit_status;
}

int Print(const std::string& text) {
  if (fputs(text.c_str(), stdout) >= 0 && fflush(stdout) == 0) return 0;
  return Fail(absl::DataLossError("cannot write to standard output"));
}

int Main(const std::vector<std::string>& args) {
  EnsureStandardFds();
  absl::StatusOr<CommandLine> line = ParseCommandLine(args);
  if (!line.ok()) return Fail(line.status(), !args.empty() && args[0] == "check" ? kCheckFailed : 1);
  switch (line->action) {
    case Action::kHelp:
      return Print(std::string(HelpText()));
    case Action::kVersion:
      return Print(std::string("fusefs ") + kVersion + "\nlibfuse " + fuse_pkgversion() + "\n");
    case Action::kStats: {
      absl::StatusOr<std::string> output = StatsOutput(*line);
      return output.ok() ? Print(*output) : Fail(output.status());
    }
    case Action::kBranch: {
      absl::StatusOr<std::string> output = BranchOutput(*line);
      return output.ok() ? Print(*output) : Fail(output.status());
    }
    case Action::kWhence: {
      absl::StatusOr<std::string> output = WhenceOutput(*line);
      return output.ok() ? Print(*output) : Fail(output.status());
    }
    case Action::kDiff: {
      absl::StatusOr<std::string> output = DiffOutput(*line);
      return output.ok() ? Print(*output) : Fail(output.status());
    }
    case Action::kCheck: {
      absl::StatusOr<CheckResult> result = RunCheck(*line);
      if (!result.ok()) return Fail(result.status(), kCheckFailed);
      return std::max(Print(result->output), result->exit_status);
    }
    case Action::kMount:
      break;
  }
  absl::Status served = ServeMount(line->options);
  return served.ok() ? 0 : Fail(served);
}

}  // namespace
}  // namespace acetate::fusefs

int main(int argc, char** argv) {
  return acetate::fusefs::Main(std::vector<std::string>(argv + std::min(argc, 1), argv + argc));
}
