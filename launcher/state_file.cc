#include "launcher/state_file.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "launcher/files.h"

namespace acetate::launcher {
namespace {

using Json = nlohmann::ordered_json;
using Status = ContainerState::Status;

constexpr Status kStatuses[] = {Status::kCreated, Status::kRunning, Status::kPaused, Status::kExited};

Json RangesToJson(const std::vector<IdRange>& ranges) {
  Json array = Json::array();
  for (const IdRange& range : ranges) array.push_back({range.inside, range.outside, range.count});
  return array;
}

std::vector<IdRange> RangesFromJson(const Json& json, const char* key) {
  std::vector<IdRange> ranges;
  for (const Json& entry : json.contains(key) ? json[key] : Json::array()) {
    const bool numbers = entry.is_array() && entry.size() == 3 &&
                         std::all_of(entry.begin(), entry.end(), [](const Json& n) { return n.is_number_unsigned(); });
    if (numbers) ranges.push_back({entry[0], entry[1], entry[2]});
  }
  return ranges;
}

std::string PathIn(const std::string& container) { return container + "/state.json"; }

}  // namespace

const char* StatusName(Status status) {
  switch (status) {
    case Status::kCreated:
      return "created";
    case Status::kRunning:
      return "running";
    case Status::kPaused:
      return "paused";
    case Status::kExited:
      return "exited";
  }
  return "";
}

std::string FormatState(const ContainerState& state) {
  Json json;
  json["status"] = StatusName(state.status);
  json["pid"] = state.pid;
  json["started"] = state.started;
  json["finished"] = state.finished;
  json["network"] = state.network;
  json["address"] = state.address;
  json["uid_map"] = RangesToJson(state.uids);
  json["gid_map"] = RangesToJson(state.gids);
  json["exit_status"] = state.exit_status;
  json["message"] = state.message;
  json["statistics"] = Json::object();
  for (const StatisticsField& field : kStatisticsFields) {
    const std::optional<uint64_t>& value = state.statistics.*field.value;
    if (value.has_value()) json["statistics"][field.name] = *value;
  }
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

ContainerState ParseState(absl::string_view text) {
  ContainerState state;
  Json json = Json::parse(text.begin(), text.end(), nullptr, false);
  if (!json.is_object()) return state;
  auto string = [&](const char* key) {
    return json.contains(key) && json[key].is_string() ? json[key].get<std::string>() : "";
  };
  auto number = [&](const char* key) {
    return json.contains(key) && json[key].is_number_integer() ? json[key].get<int>() : 0;
  };
  for (Status status : kStatuses) {
    if (string("status") == StatusName(status)) state.status = status;
  }
  state.pid = number("pid");
  state.started = string("started");
  state.finished = string("finished");
  state.network = string("network");
  state.address = string("address");
  state.uids = RangesFromJson(json, "uid_map");
  state.gids = RangesFromJson(json, "gid_map");
  state.exit_status = number("exit_status");
  state.message = string("message");
  for (const StatisticsField& field : kStatisticsFields) {
    if (!json.contains("statistics") || !json["statistics"].is_object()) break;
    const Json& statistics = json["statistics"];
    if (statistics.contains(field.name) && statistics[field.name].is_number_unsigned()) {
      state.statistics.*field.value = statistics[field.name].get<uint64_t>();
    }
  }
  return state;
}

Errno WriteState(const std::string& container, const ContainerState& state) {
  return ReplaceFile(PathIn(container), FormatState(state), 0600);
}

ContainerState ReadState(const std::string& container) { return ParseState(ReadFileOrEmpty(PathIn(container))); }

}  // namespace acetate::launcher
