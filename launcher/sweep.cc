#include "launcher/sweep.h"

#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <ctime>
#include <functional>

#include "absl/strings/str_cat.h"
#include "common/errno_or.h"
#include "common/syscalls.h"
#include "launcher/cgroup.h"
#include "launcher/error_line.h"
#include "launcher/files.h"
#include "launcher/protocol.h"
#include "launcher/state_file.h"
#include "launcher/timestamp.h"

namespace acetate::launcher {
namespace {

constexpr int kKilled = 128 + 9;

void NoteEnd(const std::string& container) {
  ContainerState state = ReadState(container);
  if (state.status == ContainerState::Status::kExited) return;
  state.status = ContainerState::Status::kExited;
  state.pid = 0;
  state.finished = FormatSeconds(time(nullptr));
  state.exit_status = kKilled;
  state.message = "the container's helper process was killed";
  WriteState(container, state).IgnoreError();
}

// A container that is not to stay, or whose making was cut short: it has no config yet.
bool MustGo(const Stale& left) {
  if (left.record.remove_container) return true;
  return !left.record.container.empty() && access((left.record.container + "/config.json").c_str(), F_OK) != 0;
}

// Runs `action` in a process that is root of a user namespace like those of containers. An error when it did not return
// true.
absl::Status InUserNamespace(const std::function<bool()>& action) {
  absl::StatusOr<Identity> identity = ChooseIdentity(ReadIdentitySources());
  if (!identity.ok()) return identity.status();
  auto ends = SocketPair();
  if (!ends.ok()) return ErrnoToStatus(ends.error(), "make a socket");
  ErrnoOr<pid_t> child = sys::Fork(CLONE_NEWUSER, nullptr);
  if (!child.ok()) return ErrnoToStatus(child.error(), absl::StrCat("make a user namespace", UserNamespaceHint()));
  bool maps_itself = identity->method == Identity::Method::kSingle;
  if (*child == 0) {
    ends->first.Reset();
    bool mapped = maps_itself ? WriteIdMaps(*identity, 0).ok() : AwaitPacket(ends->second.get(), -1).ok();
    _exit(mapped && action() ? 0 : 1);
  }
  ends->second.Reset();
  absl::Status status = maps_itself ? absl::OkStatus() : WriteIdMaps(*identity, *child);
  if (status.ok() && !maps_itself) SendPacket(ends->first.get(), Message::kIdMapsWritten, "").IgnoreError();
  ends->first.Reset();
  int wait_status;
  while (waitpid(*child, &wait_status, 0) < 0 && errno == EINTR) {
  }
  if (status.ok() && (!WIFEXITED(wait_status) || WEXITSTATUS(wait_status) != 0)) {
    status = absl::InternalError("a process in a user namespace failed");
  }
  return status;
}

}  // namespace

std::vector<Stale> SweepHost(const std::string& store_root) {
  std::vector<Stale> stale = FindStale(store_root);
  for (const Stale& left : stale) {
    KillRecordedInit(left.record);
    // What cannot be removed now is tried again next time: its record stays.
    for (const std::string& cgroup : left.record.cgroups) RemoveCgroup(cgroup).IgnoreError();
    if (!left.record.leaf.empty()) LeaveLeaf(left.record.leaf).IgnoreError();
    if (!left.record.runtime_dir.empty()) RemoveTree(left.record.runtime_dir).IgnoreError();
    if (!left.record.remove_container && !left.record.container.empty()) NoteEnd(left.record.container);
  }
  return stale;
}

void RemoveStaleTrees(const std::vector<Stale>& stale) {
  for (const Stale& left : stale) {
    if (MustGo(left)) {
      if (!RemoveTree(left.record.container).ok()) continue;  // the record stays, for another try
      if (!left.record.name_link.empty()) unlink(left.record.name_link.c_str());
    }
    unlink(left.path.c_str());
  }
}

void Sweep(const std::string& store_root) {
  std::vector<Stale> stale = SweepHost(store_root);
  bool trees = false;
  for (const Stale& left : stale) trees = trees || MustGo(left);
  if (!trees) {
    RemoveStaleTrees(stale);
    return;
  }
  InUserNamespace([&] {
    RemoveStaleTrees(stale);
    return true;
  }).IgnoreError();
}

absl::Status RemoveContainerTree(const std::string& path) {
  return InUserNamespace([&] {
    absl::Status status = RemoveTree(path);
    if (!status.ok()) PrintErrorLine(status.message());
    return status.ok();
  });
}

}  // namespace acetate::launcher
