// The command line: `launch [run] --image DIR [flags] [--] CMD ARG...`, or `launch VERB [flags] CONTAINER...`, with
// Docker's names and rules. The first word that is no flag ends the flags, and everything from there on is the
// command's, or the verb's. Flags are written --name=value, --name value, -x value, -xvalue; switches of one letter may
// share a dash. Of a flag given twice the last counts, apart from those that add up (-e, -v, --tmpfs,
// --ulimit). gflags' own parser would
// permute the command's arguments and knows neither repeats nor short names, so the table in flag_table.h is all there
// is; parsing is pure.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "launcher/spec.h"

namespace acetate::launcher {

enum class Verb {
  kRun,
  kStart,
  kExec,
  kAttach,
  kLogs,
  kPs,
  kInspect,
  kStop,
  kKill,
  kWait,
  kRm,
  kPause,
  kUnpause,
  kWhence,
  kDoctor
};

// What the verbs besides run and exec take.
struct VerbOptions {
  bool all = false;
  bool attach = false;
  bool follow = false;
  bool force = false;
  bool json = false;
  bool no_truncation = false;
  bool quiet = false;
  bool timestamps = false;
  bool no_stdin = false;
  bool proxy_signals = true;
  std::optional<uint64_t> tail;  // lines; nothing: all
  std::optional<int> signal;     // nothing: the verb's own
  std::optional<int> seconds;    // nothing: the container's own
};

struct CommandLine {
  enum class Action { kDo, kExplain, kHelp, kVersion };
  Action action = Action::kDo;
  Verb verb = Verb::kRun;
  // For run it is complete. For exec it holds the flags given: no workdir means the container's. Of start and attach
  // it holds the detach keys.
  Spec spec;
  VerbOptions options;
  std::vector<std::string> containers;  // names or ids, as written
  std::string path;                     // whence's
};

// `words` is argv without the program's name; `environ` is where `-e NAME` finds its value.
absl::StatusOr<CommandLine> ParseCommandLine(const std::vector<std::string>& words, const char* const* environ);

// The text of --help: of launch as a whole with the flags of run, or of another verb.
std::string HelpText(Verb verb = Verb::kRun);

}  // namespace acetate::launcher
