#include "launcher/cgroup.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/errno_or.h"
#include "common/syscalls.h"
#include "launcher/files.h"

namespace acetate::launcher {
namespace {

constexpr int kFreezeSeconds = 10;

// The directory of cgroup `own` (a path of /proc/self/cgroup) below a mount; empty when it lies outside of what the
// mount shows.
std::string DirectoryIn(const MountInfo& mount, absl::string_view own) {
  absl::string_view below = own;
  if (mount.root != "/") {
    if (!absl::ConsumePrefix(&below, mount.root) || (!below.empty() && below[0] != '/')) return "";
  }
  if (below == "/") below = "";
  if (absl::StrContains(below, "/..")) return "";
  return absl::StrCat(mount.mount_point, below);
}

std::vector<std::string> Words(absl::string_view text) {
  return absl::StrSplit(text, absl::ByAnyChar(" \n"), absl::SkipEmpty());
}

bool HasFile(const std::string& directory, const char* name) {
  return access(absl::StrCat(directory, "/", name).c_str(), F_OK) == 0;
}

std::vector<std::string> ChildrenOf(const std::string& directory) {
  std::vector<std::string> children;
  std::unique_ptr<DIR, int (*)(DIR*)> dir(opendir(directory.c_str()), closedir);
  if (dir == nullptr) return children;
  while (const dirent* entry = readdir(dir.get())) {
    if (entry->d_type == DT_DIR && entry->d_name[0] != '.') children.push_back(entry->d_name);
  }
  return children;
}

// Signals what is in a cgroup and in those below, which the container may have made.
bool SignalAll(const std::string& path, int signal) {
  bool all = true;
  for (const std::string& word : Words(ReadFileOrEmpty(path + "/cgroup.procs"))) {
    pid_t pid;
    // 0 is a process of another pid namespace, which cannot be named from here.
    if (absl::SimpleAtoi(word, &pid) && pid > 0) all = (kill(pid, signal) == 0 || errno == ESRCH) && all;
  }
  for (const std::string& child : ChildrenOf(path)) all = SignalAll(absl::StrCat(path, "/", child), signal) && all;
  return all;
}

bool IsFrozen(const std::string& path) {
  return absl::StrContains(ReadFileOrEmpty(path + "/cgroup.events"), "frozen 1") ||
         absl::StartsWith(ReadFileOrEmpty(path + "/freezer.state"), "FROZEN");
}

Errno WriteFreezer(const std::string& path, bool frozen) {
  if (HasFile(path, "freezer.state")) return WriteExisting(path + "/freezer.state", frozen ? "FROZEN" : "THAWED");
  return WriteExisting(path + "/cgroup.freeze", frozen ? "1" : "0");
}

}  // namespace

CgroupView ParseCgroupView(absl::string_view self_cgroup, const std::vector<MountInfo>& mounts) {
  CgroupView view;
  // Each line: hierarchy id, controllers, path. Id 0 without controllers is v2.
  for (absl::string_view line : absl::StrSplit(self_cgroup, '\n', absl::SkipEmpty())) {
    std::vector<absl::string_view> fields = absl::StrSplit(line, absl::MaxSplits(':', 2));
    if (fields.size() != 3) continue;
    for (const MountInfo& mount : mounts) {
      if (fields[1].empty()) {
        if (mount.fs_type != "cgroup2" || !view.unified.empty()) continue;
        view.unified = DirectoryIn(mount, fields[2]);
        if (!view.unified.empty()) view.unified_mount = mount.mount_point;
        continue;
      }
      if (mount.fs_type != "cgroup") continue;
      std::vector<std::string> mounted = absl::StrSplit(mount.super_options, ',');
      for (absl::string_view controller : absl::StrSplit(fields[1], ',')) {
        bool here = false;
        for (const std::string& option : mounted) here = here || option == controller;
        std::string directory = here ? DirectoryIn(mount, fields[2]) : "";
        if (!directory.empty()) view.v1.emplace(controller, directory);
      }
    }
  }
  return view;
}

CgroupView ReadCgroupView() {
  CgroupView view = ParseCgroupView(ReadFileOrEmpty("/proc/self/cgroup"), ReadMountInfo());
  view.self = getpid();
  view.under_systemd = access("/run/systemd/system", F_OK) == 0;  // sd_booted(3)
  return view;
}

bool HasAllWords(absl::string_view list, const std::vector<std::string>& wanted) {
  const std::vector<std::string> have = Words(list);
  for (const std::string& name : wanted) {
    bool found = false;
    for (const std::string& entry : have) found = found || entry == name;
    if (!found) return false;
  }
  return true;
}

bool KillCgroup(const std::string& path) {
  if (WriteExisting(path + "/cgroup.kill", "1").ok()) return true;
  if (!FreezeCgroup(path).ok()) return false;
  bool all = SignalAll(path, SIGKILL);
  // v1 holds them until they are let go; of v2 those that die are let go anyway.
  return ThawCgroup(path).ok() && all;
}

absl::Status RemoveCgroup(const std::string& path) {
  constexpr int kTries = 1000;  // thousands of processes die one after the other
  for (int i = 0; i < kTries; ++i) {
    if (rmdir(path.c_str()) == 0 || errno == ENOENT) return absl::OkStatus();
    if (errno != EBUSY) break;
    if (i == 0) KillCgroup(path);
    // v2 tells when the last process is gone, of what comes after a first look; v1 does not, so there it is asked again
    // after 10 ms.
    ErrnoOr<UniqueFd> events = sys::OpenAt(AT_FDCWD, (path + "/cgroup.events").c_str(), O_RDONLY);
    char buffer[256];
    if (events.ok() && pread(events->get(), buffer, sizeof(buffer), 0) < 0) break;
    pollfd event = {events.ok() ? events->get() : -1, POLLPRI, 0};
    poll(&event, 1, 10);
    // What the container made below, as its own root there may.
    for (const std::string& child : ChildrenOf(path)) RemoveCgroup(absl::StrCat(path, "/", child)).IgnoreError();
  }
  return ErrnoToStatus(Errno::Last(), absl::StrCat("remove the cgroup ", path));
}

absl::Status FreezeCgroup(const std::string& path) {
  Errno error = WriteFreezer(path, true);
  if (!error.ok()) return ErrnoToStatus(error, absl::StrCat("freeze the cgroup ", path));
  // v2 tells of a change after the file was read through this fd; v1 tells nothing and is asked again.
  ErrnoOr<UniqueFd> events = sys::OpenAt(AT_FDCWD, (path + "/cgroup.events").c_str(), O_RDONLY);
  const int wait_ms = events.ok() ? 1000 : 10;
  for (int waited = 0; waited < kFreezeSeconds * 1000 && !IsFrozen(path); waited += wait_ms) {
    char buffer[256];
    if (events.ok() && pread(events->get(), buffer, sizeof(buffer), 0) >= 0 && IsFrozen(path)) break;
    pollfd changed = {events.ok() ? events->get() : -1, POLLPRI, 0};
    poll(&changed, 1, wait_ms);
  }
  if (IsFrozen(path)) return absl::OkStatus();
  WriteFreezer(path, false).IgnoreError();
  return absl::DeadlineExceededError("a process of the container cannot be frozen: it waits in the kernel");
}

absl::Status ThawCgroup(const std::string& path) {
  Errno error = WriteFreezer(path, false);
  return error.ok() ? absl::OkStatus() : ErrnoToStatus(error, absl::StrCat("thaw the cgroup ", path));
}

absl::Status MoveProcesses(const std::string& from, const std::string& to) {
  constexpr int kTries = 100;  // against processes that fork meanwhile
  for (int i = 0; i < kTries; ++i) {
    const std::string text = ReadFileOrEmpty(from + "/cgroup.procs");
    if (Words(text).empty()) return absl::OkStatus();
    for (const std::string& pid : Words(text)) {
      Errno error = WriteExisting(to + "/cgroup.procs", pid);
      if (!error.ok() && error != ESRCH) return ErrnoToStatus(error, absl::StrCat("move process ", pid, " to ", to));
    }
  }
  return absl::UnavailableError(absl::StrCat("processes keep coming to ", from));
}

absl::Status LeaveLeaf(const std::string& leaf) {
  if (access(leaf.c_str(), F_OK) != 0) return absl::OkStatus();
  const std::string parent = leaf.substr(0, leaf.rfind('/'));
  if (ChildrenOf(parent).size() == 1) {
    for (const std::string& controller : Words(ReadFileOrEmpty(parent + "/cgroup.subtree_control"))) {
      Errno error = WriteExisting(parent + "/cgroup.subtree_control", absl::StrCat("-", controller));
      if (!error.ok()) return ErrnoToStatus(error, absl::StrCat("take ", controller, " back from below ", parent));
    }
    if (absl::Status s = MoveProcesses(leaf, parent); !s.ok()) return s;
  }
  // Others who are there, and this process, stay; the leaf goes with its parent.
  if (rmdir(leaf.c_str()) == 0 || errno == ENOENT || errno == EBUSY) return absl::OkStatus();
  return ErrnoToStatus(Errno::Last(), absl::StrCat("remove the cgroup ", leaf));
}

uint64_t ParseOomKills(absl::string_view text) {
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    uint64_t count;
    if (absl::ConsumePrefix(&line, "oom_kill ") && absl::SimpleAtoi(line, &count)) return count;
  }
  return 0;
}

}  // namespace acetate::launcher
