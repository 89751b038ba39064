#include "launcher/flag_table.h"

#include <climits>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/strip.h"
#include "launcher/capabilities.h"
#include "launcher/detach_keys.h"
#include "launcher/env_file.h"
#include "launcher/mount_flag.h"
#include "launcher/signals.h"

namespace acetate::launcher {
namespace {

constexpr uint32_t Bit(Verb verb) { return uint32_t{1} << static_cast<int>(verb); }
constexpr uint32_t kRun = Bit(Verb::kRun);
constexpr uint32_t kExec = Bit(Verb::kExec);
constexpr uint32_t kStart = Bit(Verb::kStart);
constexpr uint32_t kAttach = Bit(Verb::kAttach);
constexpr uint32_t kLogs = Bit(Verb::kLogs);
constexpr uint32_t kPs = Bit(Verb::kPs);
constexpr uint32_t kInspect = Bit(Verb::kInspect);
constexpr uint32_t kStop = Bit(Verb::kStop);
constexpr uint32_t kKill = Bit(Verb::kKill);
constexpr uint32_t kRm = Bit(Verb::kRm);
constexpr uint32_t kWhence = Bit(Verb::kWhence);
constexpr uint32_t kDoctor = Bit(Verb::kDoctor);
constexpr uint32_t kEach = ~uint32_t{0};

// Assigns what a parser gave.
template <typename T, typename U>
absl::Status Take(absl::StatusOr<T> parsed, U* target) {
  if (!parsed.ok()) return parsed.status();
  *target = *std::move(parsed);
  return absl::OkStatus();
}

// A switch of the spec, and one of the options.
template <bool Spec::*member>
absl::Status Switch(Draft* draft, absl::string_view value) {
  draft->line.spec.*member = value == "true";
  return absl::OkStatus();
}

template <bool VerbOptions::*member>
absl::Status Switch(Draft* draft, absl::string_view value) {
  draft->line.options.*member = value == "true";
  return absl::OkStatus();
}

template <CommandLine::Action action>
absl::Status Choose(Draft* draft, absl::string_view value) {
  if (value == "true") draft->line.action = action;
  return absl::OkStatus();
}

// A file or directory to be named.
template <std::string Spec::*member>
absl::Status Path(Draft* draft, absl::string_view value) {
  if (value.empty()) return absl::InvalidArgumentError("is empty");
  draft->line.spec.*member = std::string(value);
  return absl::OkStatus();
}

absl::Status ApplyEnvironment(Draft* draft, absl::string_view value) {
  std::optional<std::string> entry;
  if (absl::Status s = Take(ParseEnvironment(value, draft->environ), &entry); !s.ok()) return s;
  if (entry.has_value()) SetVariable(*std::move(entry), &draft->line.spec.environment);
  return absl::OkStatus();
}

absl::Status ApplyEnvironmentFile(Draft* draft, absl::string_view value) {
  absl::StatusOr<std::vector<std::string>> entries = ReadEnvironmentFile(std::string(value), draft->environ);
  if (!entries.ok()) return entries.status();
  for (std::string& entry : *entries) SetVariable(std::move(entry), &draft->file_environment);
  return absl::OkStatus();
}

absl::Status ApplyEntrypoint(Draft* draft, absl::string_view value) {
  draft->entrypoint = std::string(value);
  return absl::OkStatus();
}

absl::Status AddVolume(Volume volume, Spec* spec) {
  for (const Volume& known : spec->volumes) {
    if (known.target == volume.target) {
      return absl::InvalidArgumentError("has a container path that another -v or --mount has too");
    }
  }
  spec->volumes.push_back(std::move(volume));
  return absl::OkStatus();
}

absl::Status ApplyVolume(Draft* draft, absl::string_view value) {
  absl::StatusOr<Volume> volume = ParseVolume(value);
  return volume.ok() ? AddVolume(*std::move(volume), &draft->line.spec) : volume.status();
}

absl::Status ApplyMount(Draft* draft, absl::string_view value) {
  absl::StatusOr<std::variant<Volume, Tmpfs>> mount = ParseMount(value);
  if (!mount.ok()) return mount.status();
  if (auto* volume = std::get_if<Volume>(&*mount)) return AddVolume(std::move(*volume), &draft->line.spec);
  draft->line.spec.tmpfs.push_back(std::get<Tmpfs>(*std::move(mount)));
  return absl::OkStatus();
}

absl::Status ApplyDevice(Draft* draft, absl::string_view value) {
  Device device;
  if (absl::Status s = Take(ParseDevice(value), &device); !s.ok()) return s;
  for (const Device& known : draft->line.spec.devices) {
    if (known.target == device.target) {
      return absl::InvalidArgumentError("has a container path that another --device has too");
    }
  }
  draft->line.spec.devices.push_back(std::move(device));
  return absl::OkStatus();
}

absl::Status ApplyTmpfs(Draft* draft, absl::string_view value) {
  Tmpfs tmpfs;
  if (absl::Status s = Take(ParseTmpfs(value), &tmpfs); !s.ok()) return s;
  draft->line.spec.tmpfs.push_back(std::move(tmpfs));
  return absl::OkStatus();
}

absl::Status ApplyUlimit(Draft* draft, absl::string_view value) {
  Ulimit limit;
  if (absl::Status s = Take(ParseUlimit(value), &limit); !s.ok()) return s;
  std::vector<Ulimit>& limits = draft->line.spec.ulimits;
  std::erase_if(limits, [&](const Ulimit& known) { return known.name == limit.name; });
  limits.push_back(std::move(limit));
  return absl::OkStatus();
}

template <uint64_t Spec::*member>
absl::Status Capability(Draft* draft, absl::string_view value) {
  const absl::StatusOr<uint64_t> capability = ParseCapability(value);
  if (capability.ok()) draft->line.spec.*member |= *capability;
  return capability.status();
}

template <std::string ResourceLimits::*member>
absl::Status Set(Draft* draft, absl::string_view value) {
  draft->line.spec.limits.*member = std::string(value);
  return ParseNumberList(value).status();
}

absl::Status ApplySecurityOption(Draft* draft, absl::string_view value) {
  // What Docker has to be asked for.
  if (value == "no-new-privileges" || value == "no-new-privileges=true") return absl::OkStatus();
  if (!absl::ConsumePrefix(&value, "seccomp=") || value.empty()) {
    return absl::InvalidArgumentError("is none of seccomp=FILE, seccomp=unconfined and no-new-privileges");
  }
  draft->line.spec.seccomp = std::string(value);
  return absl::OkStatus();
}

absl::Status ApplyHostname(Draft* draft, absl::string_view value) {
  draft->line.spec.hostname = std::string(value);
  return CheckHostname(value);
}

absl::Status ApplyNetwork(Draft* draft, absl::string_view value) {
  return Take(ParseNetwork(value), &draft->line.spec.network.mode);
}

absl::Status ApplyPublish(Draft* draft, absl::string_view value) {
  std::vector<PublishedPort> ports;
  if (absl::Status s = Take(ParsePublish(value), &ports); !s.ok()) return s;
  std::vector<PublishedPort>& known = draft->line.spec.network.ports;
  for (const PublishedPort& port : ports) {
    for (const PublishedPort& other : known) {
      if (Overlap(port, other)) return absl::InvalidArgumentError("has a port of the host that another -p has too");
    }
    known.push_back(port);
  }
  return absl::OkStatus();
}

absl::Status ApplyAddHost(Draft* draft, absl::string_view value) {
  HostEntry entry;
  if (absl::Status s = Take(ParseHostEntry(value), &entry); !s.ok()) return s;
  draft->line.spec.network.hosts.push_back(std::move(entry));
  return absl::OkStatus();
}

absl::Status ApplyDns(Draft* draft, absl::string_view value) {
  if (!IsAddress(value)) return absl::InvalidArgumentError("is an address neither of IPv4 nor of IPv6");
  draft->line.spec.network.dns.emplace_back(value);
  return absl::OkStatus();
}

absl::Status ApplyName(Draft* draft, absl::string_view value) {
  draft->line.spec.name = std::string(value);
  return CheckName(value);
}

absl::Status ApplyTail(Draft* draft, absl::string_view value) {
  draft->line.options.tail.reset();
  if (value == "all") return absl::OkStatus();
  uint64_t lines;
  if (!absl::SimpleAtoi(value, &lines)) return absl::InvalidArgumentError("is neither a number of lines nor \"all\"");
  draft->line.options.tail = lines;
  return absl::OkStatus();
}

}  // namespace

void SetVariable(std::string entry, std::vector<std::string>* environment) {
  const std::string prefix = entry.substr(0, entry.find('=') + 1);
  for (std::string& known : *environment) {
    if (!absl::StartsWith(known, prefix)) continue;
    known = std::move(entry);
    return;
  }
  environment->push_back(std::move(entry));
}

const std::vector<VerbEntry>& AllVerbs() {
  static const auto* const verbs = new std::vector<VerbEntry>{
      {Verb::kRun, "run", "--image DIR [flags] [--] COMMAND [ARGUMENT...]", "Run a command in a new container.", 0, 0},
      {Verb::kStart, "start", "[flags] CONTAINER...", "Run a stopped container's command again.", 1, INT_MAX},
      {Verb::kExec, "exec", "[flags] CONTAINER COMMAND [ARGUMENT...]", "Run a further command in a container.", 1, 1},
      {Verb::kAttach, "attach", "[flags] CONTAINER", "Join a container's terminal or output.", 1, 1},
      {Verb::kLogs, "logs", "[flags] CONTAINER", "Print what a container has written.", 1, 1},
      {Verb::kPs, "ps", "[flags]", "List containers.", 0, 0},
      {Verb::kInspect, "inspect", "[flags] CONTAINER...", "Print all about containers, as JSON.", 1, INT_MAX},
      {Verb::kStop, "stop", "[flags] CONTAINER...", "Ask containers to end; kill those that do not.", 1, INT_MAX},
      {Verb::kKill, "kill", "[flags] CONTAINER...", "Send a signal, SIGKILL by default.", 1, INT_MAX},
      {Verb::kWait, "wait", "CONTAINER...", "Wait for containers to end; print their exit statuses.", 1, INT_MAX},
      {Verb::kRm, "rm", "[flags] CONTAINER...", "Remove containers with what they wrote.", 1, INT_MAX},
      {Verb::kPause, "pause", "CONTAINER...", "Stop all processes of containers for a while.", 1, INT_MAX},
      {Verb::kUnpause, "unpause", "CONTAINER...", "Let them go on.", 1, INT_MAX},
      {Verb::kWhence, "whence", "[flags] CONTAINER PATH", "Tell which layer shows, hid or changed a file.", 2, 2},
      {Verb::kDoctor, "doctor", "[flags]", "Tell what keeps containers from running here, and the cure.", 0, 0},
  };
  return *verbs;
}

const VerbEntry& EntryOf(Verb verb) { return AllVerbs()[static_cast<size_t>(verb)]; }

const std::vector<Flag>& AllFlags() {
  static const auto* const flags = new std::vector<Flag>{
      {"image", 0, "DIR", "The image: a root directory, or a directory with a layers.list.", kRun, Path<&Spec::image>},
      {"env", 'e', "NAME[=VALUE]", "Set a variable; a bare NAME takes launch's own value. Adds up.", kRun | kExec,
       ApplyEnvironment},
      {"env-file", 0, "FILE", "Set the variables that a file names, NAME=VALUE a line; -e goes before. Adds up.",
       kRun | kExec, ApplyEnvironmentFile},
      {"entrypoint", 0, "PROGRAM", "Run this program; COMMAND is then its arguments.", kRun, ApplyEntrypoint},
      {"workdir", 'w', "PATH", "Directory the command starts in; made when missing. Default /.", kRun | kExec,
       [](Draft* d, absl::string_view v) { return Take(ParseWorkdir(v), &d->line.spec.workdir); }},
      {"user", 'u', "USER[:GROUP]", "Run as this user, by name or number. Default 0:0.", kRun | kExec,
       [](Draft* d, absl::string_view v) { return Take(ParseUser(v), &d->line.spec.user); }},
      {"hostname", 'h', "NAME", "Host name. Default: the container's short id.", kRun, ApplyHostname},
      {"network", 0, "MODE", "none, bridge, host, pasta or slirp4netns. Default: none; with -p what there is.", kRun,
       ApplyNetwork},
      {"publish", 'p', "[IP:]PORT:PORT[/udp]", "Connect a port of the host, or a range, to the container's. Adds up.",
       kRun, ApplyPublish},
      {"add-host", 0, "NAME:ADDRESS", "Add a line to /etc/hosts. Adds up.", kRun, ApplyAddHost},
      {"dns", 0, "ADDRESS", "A name server for /etc/resolv.conf. Adds up.", kRun, ApplyDns},
      {"detach", 'd', nullptr, "Leave it in the background; run prints the container's id.", kRun | kExec,
       Switch<&Spec::detach>},
      {"interactive", 'i', nullptr, "Pass stdin on, also from behind a terminal or in the background.",
       kRun | kExec | kStart, Switch<&Spec::interactive>},
      {"tty", 't', nullptr, "Give the command a terminal of its own.", kRun | kExec, Switch<&Spec::terminal>},
      {"detach-keys", 0, "KEYS", "Keys that leave the terminal. Default ctrl-p,ctrl-q.",
       kRun | kExec | kStart | kAttach,
       [](Draft* d, absl::string_view v) { return Take(ParseDetachKeys(v), &d->line.spec.detach_keys); }},
      {"init", 0, nullptr, "Make launch's own small init PID 1: it reaps processes and passes signals on.", kRun,
       Switch<&Spec::init>},
      {"rm", 0, nullptr, "Remove the container, with what it wrote, when it has ended.", kRun, Switch<&Spec::remove>},
      {"name", 0, "NAME", "A name of its own, which no other container may have.", kRun, ApplyName},
      {"cidfile", 0, "FILE", "Write the container's id to a file that must not exist.", kRun, Path<&Spec::cid_file>},
      {"pidfile", 0, "FILE", "Write the host's number of PID 1 to a file.", kRun, Path<&Spec::pid_file>},
      {"stop-signal", 0, "SIGNAL", "What stop sends. Default TERM.", kRun,
       [](Draft* d, absl::string_view v) { return Take(ParseSignal(v), &d->line.spec.stop_signal); }},
      {"stop-timeout", 0, "SECONDS", "How long stop waits before it kills. Default 10.", kRun,
       [](Draft* d, absl::string_view v) { return Take(ParseSeconds(v), &d->line.spec.stop_timeout); }},
      {"restart", 0, "POLICY", "Only \"no\": there is no daemon that could restart anything.", kRun,
       [](Draft*, absl::string_view v) { return CheckRestart(v); }},
      {"log-max-size", 0, "SIZE", "Bound of the log, of which two such pieces are kept. Default 16m.", kRun,
       [](Draft* d, absl::string_view v) { return Take(ParseLogSize(v), &d->line.spec.log_max_bytes); }},
      {"volume", 'v', "HOST:CONTAINER[:ro]", "Show a file or directory of the host. Adds up.", kRun, ApplyVolume},
      {"mount", 0, "type=TYPE,...", "The same as -v (type=bind) or --tmpfs (type=tmpfs), in more words. Adds up.", kRun,
       ApplyMount},
      {"device", 0, "HOST[:CONTAINER][:rw]", "Show a device node of the host. Adds up.", kRun, ApplyDevice},
      {"tmpfs", 0, "PATH[:OPTIONS]", "Mount an empty tmpfs. Adds up.", kRun, ApplyTmpfs},
      {"shm-size", 0, "SIZE", "Size of /dev/shm. Default 64m.", kRun,
       [](Draft* d, absl::string_view v) { return Take(ParseShmSize(v), &d->line.spec.shm_bytes); }},
      {"read-only", 0, nullptr, "Make the root read-only; volumes and tmpfs are not.", kRun, Switch<&Spec::read_only>},
      {"ulimit", 0, "NAME=SOFT[:HARD]", "Resource limit, such as nofile=1024. Adds up.", kRun, ApplyUlimit},
      {"userns", 0, "MODE", "Whose ids the container has: private, keep-id, auto[:size=N] or host. Default private.",
       kRun, [](Draft* d, absl::string_view v) { return Take(ParseUserns(v), &d->line.spec.userns); }},
      {"fake_ids", 0, nullptr, "Let programs believe in users that the container does not have, and record owners.",
       kRun, Switch<&Spec::fake_ids>},
      {"cap-add", 0, "NAME", "Give it a capability that it would not have, or ALL. Adds up.", kRun,
       Capability<&Spec::cap_add>},
      {"cap-drop", 0, "NAME", "Take a capability from it, or ALL. Adds up.", kRun, Capability<&Spec::cap_drop>},
      {"security-opt", 0, "OPTION", "seccomp=FILE, a profile in Docker's format, or seccomp=unconfined.", kRun,
       ApplySecurityOption},
      {"memory", 'm', "SIZE", "Memory limit, such as 512m or 2g.", kRun,
       [](Draft* d, absl::string_view v) { return Take(ParseMemory(v), &d->line.spec.limits.memory_bytes); }},
      {"memory-swap", 0, "SIZE", "Limit of memory and swap together; -1 for none. Default: twice --memory.", kRun,
       [](Draft* d, absl::string_view v) { return Take(ParseMemorySwap(v), &d->line.spec.limits.memory_swap); }},
      {"memory-reservation", 0, "SIZE", "Memory that it keeps when others want some.", kRun,
       [](Draft* d, absl::string_view v) {
         return Take(ParseReservation(v), &d->line.spec.limits.memory_reservation);
       }},
      {"pids-limit", 0, "NUMBER", "Limit of processes and threads; -1 for none.", kRun,
       [](Draft* d, absl::string_view v) { return Take(ParsePidsLimit(v), &d->line.spec.limits.pids_limit); }},
      {"cpus", 0, "NUMBER", "Limit of CPU time, such as 1.5 CPUs' worth.", kRun,
       [](Draft* d, absl::string_view v) { return Take(ParseCpus(v), &d->line.spec.limits.cpu_quota_us); }},
      {"cpu-shares", 0, "NUMBER", "Share of the CPUs when others want them too; the usual one is 1024.", kRun,
       [](Draft* d, absl::string_view v) { return Take(ParseCpuShares(v), &d->line.spec.limits.cpu_shares); }},
      {"cpuset-cpus", 0, "LIST", "The CPUs that it may run on, such as 0-2,4.", kRun,
       Set<&ResourceLimits::cpuset_cpus>},
      {"cpuset-mems", 0, "LIST", "The nodes that it may have memory of.", kRun, Set<&ResourceLimits::cpuset_mems>},
      {"blkio-weight", 0, "NUMBER", "Weight of its disk accesses, 10 to 1000.", kRun,
       [](Draft* d, absl::string_view v) { return Take(ParseBlkioWeight(v), &d->line.spec.limits.blkio_weight); }},
      {"best-effort", 0, nullptr, "Go on without limits that cannot be enforced, with a warning.", kRun,
       [](Draft* d, absl::string_view v) {
         d->line.spec.limits.best_effort = v == "true";
         return absl::OkStatus();
       }},
      {"profile", 0, nullptr, "Print on stderr what each phase of the launch took.", kRun, Switch<&Spec::profile>},
      {"explain", 0, nullptr, "Print what would be done, as JSON, and do nothing.", kRun,
       Choose<CommandLine::Action::kExplain>},
      {"attach", 'a', nullptr, "Stay with it, as run does without -d.", kStart, Switch<&VerbOptions::attach>},
      {"no-stdin", 0, nullptr, "Pass no input on.", kAttach, Switch<&VerbOptions::no_stdin>},
      {"sig-proxy", 0, nullptr, "Pass signals on. Default true.", kAttach, Switch<&VerbOptions::proxy_signals>},
      {"follow", 'f', nullptr, "Go on until the container ends.", kLogs, Switch<&VerbOptions::follow>},
      {"timestamps", 't', nullptr, "Begin each line with its time.", kLogs, Switch<&VerbOptions::timestamps>},
      {"tail", 'n', "LINES", "Only that many of the last lines, or \"all\".", kLogs, ApplyTail},
      {"all", 'a', nullptr, "Those that have ended, too.", kPs, Switch<&VerbOptions::all>},
      {"quiet", 'q', nullptr, "Ids only.", kPs, Switch<&VerbOptions::quiet>},
      {"no-trunc", 0, nullptr, "Whole ids and commands.", kPs, Switch<&VerbOptions::no_truncation>},
      {"json", 0, nullptr, "Print JSON.", kPs | kInspect | kWhence | kDoctor, Switch<&VerbOptions::json>},
      {"signal", 's', "SIGNAL", "The signal to send.", kStop | kKill,
       [](Draft* d, absl::string_view v) { return Take(ParseSignal(v), &d->line.options.signal); }},
      {"time", 't', "SECONDS", "How long to wait before killing.", kStop,
       [](Draft* d, absl::string_view v) { return Take(ParseSeconds(v), &d->line.options.seconds); }},
      {"force", 'f', nullptr, "Kill what still runs.", kRm, Switch<&VerbOptions::force>},
      {"help", 0, nullptr, "Print this text.", kEach, Choose<CommandLine::Action::kHelp>},
      {"version", 0, nullptr, "Print the version.", kRun, Choose<CommandLine::Action::kVersion>},
  };
  return *flags;
}

}  // namespace acetate::launcher
