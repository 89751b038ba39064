#include "launcher/config_file.h"

#include <fcntl.h>

#include <ctime>
#include <nlohmann/json.hpp>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/errno_or.h"
#include "launcher/files.h"
#include "launcher/timestamp.h"

namespace acetate::launcher {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kLargestConfig = 16 << 20;

// The command line may hold bytes that are no UTF-8, which JSON cannot: words are kept in C escapes where they matter.
Json Words(const std::vector<std::string>& words) {
  Json array = Json::array();
  for (const std::string& word : words) array.push_back(absl::CHexEscape(word));
  return array;
}

Json VolumesToJson(const std::vector<Volume>& volumes) {
  Json array = Json::array();
  for (const Volume& volume : volumes) {
    array.push_back(Json{{"source", absl::CHexEscape(volume.source)},
                         {"target", absl::CHexEscape(volume.target)},
                         {"read_only", volume.read_only}});
  }
  return array;
}

std::string UserText(const std::optional<UserSpec>& user) {
  if (!user.has_value()) return "";
  auto part = [](const IdOrName& id) { return id.id.has_value() ? absl::StrCat(*id.id) : id.name; };
  return absl::StrCat(part(user->user), user->group.has_value() ? absl::StrCat(":", part(*user->group)) : "");
}

std::string Unescaped(const Json& json) {
  std::string text;
  absl::CUnescape(json.get<std::string>(), &text);
  return text;
}

std::vector<std::string> WordsFrom(const Json& array) {
  std::vector<std::string> words;
  for (const Json& word : array) words.push_back(Unescaped(word));
  return words;
}

void LimitsToJson(const ResourceLimits& limits, Json* json) {
  (*json)["memory_bytes"] = limits.memory_bytes;
  (*json)["memory_swap"] = limits.memory_swap;
  (*json)["memory_reservation"] = limits.memory_reservation;
  (*json)["pids_limit"] = limits.pids_limit;
  (*json)["cpu_quota_us"] = limits.cpu_quota_us;
  (*json)["cpu_shares"] = limits.cpu_shares;
  (*json)["cpuset_cpus"] = limits.cpuset_cpus;
  (*json)["cpuset_mems"] = limits.cpuset_mems;
  (*json)["blkio_weight"] = limits.blkio_weight;
  (*json)["best_effort"] = limits.best_effort;
}

// Configs of containers from before there were more have the first two.
ResourceLimits LimitsFromJson(const Json& json) {
  ResourceLimits limits;
  limits.memory_bytes = json.at("memory_bytes");
  limits.pids_limit = json.at("pids_limit");
  limits.memory_swap = json.value("memory_swap", int64_t{0});
  limits.memory_reservation = json.value("memory_reservation", uint64_t{0});
  limits.cpu_quota_us = json.value("cpu_quota_us", uint64_t{0});
  limits.cpu_shares = json.value("cpu_shares", uint64_t{0});
  limits.cpuset_cpus = json.value("cpuset_cpus", "");
  limits.cpuset_mems = json.value("cpuset_mems", "");
  limits.blkio_weight = json.value("blkio_weight", uint64_t{0});
  limits.best_effort = json.value("best_effort", false);
  return limits;
}

Json SpecToJson(const Spec& spec) {
  Json json;
  json["image"] = absl::CHexEscape(spec.image);
  json["name"] = spec.name;
  json["command"] = Words(spec.command);
  json["environment"] = Words(spec.environment);
  json["workdir"] = absl::CHexEscape(spec.workdir);
  json["user"] = UserText(spec.user);
  json["hostname"] = spec.hostname;
  json["volumes"] = VolumesToJson(spec.volumes);
  json["devices"] = Json::array();
  for (const Device& device : spec.devices) json["devices"].push_back(absl::CHexEscape(FormatDevice(device)));
  json["tmpfs"] = Json::array();
  for (const Tmpfs& tmpfs : spec.tmpfs) json["tmpfs"].push_back(absl::CHexEscape(FormatTmpfs(tmpfs)));
  json["shm_bytes"] = spec.shm_bytes;
  json["ulimits"] = Json::array();
  for (const Ulimit& limit : spec.ulimits) json["ulimits"].push_back(FormatUlimit(limit));
  json["userns"] = FormatUserns(spec.userns);
  json["fake_ids"] = spec.fake_ids;
  json["cap_add"] = spec.cap_add;
  json["cap_drop"] = spec.cap_drop;
  json["seccomp"] = absl::CHexEscape(spec.seccomp);
  json["seccomp_profile"] = absl::CHexEscape(spec.seccomp_profile);
  json["network"] = spec.network.mode.has_value() ? NetworkName(*spec.network.mode) : "";
  json["publish"] = Json::array();
  for (const PublishedPort& port : spec.network.ports) json["publish"].push_back(FormatPublish(port));
  json["add_hosts"] = Json::array();
  for (const HostEntry& entry : spec.network.hosts) {
    json["add_hosts"].push_back(absl::StrCat(entry.name, ":", entry.address));
  }
  json["dns"] = spec.network.dns;
  json["read_only"] = spec.read_only;
  LimitsToJson(spec.limits, &json);
  json["remove"] = spec.remove;
  json["detach"] = spec.detach;
  json["interactive"] = spec.interactive;
  json["tty"] = spec.terminal;
  json["init"] = spec.init;
  json["stop_signal"] = spec.stop_signal;
  json["stop_timeout"] = spec.stop_timeout;
  json["log_max_bytes"] = spec.log_max_bytes;
  return json;
}

// Configs of containers from before there was a choice have none of it.
NetworkSpec NetworkFromJson(const Json& json) {
  NetworkSpec network;
  absl::StatusOr<NetworkMode> mode = ParseNetwork(json.value("network", ""));
  if (mode.ok()) network.mode = *mode;
  network.ports = PortsOf(json.value("publish", std::vector<std::string>()));
  for (const std::string& text : json.value("add_hosts", std::vector<std::string>())) {
    absl::StatusOr<HostEntry> entry = ParseHostEntry(text);
    if (entry.ok()) network.hosts.push_back(*std::move(entry));
  }
  network.dns = json.value("dns", std::vector<std::string>());
  return network;
}

Spec SpecFromJson(const Json& json) {
  Spec spec;
  spec.image = Unescaped(json.at("image"));
  spec.name = json.at("name");
  spec.command = WordsFrom(json.at("command"));
  spec.environment = WordsFrom(json.at("environment"));
  spec.workdir = Unescaped(json.at("workdir"));
  if (std::string user = json.at("user"); !user.empty()) {
    absl::StatusOr<UserSpec> parsed = ParseUser(user);
    if (parsed.ok()) spec.user = *std::move(parsed);
  }
  spec.hostname = json.at("hostname");
  for (const Json& volume : json.at("volumes")) {
    spec.volumes.push_back({Unescaped(volume.at("source")), Unescaped(volume.at("target")), volume.at("read_only")});
  }
  for (const std::string& text : WordsFrom(json.at("tmpfs"))) {
    absl::StatusOr<Tmpfs> tmpfs = ParseTmpfs(text);
    if (tmpfs.ok()) spec.tmpfs.push_back(*std::move(tmpfs));
  }
  for (const std::string& text : WordsFrom(json.at("ulimits"))) {
    absl::StatusOr<Ulimit> limit = ParseUlimit(text);
    if (limit.ok()) spec.ulimits.push_back(*std::move(limit));
  }
  // Configs of containers from before there was a choice have none of these.
  for (const std::string& text : WordsFrom(json.value("devices", Json::array()))) {
    absl::StatusOr<Device> device = ParseDevice(text);
    if (device.ok()) spec.devices.push_back(*std::move(device));
  }
  spec.shm_bytes = json.value("shm_bytes", kDefaultShmBytes);
  absl::StatusOr<UsernsSpec> userns = ParseUserns(json.value("userns", "private"));
  if (userns.ok()) spec.userns = *userns;
  spec.fake_ids = json.value("fake_ids", false);
  spec.cap_add = json.value("cap_add", uint64_t{0});
  spec.cap_drop = json.value("cap_drop", uint64_t{0});
  spec.seccomp = Unescaped(json.value("seccomp", ""));
  spec.seccomp_profile = Unescaped(json.value("seccomp_profile", ""));
  spec.network = NetworkFromJson(json);
  spec.read_only = json.at("read_only");
  spec.limits = LimitsFromJson(json);
  spec.remove = json.at("remove");
  spec.detach = json.at("detach");
  spec.interactive = json.at("interactive");
  spec.terminal = json.at("tty");
  spec.init = json.at("init");
  spec.stop_signal = json.at("stop_signal");
  spec.stop_timeout = json.at("stop_timeout");
  spec.log_max_bytes = json.at("log_max_bytes");
  return spec;
}

}  // namespace

