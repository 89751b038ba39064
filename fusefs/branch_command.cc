#include "fusefs/branch_command.h"

#include <cstdlib>
#include <memory>
#include <nlohmann/json.hpp>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "common/errno_or.h"
#include "fusefs/ask_mount.h"
#include "fusefs/path_text.h"

namespace acetate::fusefs {
namespace {

// The daemon's working directory is another than the user's.
absl::StatusOr<std::string> Absolute(const std::string& path) {
  const std::unique_ptr<char, void (*)(void*)> resolved(realpath(path.c_str(), nullptr), free);
  if (resolved == nullptr) return ErrnoToStatus(Errno::Last(), absl::StrCat("'", path, "'"));
  return std::string(resolved.get());
}

// Names the branch by its position or its directory.
absl::Status NameBranch(const std::string& text, nlohmann::json* request) {
  int position;
  if (absl::SimpleAtoi(text, &position)) {
    (*request)["position"] = position;
    return absl::OkStatus();
  }
  absl::StatusOr<std::string> path = Absolute(text);
  if (path.ok()) (*request)["path"] = *path;
  return path.status();
}

std::string TextOf(const nlohmann::json& object, const char* key) { return PathText(object.value(key, "")); }

}  // namespace

std::string FormatBranches(absl::string_view reply) {
  const nlohmann::json parsed = nlohmann::json::parse(reply.begin(), reply.end(), nullptr, false);
  std::string text;
  for (const nlohmann::json& branch : parsed.value("branches", nlohmann::json::array())) {
    absl::StrAppendFormat(&text, "%3d  %-9s %s\n", branch.value("position", 0), TextOf(branch, "mode"),
                          TextOf(branch, "path"));
  }
  return text;
}

std::string FormatWhence(absl::string_view reply) {
  const nlohmann::json parsed = nlohmann::json::parse(reply.begin(), reply.end(), nullptr, false);
  std::string text;
  for (const nlohmann::json& layer : parsed.value("layers", nlohmann::json::array())) {
    const std::string path = TextOf(layer, "path");
    absl::StrAppend(&text, TextOf(layer, "branch"), path.empty() ? "" : "/", path, ": ", TextOf(layer, "what"), "\n");
  }
  return text;
}

absl::StatusOr<std::string> BranchOutput(const CommandLine& line) {
  nlohmann::json request = {{"branch", line.branch_verb}};
  if (line.branch_verb == "add") {
    absl::StatusOr<std::string> path = Absolute(line.path);
    if (!path.ok()) return path.status();
    request["path"] = *path;
    request["mode"] = line.branch_mode;
    request["to"] = line.position;
  } else if (line.branch_verb != "list") {
    absl::Status named = NameBranch(line.path, &request);
    if (!named.ok()) return named;
    if (line.branch_verb == "move") request["to"] = line.position;
    if (line.branch_verb == "mode") request["mode"] = line.branch_mode;
  }
  absl::StatusOr<std::string> reply = AskMount(line, request.dump());
  if (!reply.ok()) return reply.status();
  return line.json ? absl::StrCat(*reply, "\n") : FormatBranches(*reply);
}

absl::StatusOr<std::string> WhenceOutput(const CommandLine& line) {
  // A path in the mount may be given as it is seen from outside.
  absl::string_view path = line.path;
  absl::string_view inside = path;
  const bool has_prefix = !line.mountpoint.empty() && absl::ConsumePrefix(&inside, line.mountpoint);
  if (has_prefix && (inside.empty() || inside[0] == '/' || line.mountpoint.back() == '/')) path = inside;
  absl::StatusOr<std::string> reply = AskMount(line, nlohmann::json({{"whence", std::string(path)}}).dump());
  if (!reply.ok()) return reply.status();
  return line.json ? absl::StrCat(*reply, "\n") : FormatWhence(*reply);
}

}  // namespace acetate::fusefs
