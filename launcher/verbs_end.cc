// stop, kill, wait, rm, pause and unpause.
#include <signal.h>
#include <unistd.h>

#include <chrono>

#include "absl/strings/str_cat.h"
#include "launcher/each.h"
#include "launcher/files.h"
#include "launcher/protocol.h"
#include "launcher/record.h"
#include "launcher/sweep.h"
#include "launcher/verbs.h"

namespace acetate::launcher {
namespace {

absl::Status SendSignal(const Container& container, const UniqueFd& connection, int signal) {
  char byte = static_cast<char>(signal);
  if (!connection.valid()) return absl::OkStatus();
  Errno error = SendPacket(connection.get(), Message::kSignal, {&byte, 1});
  // One whose helper is gone has ended, too.
  if (error.ok() || error == EPIPE || error == ECONNRESET) return absl::OkStatus();
  return ErrnoToStatus(error, absl::StrCat("signal container ", ShortId(container.id)));
}

absl::Status KillAndWait(const Container& container, const UniqueFd& connection) {
  if (absl::Status s = SendSignal(container, connection, SIGKILL); !s.ok()) return s;
  return AwaitEnd(container, connection, -1).status();
}

// What has ended is stopped already.
absl::Status StopOne(const VerbOptions& options, const Container& container) {
  if (!container.live) return absl::OkStatus();
  absl::StatusOr<UniqueFd> connection = Watch(container);
  if (!connection.ok()) return connection.status();
  if (container.state.status == ContainerState::Status::kPaused) {
    // It may have been let go meanwhile.
    Ask(container, Message::kUnpause).status().IgnoreError();
  }
  int signal = options.signal.value_or(container.config.spec.stop_signal);
  if (absl::Status s = SendSignal(container, *connection, signal); !s.ok()) return s;
  absl::StatusOr<std::optional<int>> end =
      AwaitEnd(container, *connection, options.seconds.value_or(container.config.spec.stop_timeout));
  if (!end.ok()) return end.status();
  return end->has_value() ? absl::OkStatus() : KillAndWait(container, *connection);
}

absl::Status RemoveOne(bool force, const Container& container) {
  if (container.live) {
    if (!force) {
      return absl::FailedPreconditionError(
          absl::StrCat("container ", ShortId(container.id), " runs; stop it first, or remove it with -f"));
    }
    absl::StatusOr<UniqueFd> connection = Watch(container);
    if (!connection.ok()) return connection.status();
    if (absl::Status s = KillAndWait(container, *connection); !s.ok()) return s;
  }
  // Keeps `start` from it meanwhile, and lets the next command finish this if it is cut short.
  RunRecord record;
  record.remove_container = true;
  record.container = container.paths.container;
  record.name_link = container.paths.name_link;
  absl::StatusOr<UniqueFd> lock = CreateRecord(container.paths.record, record);
  if (!lock.ok()) return lock.status();
  if (absl::Status s = RemoveContainerTree(container.paths.container); !s.ok()) return s;
  if (!container.paths.name_link.empty()) unlink(container.paths.name_link.c_str());
  unlink(container.paths.record.c_str());
  return absl::OkStatus();
}

}  // namespace

int Stop(const CommandLine& line, const std::string& store_root) {
  return ForEach(line.containers, store_root, true, [&](Container& c) { return StopOne(line.options, c); });
}

int Kill(const CommandLine& line, const std::string& store_root) {
  return ForEach(line.containers, store_root, true, [&](Container& container) {
    absl::StatusOr<UniqueFd> connection = Connect(container);
    if (!connection.ok()) return connection.status();
    return SendSignal(container, *connection, line.options.signal.value_or(SIGKILL));
  });
}

int Wait(const CommandLine& line, const std::string& store_root) {
  return ForEach(line.containers, store_root, false, [&](Container& container) {
    // The record's is that of one that ended a moment ago.
    int exit_status = container.record.end >= 0 ? container.record.end : container.state.exit_status;
    if (container.live) {
      absl::StatusOr<UniqueFd> connection = Watch(container);
      if (!connection.ok()) return connection.status();
      absl::StatusOr<std::optional<int>> end = AwaitEnd(container, *connection, -1);
      if (!end.ok()) return end.status();
      exit_status = **end;  // there is no limit of time
    }
    WriteAll(STDOUT_FILENO, absl::StrCat(exit_status, "\n")).IgnoreError();
    return absl::OkStatus();
  });
}

int Remove(const CommandLine& line, const std::string& store_root) {
  return ForEach(line.containers, store_root, true, [&](Container& c) { return RemoveOne(line.options.force, c); });
}

int PauseOrUnpause(const CommandLine& line, const std::string& store_root) {
  Message message = line.verb == Verb::kPause ? Message::kPause : Message::kUnpause;
  return ForEach(line.containers, store_root, true,
                 [&](Container& container) { return Ask(container, message).status(); });
}

}  // namespace acetate::launcher