std::string FormatConfig(const ContainerConfig& config) {
  Json json;
  json["id"] = config.id;
  json["created"] = config.created;
  json["layers_top_first"] = Words(config.layers);
  json["spec"] = SpecToJson(config.spec);
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

absl::StatusOr<ContainerConfig> ParseConfig(absl::string_view text) {
  // The library's typed access reports what is missing or of another type by exceptions.
  try {
    Json json = Json::parse(text.begin(), text.end());
    ContainerConfig config;
    config.id = json.at("id");
    config.created = json.at("created");
    config.layers = WordsFrom(json.at("layers_top_first"));
    config.spec = SpecFromJson(json.at("spec"));
    return config;
  } catch (const nlohmann::json::exception& error) {
    return absl::DataLossError(error.what());
  }
}

absl::Status WriteConfigFile(const Plan& plan) {
  ContainerConfig config{plan.id, FormatSeconds(time(nullptr)), plan.image.layers, plan.spec};
  config.spec.image = plan.image.directory;
  Errno error = ReplaceFile(plan.store.config, FormatConfig(config), 0600);
  return error.ok() ? absl::OkStatus() : ErrnoToStatus(error, absl::StrCat("write ", plan.store.config));
}

absl::StatusOr<ContainerConfig> ReadConfigFile(const std::string& path) {
  ErrnoOr<std::string> text = ReadFileAt(AT_FDCWD, path.c_str(), kLargestConfig);
  if (!text.ok()) return ErrnoToStatus(text.error(), absl::StrCat("read ", path));
  absl::StatusOr<ContainerConfig> config = ParseConfig(*text);
  if (config.ok()) return config;
  return absl::DataLossError(absl::StrCat(path, " cannot be understood: ", config.status().message()));
}

}  // namespace acetate::launcher
