#include "launcher/identity.h"

#include <signal.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/errno_or.h"
#include "launcher/arguments.h"
#include "launcher/capabilities.h"
#include "launcher/files.h"

namespace acetate::launcher {
namespace {

bool Maps(const std::vector<IdRange>& ranges, uint32_t id) {
  for (const IdRange& range : ranges) {
    if (id >= range.inside && id - range.inside < range.count) return true;
  }
  return false;
}

// Name of `uid` from /etc/passwd; without an entry there, what the environment says. newuidmap checks for itself whose
// ranges it hands out, so a wrong name gains nothing. (getpwuid would load the C library's name service modules.)
std::string UserName(uid_t uid) {
  std::string passwd = ReadFileOrEmpty("/etc/passwd");
  for (absl::string_view line : absl::StrSplit(passwd, '\n')) {
    std::vector<absl::string_view> fields = absl::StrSplit(line, ':');
    if (fields.size() > 2 && fields[2] == absl::StrCat(uid)) return std::string(fields[0]);
  }
  const char* user = getenv("USER");
  return user != nullptr ? user : "";
}

// Id 0 for the user, then the ranges one after the other.
std::vector<IdRange> Stack(uint32_t own, const std::vector<IdRange>& ranges) {
  std::vector<IdRange> stacked = {{0, own, 1}};
  uint64_t next = 1;
  for (const IdRange& range : ranges) {
    if (next + range.count > UINT32_MAX) break;
    stacked.push_back({static_cast<uint32_t>(next), range.outside, range.count});
    next += range.count;
  }
  return stacked;
}

std::vector<IdRange> Mirror(absl::string_view own_map) {
  std::vector<IdRange> ranges = ParseIdMap(own_map);
  for (IdRange& range : ranges) range.outside = range.inside;
  return ranges;
}

std::string MapText(const std::vector<IdRange>& ranges) {
  std::string text;
  for (const IdRange& range : ranges) {
    absl::StrAppend(&text, range.inside, " ", range.outside, " ", range.count, "\n");
  }
  return text;
}

absl::Status WriteProcFile(absl::string_view process, absl::string_view name, absl::string_view text) {
  std::string path = absl::StrCat("/proc/", process, "/", name);
  Errno error = WriteExisting(path, text);
  if (error.ok()) return absl::OkStatus();
  std::string hint = error == EPERM || error == EACCES ? UserNamespaceHint() : "";
  absl::Status status = ErrnoToStatus(error, absl::StrCat("write ", path));
  return absl::Status(status.code(), absl::StrCat(status.message(), hint));
}

// Starts newuidmap or newgidmap on `pid`; its pid in `child`.
absl::Status StartMapper(const std::string& program, pid_t pid, const std::vector<IdRange>& ranges, pid_t* child) {
  std::vector<std::string> words = {program, absl::StrCat(pid)};
  for (const IdRange& range : ranges) {
    for (uint32_t number : {range.inside, range.outside, range.count}) words.push_back(absl::StrCat(number));
  }
  std::vector<char*> argv = ArgumentPointers(words);
  int error = posix_spawn(child, program.c_str(), nullptr, nullptr, argv.data(), environ);
  return error == 0 ? absl::OkStatus() : ErrnoToStatus(Errno(error), absl::StrCat("start ", program));
}

absl::Status AwaitMapper(const std::string& program, pid_t child) {
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat(program, " refused the subordinate ids that /etc/subuid and /etc/subgid give you"));
}

}  // namespace

bool Identity::MapsUid(uint32_t uid) const { return Maps(has_inner() ? inner_uids : uids, uid); }
bool Identity::MapsGid(uint32_t gid) const { return Maps(has_inner() ? inner_gids : gids, gid); }

void ReadSubordinateIds(IdentitySources* sources) {
  sources->user_name = UserName(sources->uid);
  sources->subuid = ReadFileOrEmpty("/etc/subuid");
  sources->subgid = ReadFileOrEmpty("/etc/subgid");
}

IdentitySources ReadIdentitySources() {
  IdentitySources sources;
  sources.uid = geteuid();
  sources.gid = getegid();
  sources.may_map_any = HasEffectiveCapability(CAP_SETUID) && HasEffectiveCapability(CAP_SETGID);
  if (sources.may_map_any) {
    sources.own_uid_map = ReadFileOrEmpty("/proc/self/uid_map");
    sources.own_gid_map = ReadFileOrEmpty("/proc/self/gid_map");
    sources.own_setgroups = ReadFileOrEmpty("/proc/self/setgroups");
    return sources;
  }
  ReadSubordinateIds(&sources);
  sources.newuidmap = FindProgram("newuidmap");
  sources.newgidmap = FindProgram("newgidmap");
  return sources;
}

