#include "fusefs/stats_command.h"

#include <nlohmann/json.hpp>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "fusefs/ask_mount.h"

namespace acetate::fusefs {

absl::StatusOr<std::string> FormatStats(absl::string_view reply, bool json) {
  // Read and written anew: what a socket says goes to a terminal.
  const nlohmann::json stats = nlohmann::json::parse(reply.begin(), reply.end(), nullptr, /*allow_exceptions=*/false);
  if (!stats.is_object()) return absl::InternalError("the reply is not a JSON object; is that a fusefs?");
  if (json) return absl::StrCat(stats.dump(), "\n");
  std::string table;
  const auto add_row = [&table](const std::string& name, const nlohmann::json& value) {
    if (value != 0) absl::StrAppendFormat(&table, "%-20s %12s\n", name, value.dump());
  };
  const nlohmann::json requests = stats.value("requests", nlohmann::json::object());
  for (const auto& [name, value] : requests.items()) add_row(name, value);
  for (const auto& [name, value] : stats.items()) {
    if (name != "requests") add_row(name, value);
  }
  return table;
}

absl::StatusOr<std::string> StatsOutput(const CommandLine& line) {
  absl::StatusOr<std::string> reply = AskMount(line, "stats");
  if (!reply.ok()) return reply.status();
  return FormatStats(*reply, line.json);
}

}  // namespace acetate::fusefs
