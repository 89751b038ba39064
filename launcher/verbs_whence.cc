// whence: fusefs is asked, which knows where all that it shows comes from.
#include <unistd.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "launcher/arguments.h"
#include "launcher/containers.h"
#include "launcher/daemon.h"
#include "launcher/error_line.h"
#include "launcher/program.h"
#include "launcher/protocol.h"
#include "launcher/verbs.h"

namespace acetate::launcher {
namespace {

// Becomes `fusefs whence`; returns only when it cannot.
absl::Status BecomeWhence(const CommandLine& line, const std::string& store_root) {
  const std::string& name = line.containers[0];
  absl::StatusOr<Container> container = FindContainer(store_root, name);
  if (!container.ok()) return container.status();
  if (!container->live) {
    return absl::FailedPreconditionError(absl::StrCat(name, ": is not running: nothing shows its files now"));
  }
  absl::StatusOr<std::string> fusefs = FindFusefs();
  if (!fusefs.ok()) return fusefs.status();
  std::vector<std::string> words = {*fusefs, "whence",
                                    absl::StrCat("--control=", container->record.runtime_dir, "/", kFusefsSocket)};
  if (line.options.json) words.emplace_back("--json");
  words.emplace_back("--");
  words.push_back(CleanPath(absl::StrCat("/", line.path)).substr(1));
  execv(words[0].c_str(), ArgumentPointers(words).data());
  return ErrnoToStatus(Errno::Last(), absl::StrCat("start ", *fusefs));
}

}  // namespace

int Whence(const CommandLine& line, const std::string& store_root) {
  PrintErrorLine(BecomeWhence(line, store_root).message());
  return kExitOwnFailure;
}

}  // namespace acetate::launcher
