// launch: runs a command in a container whose root is a union of layers. See launch(1).
#include <fcntl.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "launcher/error_line.h"
#include "launcher/flags.h"
#include "launcher/launch.h"
#include "launcher/own_program.h"
#include "launcher/program.h"
#include "launcher/verbs.h"

namespace acetate::launcher {
namespace {

constexpr char kVersion[] = "launch (Acetate) 0.1\n";

// Without this a file that launch opens could become the container's stdin, stdout or stderr.
bool FillStandardFds() {
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; ++fd) {
    // The lowest free number is this one.
    if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd) return false;
  }
  return true;
}

int Print(const std::string& text) {
  return write(STDOUT_FILENO, text.data(), text.size()) == static_cast<ssize_t>(text.size()) ? 0 : kExitOwnFailure;
}

// Of the verbs that have processes enter a container.
bool EntersContainers(Verb verb) { return verb == Verb::kRun || verb == Verb::kStart || verb == Verb::kExec; }

int Main(char* const* argv, const std::vector<std::string>& words) {
  if (!FillStandardFds()) {
    PrintErrorLine("a standard fd is closed, and /dev/null cannot be opened in its place");
    return kExitOwnFailure;
  }
  absl::StatusOr<CommandLine> line = ParseCommandLine(words, environ);
  if (!line.ok()) {
    PrintErrorLine(line.status().message());
    return kExitOwnFailure;
  }
  switch (line->action) {
    case CommandLine::Action::kHelp:
      return Print(HelpText(line->verb));
    case CommandLine::Action::kVersion:
      return Print(kVersion);
    case CommandLine::Action::kExplain:
      return Explain(line->spec);
    case CommandLine::Action::kDo:
      if (EntersContainers(line->verb)) {
        if (absl::Status s = SecureOwnProgram(argv); !s.ok()) {
          PrintErrorLine(s.message());
          return kExitOwnFailure;
        }
      }
      return line->verb == Verb::kRun ? Launch(line->spec) : DoVerb(*line);
  }
  return kExitOwnFailure;
}

}  // namespace
}  // namespace acetate::launcher

int main(int argc, char** argv) {
  return acetate::launcher::Main(argv, std::vector<std::string>(argv + (argc > 0 ? 1 : 0), argv + argc));
}
