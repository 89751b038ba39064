#include "launcher/verbs.h"

#include "launcher/error_line.h"
#include "launcher/program.h"
#include "launcher/store.h"
#include "launcher/sweep.h"

namespace acetate::launcher {

int DoVerb(const CommandLine& line) {
  if (line.verb == Verb::kDoctor) return Doctor(line);
  absl::StatusOr<std::string> store = StoreRoot();
  if (!store.ok()) {
    PrintErrorLine(store.status().message());
    return kExitOwnFailure;
  }
  Sweep(*store);
  switch (line.verb) {
    case Verb::kPs:
      return List(line, *store);
    case Verb::kInspect:
      return Inspect(line, *store);
    case Verb::kLogs:
      return Logs(line, *store);
    case Verb::kAttach:
      return Attach(line, *store);
    case Verb::kExec:
      return Exec(line, *store);
    case Verb::kStart:
      return Start(line, *store);
    case Verb::kStop:
      return Stop(line, *store);
    case Verb::kKill:
      return Kill(line, *store);
    case Verb::kWait:
      return Wait(line, *store);
    case Verb::kRm:
      return Remove(line, *store);
    case Verb::kPause:
    case Verb::kUnpause:
      return PauseOrUnpause(line, *store);
    case Verb::kWhence:
      return Whence(line, *store);
    case Verb::kRun:
    case Verb::kDoctor:
      break;
  }
  return kExitOwnFailure;
}

}  // namespace acetate::launcher
