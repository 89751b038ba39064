// The command line: `launch [run] --image DIR [flags] [--] CMD ARG...`, with Docker's names and rules. The first word
// that is no flag begins the command, and everything from there on is the command's. Flags are written --name=value,
// --name value, -x value, -xvalue; switches of one letter may share a dash. Of a flag given twice the last counts,
// apart from those that add up (-e, -v). gflags' own parser would permute the command's arguments and knows neither
// repeats nor short names, so the table here is all there is; parsing is pure.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "launcher/spec.h"

namespace acetate::launcher {

struct CommandLine {
  enum class Action { kRun, kExplain, kHelp, kVersion };
  Action action = Action::kRun;
  Spec spec;  // complete for kRun and kExplain only
};

// `words` is argv without the program's name; `environ` is where `-e NAME` finds its value.
absl::StatusOr<CommandLine> ParseCommandLine(const std::vector<std::string>& words, const char* const* environ);

// The text of --help.
std::string HelpText();

}  // namespace acetate::launcher