absl::StatusOr<Identity> ChooseIdentity(const IdentitySources& sources) {
  Identity identity;
  if (sources.may_map_any) {
    identity.method = Identity::Method::kMirror;
    identity.uids = Mirror(sources.own_uid_map);
    identity.gids = Mirror(sources.own_gid_map);
    identity.may_set_groups = absl::StripAsciiWhitespace(sources.own_setgroups) == "allow";
    return identity;
  }
  std::vector<IdRange> uids = ParseSubordinate(sources.subuid, sources.user_name, sources.uid);
  std::vector<IdRange> gids = ParseSubordinate(sources.subgid, sources.user_name, sources.uid);
  if (uids.empty() || gids.empty()) {
    identity.uids = {{0, sources.uid, 1}};
    identity.gids = {{0, sources.gid, 1}};
    return identity;
  }
  if (sources.newuidmap.empty() || sources.newgidmap.empty()) {
    return absl::FailedPreconditionError(absl::StrCat("you have subordinate ids in /etc/subuid and /etc/subgid, but ",
                                                      sources.newuidmap.empty() ? "newuidmap" : "newgidmap",
                                                      " is not in your PATH; install the package uidmap"));
  }
  identity.method = Identity::Method::kSubordinate;
  identity.uids = Stack(sources.uid, uids);
  identity.gids = Stack(sources.gid, gids);
  identity.may_set_groups = true;
  identity.newuidmap = sources.newuidmap;
  identity.newgidmap = sources.newgidmap;
  return identity;
}

std::vector<IdRange> ParseSubordinate(absl::string_view text, absl::string_view user_name, uid_t uid) {
  std::vector<IdRange> ranges;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    std::vector<absl::string_view> fields = absl::StrSplit(line, ':');
    IdRange range;
    if (fields.size() != 3 || (fields[0] != user_name && fields[0] != absl::StrCat(uid)) || fields[0].empty()) continue;
    if (!absl::SimpleAtoi(fields[1], &range.outside) || !absl::SimpleAtoi(fields[2], &range.count)) continue;
    if (range.count > 0) ranges.push_back(range);
  }
  return ranges;
}

std::vector<IdRange> ParseIdMap(absl::string_view text) {
  std::vector<IdRange> ranges;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    std::vector<absl::string_view> fields = absl::StrSplit(line, ' ', absl::SkipWhitespace());
    IdRange range;
    if (fields.size() == 3 && absl::SimpleAtoi(fields[0], &range.inside) &&
        absl::SimpleAtoi(fields[1], &range.outside) && absl::SimpleAtoi(fields[2], &range.count)) {
      ranges.push_back(range);
    }
  }
  return ranges;
}

absl::Status WriteInnerIdMaps(const Identity& identity, pid_t pid) {
  const std::string process = absl::StrCat(pid);
  if (absl::Status s = WriteProcFile(process, "uid_map", MapText(identity.inner_uids)); !s.ok()) return s;
  return WriteProcFile(process, "gid_map", MapText(identity.inner_gids));
}

absl::Status WriteIdMaps(const Identity& identity, pid_t pid) {
  if (identity.method == Identity::Method::kHost) return absl::OkStatus();
  if (identity.method == Identity::Method::kSubordinate) {
    // Both at once: each spends its milliseconds in the dynamic linker.
    pid_t uid_mapper, gid_mapper;
    absl::Status status = StartMapper(identity.newuidmap, pid, identity.uids, &uid_mapper);
    if (!status.ok()) return status;
    absl::Status gid_status = StartMapper(identity.newgidmap, pid, identity.gids, &gid_mapper);
    if (gid_status.ok()) gid_status = AwaitMapper(identity.newgidmap, gid_mapper);
    status = AwaitMapper(identity.newuidmap, uid_mapper);
    return status.ok() ? gid_status : status;
  }
  std::string process = pid == 0 ? "self" : absl::StrCat(pid);
  // Without privilege a group map is only taken after setgroups(2) has been given up.
  if (!identity.may_set_groups) {
    if (absl::Status s = WriteProcFile(process, "setgroups", "deny"); !s.ok()) return s;
  }
  if (absl::Status s = WriteProcFile(process, "uid_map", MapText(identity.uids)); !s.ok()) return s;
  return WriteProcFile(process, "gid_map", MapText(identity.gids));
}

std::string UserNamespaceHint() {
  auto setting = [](const char* path) {
    return std::string(absl::StripAsciiWhitespace(ReadFileOrEmpty(std::string("/proc/sys/") + path)));
  };
  if (setting("user/max_user_namespaces") == "0") {
    return "; user namespaces are switched off: sysctl -w user.max_user_namespaces=10000";
  }
  if (setting("kernel/unprivileged_userns_clone") == "0") {
    return "; user namespaces are forbidden to users: sysctl -w kernel.unprivileged_userns_clone=1";
  }
  if (setting("kernel/apparmor_restrict_unprivileged_userns") == "1") {
    return "; AppArmor restricts user namespaces: sysctl -w kernel.apparmor_restrict_unprivileged_userns=0, or give "
           "launch a profile that allows userns";
  }
  return "";
}

}  // namespace acetate::launcher
