#include "fusefs/ask_mount.h"

#include <unistd.h>

#include <nlohmann/json.hpp>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/runtime_dir.h"
#include "fusefs/control.h"
#include "fusefs/mountpoint.h"

namespace acetate::fusefs {
namespace {

// The user whom a FUSE mount belongs to.
uid_t OwnerOf(const MountInfo& mount) {
  uid_t owner = geteuid();
  for (absl::string_view option : absl::StrSplit(mount.super_options, ',')) {
    if (absl::ConsumePrefix(&option, "user_id=")) absl::SimpleAtoi(option, &owner);
  }
  return owner;
}

// Where the daemon's socket may be: the runtime directory depends on the environment that the daemon was started in.
std::vector<std::string> ControlPaths(const MountInfo& mount) {
  std::vector<std::string> dirs;
  absl::StatusOr<std::string> own = RuntimeDir();
  if (own.ok()) dirs.push_back(*own);
  const uid_t owner = OwnerOf(mount);
  if (owner == 0) dirs.push_back("/run/acetate");
  dirs.push_back(absl::StrCat("/run/user/", owner, "/acetate"));
  dirs.push_back(absl::StrCat("/tmp/acetate-", owner));
  std::vector<std::string> paths;
  paths.reserve(dirs.size());
  for (const std::string& dir : dirs) paths.push_back(ControlPath(dir, mount.major, mount.minor));
  return paths;
}

absl::StatusOr<std::string> AskSocket(const CommandLine& line, absl::string_view request) {
  if (!line.options.control_path.empty()) return AskControl(line.options.control_path, request);
  absl::StatusOr<MountInfo> mount = MountWithRoot(line.mountpoint);
  if (!mount.ok()) return mount.status();
  if (!absl::StartsWith(mount->fs_type, "fuse")) {
    return absl::FailedPreconditionError(
        absl::StrCat("'", line.mountpoint, "' is a mount of type ", mount->fs_type, ", not of fusefs"));
  }
  absl::Status failure = absl::NotFoundError(absl::StrCat(
      "no fusefs answers for '", line.mountpoint, "'; if it was started with --control=SOCKET, give that here"));
  for (const std::string& path : ControlPaths(*mount)) {
    absl::StatusOr<std::string> reply = AskControl(path, request);
    if (reply.ok()) return reply;
    if (reply.status().code() != absl::StatusCode::kNotFound) failure = reply.status();
  }
  return failure;
}

}  // namespace

absl::StatusOr<std::string> AskMount(const CommandLine& line, absl::string_view request) {
  absl::StatusOr<std::string> reply = AskSocket(line, request);
  if (!reply.ok()) return reply;
  const nlohmann::json parsed = nlohmann::json::parse(*reply, nullptr, /*allow_exceptions=*/false);
  if (!parsed.is_object()) return absl::InternalError("the reply is not a JSON object; is that a fusefs?");
  if (const auto error = parsed.find("error"); error != parsed.end() && error->is_string()) {
    return absl::FailedPreconditionError(error->get<std::string>());
  }
  return reply;
}

}  // namespace acetate::fusefs
