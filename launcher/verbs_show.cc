// ps, inspect and logs.
#include <poll.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <algorithm>
#include <ctime>
#include <nlohmann/json.hpp>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "fusefs/control.h"
#include "launcher/cgroup_stats.h"
#include "launcher/daemon.h"
#include "launcher/each.h"
#include "launcher/error_line.h"
#include "launcher/files.h"
#include "launcher/log_file.h"
#include "launcher/program.h"
#include "launcher/protocol.h"
#include "launcher/signals.h"
#include "launcher/table.h"
#include "launcher/timestamp.h"
#include "launcher/verbs.h"

namespace acetate::launcher {
namespace {

using Json = nlohmann::ordered_json;
using Status = ContainerState::Status;

// "created" as long as its command has not come to run.
const char* StatusOf(const Container& container) { return StatusName(container.state.status); }

std::vector<std::string> ShownPorts(const Container& container) {
  std::vector<std::string> shown;
  if (!container.live) return shown;
  for (const PublishedPort& port : container.config.spec.network.ports) shown.push_back(ShowPort(port));
  return shown;
}

Json Ranges(const std::vector<IdRange>& ranges) {
  Json array = Json::array();
  for (const IdRange& range : ranges) {
    array.push_back(Json{{"inside", range.inside}, {"outside", range.outside}, {"count", range.count}});
  }
  return array;
}

Json Summary(const Container& container) {
  Json json;
  json["id"] = container.id;
  json["name"] = container.name();
  json["image"] = container.config.spec.image;
  json["command"] = container.config.spec.command;
  json["created"] = container.config.created;
  json["status"] = StatusOf(container);
  json["pid"] = container.live ? container.state.pid : 0;
  json["started"] = container.state.started;
  json["finished"] = container.state.finished;
  json["ports"] = ShownPorts(container);
  json["userns"] = FormatUserns(container.config.spec.userns);
  json["uid_map"] = Ranges(container.live ? container.state.uids : std::vector<IdRange>());
  json["gid_map"] = Ranges(container.live ? container.state.gids : std::vector<IdRange>());
  bool ended = container.state.status == Status::kExited;
  json["exit_status"] = ended ? Json(container.state.exit_status) : Json(nullptr);
  return json;
}

Json NetworkJson(const Container& container) {
  Json ports = Json::array();
  for (const PublishedPort& port : container.config.spec.network.ports) {
    ports.push_back(Json{{"host_address", port.address.empty() ? "*" : port.address},
                         {"host_port", port.host_port},
                         {"container_port", port.container_port},
                         {"protocol", port.udp ? "udp" : "tcp"}});
  }
  return Json{
      {"mode", container.state.network}, {"address", container.live ? container.state.address : ""}, {"ports", ports}};
}

CgroupStatistics StatisticsOf(const Container& container) {
  if (!container.live) return container.state.statistics;
  CgroupStatistics statistics = ReadCgroupStatistics(container.record.cgroups);
  const absl::StatusOr<std::string> counters =
      fusefs::AskControl(absl::StrCat(container.record.runtime_dir, "/", kFusefsSocket), "stats");
  if (counters.ok()) statistics.copied_up_bytes = BytesCopiedUp(*counters);
  return statistics;
}

Json StatisticsJson(const Container& container) {
  const CgroupStatistics statistics = StatisticsOf(container);
  Json json;
  for (const StatisticsField& field : kStatisticsFields) {
    const std::optional<uint64_t>& value = statistics.*field.value;
    json[field.name] = value.has_value() ? Json(*value) : Json(nullptr);
  }
  return json;
}

Json Details(const Container& container) {
  const Spec& spec = container.config.spec;
  Json json = Summary(container);
  json["message"] = container.state.message;
  json["network"] = NetworkJson(container);
  json["layers_top_first"] = container.config.layers;
  // As in the file, with the volumes, the limits and the like; but what stands there in escapes is shown as it is.
  json["spec"] = Json::parse(FormatConfig(container.config))["spec"];
  json["spec"]["command"] = spec.command;
  json["spec"]["environment"] = spec.environment;
  json["spec"]["image"] = spec.image;
  json["spec"]["workdir"] = spec.workdir;
  json["stop_signal"] = SignalName(spec.stop_signal);
  json["upper"] = container.paths.upper;
  json["log"] = container.config.spec.HasSession() ? Json(container.paths.container + "/log") : Json(nullptr);
  json["cgroups"] = container.record.cgroups;
  json["statistics"] = StatisticsJson(container);
  return json;
}

int Print(const std::string& text) { return WriteAll(STDOUT_FILENO, text).ok() ? 0 : kExitOwnFailure; }

int PrintJson(const Json& json) { return Print(json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n"); }

std::vector<std::string> Row(const Container& container, bool no_truncation, time_t now) {
  std::string command = absl::StrCat("\"", absl::CHexEscape(absl::StrJoin(container.config.spec.command, " ")), "\"");
  return {no_truncation ? container.id : ShortId(container.id),
          container.config.spec.image,
          no_truncation ? command : Shortened(command, 24),
          absl::StrCat(Ago(ParseTimestamp(container.config.created), now), " ago"),
          DescribeState(container.state, now),
          absl::StrJoin(ShownPorts(container), ", "),
          container.name()};
}

// Prints lines of a log as the container wrote them.
class LogPrinter {
 public:
  explicit LogPrinter(bool timestamps) : timestamps_(timestamps) {}

  bool PrintLines(const std::vector<std::string>& lines) {
    for (const std::string& line : lines) {
      LogLine parsed;
      if (!ParseLogLine(line, &parsed)) continue;
      int fd = parsed.stream == Stream::kOut ? STDOUT_FILENO : STDERR_FILENO;
      std::string text;
      if (timestamps_ && !goes_on_) absl::StrAppend(&text, parsed.time, " ");
      absl::StrAppend(&text, parsed.text, parsed.ends ? "\n" : "");
      goes_on_ = !parsed.ends;
      if (!WriteAll(fd, text).ok()) return false;
    }
    return true;
  }

 private:
  const bool timestamps_;
  bool goes_on_ = false;  // the last piece did not end its line
};

// The last `count` lines, which may be of several pieces.
std::vector<std::string> Tail(std::vector<std::string> lines, uint64_t count) {
  size_t first = lines.size();
  while (first > 0) {
    LogLine parsed;
    bool ends = ParseLogLine(lines[first - 1], &parsed) && parsed.ends;
    bool is_last = first == lines.size();
    if ((ends || is_last) && count-- == 0) break;
    --first;
  }
  lines.erase(lines.begin(), lines.begin() + static_cast<long>(first));
  return lines;
}

// Prints what comes until the container ends. False when it cannot be printed.
bool Follow(const Container& container, LogReader* reader, LogPrinter* printer) {
  absl::StatusOr<UniqueFd> connection = Watch(container);
  UniqueFd changes(inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  inotify_add_watch(changes.get(), container.paths.container.c_str(), IN_MODIFY | IN_CREATE | IN_MOVED_TO);
  // What is known to be complete before the log is read, is read to its end.
  for (bool ended = !connection.ok() || !connection->valid();;) {
    if (!printer->PrintLines(reader->ReadLines())) return false;
    if (ended) return true;
    pollfd fds[] = {{changes.get(), POLLIN, 0}, {connection->get(), POLLIN, 0}};
    if (poll(fds, 2, -1) < 0) continue;
    char events[4096];
    while (read(changes.get(), events, sizeof(events)) > 0) {
    }
    ended = fds[1].revents != 0;
  }
}

}  // namespace

int List(const CommandLine& line, const std::string& store_root) {
  std::vector<Container> containers = ListContainers(store_root);
  if (!line.options.all) {
    containers.erase(std::remove_if(containers.begin(), containers.end(), [](const Container& c) { return !c.live; }),
                     containers.end());
  }
  if (line.options.json) {
    Json array = Json::array();
    for (const Container& container : containers) array.push_back(Summary(container));
    return PrintJson(array);
  }
  time_t now = time(nullptr);
  std::vector<std::vector<std::string>> rows = {
      {"CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAME"}};
  for (const Container& container : containers) rows.push_back(Row(container, line.options.no_truncation, now));
  if (!line.options.quiet) return Print(FormatTable(rows));
  std::string ids;
  for (size_t i = 1; i < rows.size(); ++i) absl::StrAppend(&ids, rows[i][0], "\n");
  return Print(ids);
}

int Inspect(const CommandLine& line, const std::string& store_root) {
  Json array = Json::array();
  int exit_status = ForEach(line.containers, store_root, false, [&](Container& container) {
    array.push_back(Details(container));
    return absl::OkStatus();
  });
  int printed = PrintJson(array);
  return exit_status != 0 ? exit_status : printed;
}

int Logs(const CommandLine& line, const std::string& store_root) {
  return ForEach(line.containers, store_root, false, [&](Container& container) {
    LogReader reader(container.paths.container);
    if (!reader.exists()) {
      return absl::NotFoundError(
          absl::StrCat("container ", ShortId(container.id), " has no log: only what runs with -d or -t is kept"));
    }
    LogPrinter printer(line.options.timestamps);
    std::vector<std::string> lines = reader.ReadLines();
    if (line.options.tail.has_value()) lines = Tail(std::move(lines), *line.options.tail);
    bool printed = printer.PrintLines(lines);
    if (printed && line.options.follow) printed = Follow(container, &reader, &printer);
    return printed ? absl::OkStatus() : absl::CancelledError("the log cannot be written to stdout or stderr");
  });
}

}  // namespace acetate::launcher
