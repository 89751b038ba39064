#include "launcher/containers.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <tuple>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/errno_or.h"
#include "common/syscalls.h"
#include "launcher/files.h"

namespace acetate::launcher {
namespace {

using Clock = std::chrono::steady_clock;

// How long a container whose command does not run yet is waited for.
constexpr std::chrono::seconds kPatience{30};

RunRecord ReadRecord(const UniqueFd& file) {
  char text[1 << 16];
  const ssize_t size = pread(file.get(), text, sizeof(text), 0);
  return ParseRecord({text, size > 0 ? static_cast<size_t>(size) : 0});
}

UniqueFd OpenRecord(const std::string& path) {
  ErrnoOr<UniqueFd> fd = sys::OpenAt(AT_FDCWD, path.c_str(), O_RDONLY | O_NOFOLLOW);
  return fd.ok() ? *std::move(fd) : UniqueFd();
}

// Whether a supervisor holds the record.
bool IsHeld(const UniqueFd& file) {
  if (!file.valid()) return false;
  if (flock(file.get(), LOCK_SH | LOCK_NB) != 0) return true;
  flock(file.get(), LOCK_UN);
  return false;
}

// Waits until no supervisor holds the record any more.
void AwaitRelease(const UniqueFd& file) {
  while (file.valid() && flock(file.get(), LOCK_SH) != 0 && errno == EINTR) {
  }
  if (file.valid()) flock(file.get(), LOCK_UN);
}

absl::StatusOr<Container> ReadContainer(const std::string& store_root, const std::string& id) {
  Container container;
  container.id = id;
  container.paths = PathsInStore(store_root, id, "");
  // Before all else: from here on its end is not missed.
  container.record_file = OpenRecord(container.paths.record);
  absl::StatusOr<ContainerConfig> config = ReadConfigFile(container.paths.config);
  if (!config.ok()) return config.status();
  container.config = *std::move(config);
  container.paths = PathsInStore(store_root, id, container.name());
  container.live = IsHeld(container.record_file);
  if (container.record_file.valid()) container.record = ReadRecord(container.record_file);
  // After the record: of one that is not live any more this is the last word.
  container.state = ReadState(container.paths.container);
  bool ended = container.state.status == ContainerState::Status::kExited;
  // The end of an earlier run; this one has not come to its command yet.
  if (container.live && ended && container.record.init == 0) container.state = ContainerState();
  return container;
}

}  // namespace

std::vector<Container> ListContainers(const std::string& store_root) {
  std::vector<Container> containers;
  std::unique_ptr<DIR, int (*)(DIR*)> dir(opendir((store_root + "/containers").c_str()), closedir);
  if (dir == nullptr) return containers;
  while (const dirent* entry = readdir(dir.get())) {
    if (entry->d_name[0] == '.') continue;
    absl::StatusOr<Container> container = ReadContainer(store_root, entry->d_name);
    if (!container.ok()) continue;
    container->record_file.Reset();  // there may be more of them than a process may have open
    containers.push_back(*std::move(container));
  }
  std::sort(containers.begin(), containers.end(), [](const Container& a, const Container& b) {
    return std::tie(b.config.created, b.id) < std::tie(a.config.created, a.id);
  });
  return containers;
}

absl::StatusOr<size_t> MatchReference(const std::vector<std::pair<std::string, std::string>>& containers,
                                      const std::string& reference) {
  std::vector<size_t> matches;
  for (size_t i = 0; i < containers.size(); ++i) {
    const auto& [id, name] = containers[i];
    if (id == reference || (!name.empty() && name == reference)) return i;
    bool begins = absl::StartsWith(id, reference) || absl::StartsWith(name, reference);
    if (!reference.empty() && begins) matches.push_back(i);
  }
  if (matches.size() == 1) return matches[0];
  if (matches.empty()) return absl::NotFoundError(absl::StrCat("there is no container ", reference));
  std::string all = absl::StrJoin(matches, ", ", [&](std::string* out, size_t i) {
    const auto& [id, name] = containers[i];
    absl::StrAppend(out, ShortId(id), name.empty() ? "" : absl::StrCat(" (", name, ")"));
  });
  return absl::InvalidArgumentError(
      absl::StrCat(reference, " is the beginning of more than one container's name or id: ", all));
}

absl::StatusOr<Container> FindContainer(const std::string& store_root, const std::string& reference) {
  std::vector<Container> containers = ListContainers(store_root);
  std::vector<std::pair<std::string, std::string>> names;
  names.reserve(containers.size());
  for (const Container& container : containers) names.emplace_back(container.id, container.name());
  absl::StatusOr<size_t> index = MatchReference(names, reference);
  if (!index.ok()) return index.status();
  // Once more, to keep its record: one that has gone just now is none.
  absl::StatusOr<Container> found = ReadContainer(store_root, containers[*index].id);
  if (!found.ok()) return absl::NotFoundError(absl::StrCat("there is no container ", reference));
  return found;
}

absl::StatusOr<UniqueFd> Connect(const Container& container) {
  std::string what = absl::StrCat("reach container ", ShortId(container.id));
  if (!container.live) return absl::FailedPreconditionError(absl::StrCat(what, ": it does not run"));
  const Clock::time_point deadline = Clock::now() + kPatience;
  for (;;) {
    ErrnoOr<UniqueFd> fd = ConnectIn(container.record.runtime_dir, kControlSocket);
    if (fd.ok()) return *std::move(fd);
    // The socket is made a little after the record, and taken away a little before it.
    if (!IsHeld(container.record_file)) {
      return absl::FailedPreconditionError(absl::StrCat(what, ": it does not run any more"));
    }
    if (Clock::now() > deadline) return ErrnoToStatus(fd.error(), what);
    usleep(10000);
  }
}

absl::StatusOr<Packet> Ask(const Container& container, Message message) {
  absl::StatusOr<UniqueFd> connection = Connect(container);
  if (!connection.ok()) return connection.status();
  std::string what = absl::StrCat("container ", ShortId(container.id));
  Errno error = SendPacket(connection->get(), message, "");
  if (!error.ok()) return ErrnoToStatus(error, what);
  ErrnoOr<Packet> answer = AwaitPacket(connection->get(), -1);
  if (!answer.ok()) return absl::UnavailableError(absl::StrCat(what, ": it ended"));
  if (answer->type == Message::kDone) return *std::move(answer);
  if (answer->type == Message::kExit) return absl::UnavailableError(absl::StrCat(what, ": it ended"));
  return absl::FailedPreconditionError(absl::StrCat(what, ": ", answer->payload));
}

absl::StatusOr<UniqueFd> Watch(const Container& container) {
  absl::StatusOr<UniqueFd> connection = Connect(container);
  if (!connection.ok()) {
    if (!IsHeld(container.record_file)) return UniqueFd();
    return connection.status();
  }
  // A helper that is about to end has told so already, and takes no more packets.
  SendPacket(connection->get(), Message::kWatch, "").IgnoreError();
  return connection;
}

absl::StatusOr<std::optional<int>> AwaitEnd(const Container& container, const UniqueFd& connection, double seconds) {
  std::optional<int> exit_status;
  const Clock::time_point deadline = Clock::now() + std::chrono::milliseconds(static_cast<int64_t>(seconds * 1000));
  while (connection.valid() && !exit_status.has_value()) {
    double left = std::chrono::duration<double>(deadline - Clock::now()).count();
    ErrnoOr<Packet> packet = AwaitPacket(connection.get(), seconds < 0 ? -1 : std::max(0.0, left));
    if (packet.ok() && packet->type == Message::kExit && packet->payload.size() == 1) {
      exit_status = static_cast<unsigned char>(packet->payload[0]);
    } else if (packet.error() == ETIMEDOUT) {
      return std::optional<int>();
    } else if (!packet.ok()) {
      break;
    }
  }
  AwaitRelease(container.record_file);
  if (exit_status.has_value()) return exit_status;
  if (const int end = ReadRecord(container.record_file).end; end >= 0) return std::optional<int>(end);
  const ContainerState state = ReadState(container.paths.container);
  if (state.status == ContainerState::Status::kExited) return std::optional<int>(state.exit_status);
  // Its helper was killed, and PID 1 with it; the next command writes that down.
  return std::optional<int>(128 + SIGKILL);
}

}  // namespace acetate::launcher
