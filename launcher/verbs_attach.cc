// attach and start.
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "launcher/client.h"
#include "launcher/each.h"
#include "launcher/error_line.h"
#include "launcher/launch.h"
#include "launcher/program.h"
#include "launcher/protocol.h"
#include "launcher/verbs.h"

namespace acetate::launcher {
namespace {

absl::StatusOr<int> AttachTo(const CommandLine& line, const Container& container) {
  const Spec& spec = container.config.spec;
  std::string who = absl::StrCat("container ", ShortId(container.id));
  if (!spec.HasSession() && container.live) {
    return absl::FailedPreconditionError(
        absl::StrCat(who, " has the streams of the launch that runs it: there is nothing to attach to"));
  }
  ClientOptions options;
  absl::StatusOr<UniqueFd> connection = Connect(container);
  if (!connection.ok()) return connection.status();
  Errno error = SendPacket(connection->get(), Message::kAttach, "");
  if (!error.ok()) return ErrnoToStatus(error, absl::StrCat("attach to ", who));
  options.socket = *std::move(connection);
  options.started = true;
  options.terminal = spec.terminal;
  options.interactive = spec.interactive && !line.options.no_stdin;
  options.forwards_signals = line.options.proxy_signals;
  options.detach_keys = line.spec.detach_keys;
  BlockClientSignals();
  ClientEnd end = RunClient(std::move(options));
  switch (end.how) {
    case ClientEnd::How::kLeft:
      return 0;
    case ClientEnd::How::kExited:
      return end.status;
    case ClientEnd::How::kLost:
      break;
  }
  return absl::UnavailableError(absl::StrCat(who, ": its helper process was killed"));
}

}  // namespace

int Attach(const CommandLine& line, const std::string& store_root) {
  int exit_status = 0;
  int failed = ForEach(line.containers, store_root, false, [&](Container& container) {
    absl::StatusOr<int> attached = AttachTo(line, container);
    if (attached.ok()) exit_status = *attached;
    return attached.status();
  });
  return failed != 0 ? failed : exit_status;
}

int Start(const CommandLine& line, const std::string& store_root) {
  bool attaches = line.options.attach || line.spec.interactive;
  if (attaches && line.containers.size() > 1) {
    PrintErrorLine("start: with -a or -i one container is to be named, not more");
    return kExitOwnFailure;
  }
  int exit_status = 0;
  int failed = ForEach(line.containers, store_root, false, [&](Container& container) {
    if (container.live) {
      return absl::FailedPreconditionError(absl::StrCat("container ", ShortId(container.id), " runs already"));
    }
    Spec spec = container.config.spec;
    spec.detach = !attaches;
    spec.interactive = spec.interactive || line.spec.interactive;
    spec.detach_keys = line.spec.detach_keys;
    // It says itself what goes wrong.
    int status = Launch(spec, container.id);
    if (status != 0) exit_status = status;
    return absl::OkStatus();
  });
  return failed != 0 ? failed : exit_status;
}

}  // namespace acetate::launcher
