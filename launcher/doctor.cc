#include "launcher/doctor.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/errno_or.h"
#include "common/syscalls.h"
#include "launcher/daemon.h"
#include "launcher/systemd_scope.h"

namespace acetate::launcher {
namespace {

using Verdict = Finding::Verdict;

constexpr uint64_t kSomeMemory = 64 << 20;
constexpr uint64_t kSomeProcesses = 10;
constexpr uint64_t kSomeWeight = 100;

std::string Reason(int error) { return strerrordesc_np(error); }

// Makes a user namespace and, as its root, changes a mount: where AppArmor forbids them, only the second fails.
int TryUserNamespace() {
  ErrnoOr<pid_t> child = sys::Fork(CLONE_NEWUSER | CLONE_NEWNS, nullptr);
  if (!child.ok()) return child.error().value();
  if (*child == 0) _exit(mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 ? 0 : errno);
  int status = 0;
  while (waitpid(*child, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : EINTR;
}

int TryOpen(const char* path) { return sys::OpenAt(AT_FDCWD, path, O_RDWR).error().value(); }

bool IsPrivileged(const std::string& program) {
  struct stat st;
  if (program.empty() || stat(program.c_str(), &st) != 0) return false;
  return (st.st_uid == 0 && (st.st_mode & S_ISUID) != 0) ||
         getxattr(program.c_str(), "security.capability", nullptr, 0) > 0;
}

Finding UserNamespaces(const DoctorView& view) {
  if (view.user_namespace_error == 0) return {"user namespaces", Verdict::kGood, "can be made", ""};
  absl::string_view hint = view.user_namespace_hint;
  absl::ConsumePrefix(&hint, "; ");
  std::string cure =
      hint.empty() ? "ask who runs this machine, or the container around this one, to allow them" : std::string(hint);
  return {"user namespaces", Verdict::kBad, absl::StrCat("cannot be made: ", Reason(view.user_namespace_error)), cure};
}

// Gives the user a range of ids that is no one's yet.
std::string UsermodLine(const IdentitySources& sources) {
  uint64_t free = 100000;
  for (const std::string* text : {&sources.subuid, &sources.subgid}) {
    for (absl::string_view line : absl::StrSplit(*text, '\n')) {
      std::vector<absl::string_view> fields = absl::StrSplit(line, ':');
      uint64_t start, count;
      if (fields.size() != 3 || !absl::SimpleAtoi(fields[1], &start) || !absl::SimpleAtoi(fields[2], &count)) continue;
      free = std::max(free, start + count);
    }
  }
  std::string range = absl::StrCat(free, "-", free + 65535);
  std::string user = sources.user_name.empty() ? absl::StrCat(sources.uid) : sources.user_name;
  return absl::StrCat("as root: usermod --add-subuids ", range, " --add-subgids ", range, " ", user);
}

Finding Ids(const DoctorView& view) {
  const char* const subject = "subordinate ids";
  absl::StatusOr<Identity> identity = ChooseIdentity(view.identity);
  if (!identity.ok()) return {subject, Verdict::kBad, std::string(identity.status().message()), "apt install uidmap"};
  switch (identity->method) {
    case Identity::Method::kHost:
    case Identity::Method::kMirror:
      return {subject, Verdict::kGood, "not needed: root has all ids", ""};
    case Identity::Method::kSingle:
      return {subject, Verdict::kLimited, "none: containers have no other user than root", UsermodLine(view.identity)};
    case Identity::Method::kSubordinate:
      break;
  }
  if (!view.mappers_privileged) {
    return {subject, Verdict::kBad, absl::StrCat(view.identity.newuidmap, " or newgidmap has no privilege to map them"),
            "as root: apt install --reinstall uidmap"};
  }
  uint64_t count = 0;
  for (const IdRange& range : identity->uids) count += range.count;
  return {subject, Verdict::kGood, absl::StrCat(count - 1, " besides your own"), ""};
}

Finding Fuse(const DoctorView& view) {
  if (view.fuse_error == 0) return {"/dev/fuse", Verdict::kGood, "can be opened", ""};
  const char* cure =
      view.fuse_error == EACCES || view.fuse_error == EPERM
          ? "as root: chmod 0666 /dev/fuse, or a udev rule"
          : "as root: modprobe fuse; in a container: give it the device, as by docker run --device /dev/fuse";
  return {"/dev/fuse", Verdict::kBad, absl::StrCat("cannot be opened: ", Reason(view.fuse_error)), cure};
}

Finding Fusefs(const DoctorView& view) {
  if (!view.fusefs.empty()) return {"fusefs", Verdict::kGood, view.fusefs, ""};
  return {"fusefs", Verdict::kBad, "is neither beside launch nor in PATH", "install it there, or set ACETATE_FUSEFS"};
}

Finding Limits(const DoctorView& view) {
  // One of each controller.
  ResourceLimits limits;
  limits.memory_bytes = kSomeMemory;
  limits.pids_limit = kSomeProcesses;
  limits.cpu_quota_us = kCpuPeriodUs;
  limits.blkio_weight = kSomeWeight;
  absl::StatusOr<CgroupPlan> plan = PlanCgroups(view.cgroups, "doctor", limits, view.systemd);
  if (plan.ok()) return {"limits", Verdict::kGood, "memory, processes, CPUs and disk accesses can be limited", ""};
  // "what is wrong; what to do"
  std::pair<std::string, std::string> parts =
      absl::StrSplit(std::string(plan.status().message()), absl::MaxSplits("; ", 1));
  return {"limits", Verdict::kLimited, parts.first, parts.second};
}

Finding Tun(const DoctorView& view) {
  if (view.tun_error == 0) return {"/dev/net/tun", Verdict::kGood, "can be opened", ""};
  return {"/dev/net/tun", Verdict::kLimited,
          absl::StrCat("cannot be opened: ", Reason(view.tun_error), "; pasta and slirp4netns need it"),
          "as root: modprobe tun; chmod 0666 /dev/net/tun"};
}

// Version 2 (Linux 5.19) is the first that knows renames from one directory to another.
Finding Confinement(const DoctorView& view) {
  const char* const subject = "Landlock";
  if (view.landlock >= 2) return {subject, Verdict::kGood, "fusefs is confined to the container's layers", ""};
  return {subject, Verdict::kLimited,
          view.landlock == 0 ? "the kernel has none, or it is switched off; fusefs runs with all of your rights"
                             : "the kernel's is too old; fusefs runs with all of your rights",
          "boot Linux 5.19 or later, with landlock in lsm= of its command line"};
}

}  // namespace

DoctorView ReadDoctorView() {
  DoctorView view;
  view.user_namespace_error = TryUserNamespace();
  view.user_namespace_hint = UserNamespaceHint();
  view.identity = ReadIdentitySources();
  view.mappers_privileged = IsPrivileged(view.identity.newuidmap) && IsPrivileged(view.identity.newgidmap);
  view.fuse_error = TryOpen("/dev/fuse");
  view.tun_error = TryOpen("/dev/net/tun");
  absl::StatusOr<std::string> fusefs = FindFusefs();
  if (fusefs.ok()) view.fusefs = *std::move(fusefs);
  view.landlock = sys::LandlockVersion();
  view.cgroups = ReadCgroupView();
  view.systemd = AskSystemd(view.cgroups.unified_mount);
  return view;
}

std::vector<Finding> Diagnose(const DoctorView& view) {
  return {UserNamespaces(view), Ids(view), Fuse(view), Fusefs(view), Limits(view), Tun(view), Confinement(view)};
}

}  // namespace acetate::launcher
