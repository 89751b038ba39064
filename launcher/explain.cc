// The plan as JSON.
#include <nlohmann/json.hpp>

#include "launcher/plan.h"

namespace acetate::launcher {
namespace {

using Json = nlohmann::ordered_json;

template <typename Action>
Json Lines(const std::vector<Step<Action>>& steps) {
  Json lines = Json::array();
  for (const Step<Action>& step : steps) lines.push_back(step.what);
  return lines;
}

Json Ranges(const std::vector<IdRange>& ranges) {
  Json array = Json::array();
  for (const IdRange& range : ranges) {
    array.push_back(Json{{"inside", range.inside}, {"outside", range.outside}, {"count", range.count}});
  }
  return array;
}

std::vector<std::string> DaemonWords(const Plan& plan) {
  for (const Step<HelperAction>& step : plan.helper) {
    if (const auto* start = std::get_if<StartDaemon>(&step.action)) return start->words;
  }
  return {};
}

}  // namespace

std::string ExplainPlan(const Plan& plan) {
  Json json;
  json["id"] = plan.id;
  json["image"] = Json{{"directory", plan.image.directory}, {"layers_top_first", plan.image.layers}};
  json["command"] = plan.spec.command;
  json["environment"] = plan.environment;
  json["home"] = plan.home.empty() ? Json("from the image's /etc/passwd") : Json(plan.home);
  json["kept_afterwards"] = !plan.spec.remove;
  json["upper"] = plan.store.upper;
  json["userns"] = FormatUserns(plan.spec.userns);
  json["uid_map"] = Ranges(plan.UidsOnHost());
  json["gid_map"] = Ranges(plan.GidsOnHost());
  Json ports = Json::array();
  for (const PublishedPort& port : plan.spec.network.ports) ports.push_back(ShowPort(port));
  json["network"] = Json{{"mode", NetworkName(plan.network.mode)}, {"ports", ports}};
  json["cgroups"] = plan.cgroup.Directories();
  json["limits_not_enforced"] = plan.cgroup.unenforced;
  json["fusefs"] = DaemonWords(plan);
  json["steps"] =
      Json{{"host", Lines(plan.host)}, {"helper", Lines(plan.helper)}, {"container", Lines(plan.container)}};
  // Bytes that are no UTF-8 (file names may hold any) are shown as U+FFFD.
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace acetate::launcher
