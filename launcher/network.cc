#include "launcher/network.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/syscalls.h"
#include "launcher/files.h"

namespace acetate::launcher {
namespace {

struct NamedMode {
  NetworkMode mode;
  const char* name;
};
constexpr NamedMode kModes[] = {{NetworkMode::kNone, "none"},
                                {NetworkMode::kBridge, "bridge"},
                                {NetworkMode::kHost, "host"},
                                {NetworkMode::kPasta, "pasta"},
                                {NetworkMode::kSlirp4netns, "slirp4netns"}};

// The addresses that slirp4netns gives the container and itself.
constexpr char kSlirpAddress[] = "10.0.2.100";
constexpr char kSlirpDns[] = "10.0.2.3";

bool IsLoopback(absl::string_view address) { return absl::StartsWith(address, "127.") || address == "::1"; }

std::string TunError(const NetworkSources& sources) {
  return absl::StrCat("/dev/net/tun: ", strerrordesc_np(sources.tun_error),
                      "; as root: modprobe tun; chmod 0666 /dev/net/tun");
}

absl::StatusOr<NetworkMode> ChooseMode(const NetworkSpec& spec, const NetworkSources& sources) {
  if (spec.mode.has_value()) return *spec.mode;
  if (spec.ports.empty()) return NetworkMode::kNone;
  if (sources.is_root && !sources.ip.empty() && !sources.nft.empty()) return NetworkMode::kBridge;
  if (sources.pasta.empty() && sources.slirp4netns.empty()) {
    return absl::FailedPreconditionError(
        "--publish needs the program pasta or slirp4netns: apt install passt, or slirp4netns");
  }
  return sources.pasta.empty() ? NetworkMode::kSlirp4netns : NetworkMode::kPasta;
}

absl::Status CheckProgram(const NetworkPlan& plan, const NetworkSources& sources) {
  const char* package = plan.mode == NetworkMode::kPasta ? "passt" : "slirp4netns";
  if (plan.program.empty()) {
    return absl::FailedPreconditionError(absl::StrCat("--network ", NetworkName(plan.mode),
                                                      ": there is no such program in PATH: apt install ", package));
  }
  if (sources.tun_error == 0) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat("--network ", NetworkName(plan.mode), ": ", TunError(sources)));
}

absl::Status CheckBridge(const NetworkSources& sources) {
  if (!sources.is_root) {
    return absl::FailedPreconditionError("--network bridge needs root; --network pasta does not");
  }
  if (!sources.ip.empty() && !sources.nft.empty()) return absl::OkStatus();
  return absl::FailedPreconditionError("--network bridge needs the programs ip and nft: apt install iproute2 nftables");
}

absl::Status CheckPorts(const NetworkSpec& spec, NetworkMode mode) {
  if (spec.ports.empty()) return absl::OkStatus();
  if (mode == NetworkMode::kNone) {
    return absl::InvalidArgumentError("--publish needs a network: leave out --network none");
  }
  if (mode == NetworkMode::kHost) {
    return absl::InvalidArgumentError("--publish: with --network host all ports are the host's already");
  }
  for (const PublishedPort& port : spec.ports) {
    bool ipv4_only = mode == NetworkMode::kSlirp4netns || mode == NetworkMode::kBridge;
    if (ipv4_only && absl::StrContains(port.address, ':')) {
      return absl::InvalidArgumentError(absl::StrCat("--publish ", FormatPublish(port), ": ", NetworkName(mode),
                                                     " publishes on IPv4 addresses only"));
    }
  }
  return absl::OkStatus();
}

std::string HostsText(const NetworkSpec& spec, const NetworkPlan& plan, const NetworkSources& sources,
                      absl::string_view hostname) {
  std::string text;
  if (plan.mode == NetworkMode::kHost) {
    text = sources.hosts;
    if (!text.empty() && !absl::EndsWith(text, "\n")) text += "\n";
  } else {
    // With pasta the container's addresses are the host's, by which others know the host.
    const char* own = plan.mode == NetworkMode::kSlirp4netns ? kSlirpAddress : "127.0.1.1";
    text = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n";
    // Who is on a bridge, its keeper adds.
    if (plan.mode != NetworkMode::kBridge) absl::StrAppend(&text, own, "\t", hostname, "\n");
  }
  for (const HostEntry& entry : spec.hosts) absl::StrAppend(&text, entry.address, "\t", entry.name, "\n");
  return text;
}

std::string ResolvConfText(const NetworkSpec& spec, const NetworkSources& sources, NetworkPlan* plan) {
  std::vector<std::string> servers = spec.dns;
  if (servers.empty() && (plan->mode == NetworkMode::kHost || plan->mode == NetworkMode::kNone)) {
    return plan->mode == NetworkMode::kHost ? sources.resolv_conf : "";
  }
  if (servers.empty() && plan->mode == NetworkMode::kSlirp4netns) servers.push_back(kSlirpDns);
  if (servers.empty()) {
    servers = NameServers(sources.resolv_conf);
    std::erase_if(servers, IsLoopback);
    if (servers.empty() && plan->mode == NetworkMode::kBridge) {
      // As systemd-resolved has those that it asks itself.
      servers = NameServers(sources.upstream_resolv_conf);
      std::erase_if(servers, IsLoopback);
    }
    if (servers.empty() && plan->mode == NetworkMode::kPasta) {
      plan->forwards_dns = true;
      servers.push_back(kForwardedDns);
    }
  }
  std::string text;
  for (const std::string& server : servers) absl::StrAppend(&text, "nameserver ", server, "\n");
  for (absl::string_view line : absl::StrSplit(sources.resolv_conf, '\n')) {
    bool passed_on = absl::StartsWith(line, "search ") || absl::StartsWith(line, "options ");
    if (passed_on && spec.dns.empty()) absl::StrAppend(&text, line, "\n");
  }
  return text;
}

}  // namespace

const char* NetworkName(NetworkMode mode) { return kModes[static_cast<size_t>(mode)].name; }

absl::StatusOr<NetworkMode> ParseNetwork(absl::string_view text) {
  for (const NamedMode& each : kModes) {
    if (text == each.name) return each.mode;
  }
  return absl::InvalidArgumentError("is not one of none, bridge, host, pasta and slirp4netns");
}

absl::StatusOr<HostEntry> ParseHostEntry(absl::string_view text) {
  std::pair<absl::string_view, absl::string_view> parts = absl::StrSplit(text, absl::MaxSplits(':', 1));
  bool is_name = !parts.first.empty() && parts.first.size() <= 253 && parts.first[0] != '-';
  for (char c : parts.first)
    is_name = is_name && (absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '.' || c == '_');
  if (!is_name) return absl::InvalidArgumentError("is not NAME:ADDRESS with the name of a host");
  absl::string_view address = parts.second;
  if (absl::ConsumePrefix(&address, "[") != absl::ConsumeSuffix(&address, "]") || !IsAddress(address)) {
    return absl::InvalidArgumentError("has an address that is neither of IPv4 nor of IPv6");
  }
  return HostEntry{std::string(parts.first), std::string(address)};
}

NetworkSources ReadNetworkSources() {
  NetworkSources sources;
  sources.tun_error = sys::OpenAt(AT_FDCWD, "/dev/net/tun", O_RDWR).error().value();
  sources.pasta = FindProgram("pasta");
  sources.slirp4netns = FindProgram("slirp4netns");
  sources.ip = FindProgram("ip");
  sources.nft = FindProgram("nft");
  sources.is_root = geteuid() == 0;
  sources.upstream_resolv_conf = ReadFileOrEmpty("/run/systemd/resolve/resolv.conf");
  sources.resolv_conf = ReadFileOrEmpty("/etc/resolv.conf");
  sources.hosts = ReadFileOrEmpty("/etc/hosts");
  return sources;
}

std::vector<std::string> NameServers(absl::string_view resolv_conf) {
  std::vector<std::string> servers;
  for (absl::string_view line : absl::StrSplit(resolv_conf, '\n')) {
    std::vector<absl::string_view> words = absl::StrSplit(line, absl::ByAnyChar(" \t"), absl::SkipEmpty());
    if (words.size() >= 2 && words[0] == "nameserver") servers.emplace_back(words[1]);
  }
  return servers;
}

absl::StatusOr<NetworkPlan> ChooseNetwork(const NetworkSpec& spec, const NetworkSources& sources,
                                          absl::string_view hostname) {
  absl::StatusOr<NetworkMode> mode = ChooseMode(spec, sources);
  if (!mode.ok()) return mode.status();
  NetworkPlan plan;
  plan.mode = *mode;
  if (absl::Status s = CheckPorts(spec, plan.mode); !s.ok()) return s;
  if (plan.mode == NetworkMode::kBridge) {
    if (absl::Status s = CheckBridge(sources); !s.ok()) return s;
    plan.program = sources.ip;
    plan.nft = sources.nft;
  }
  if (plan.mode == NetworkMode::kPasta || plan.mode == NetworkMode::kSlirp4netns) {
    plan.program = plan.mode == NetworkMode::kPasta ? sources.pasta : sources.slirp4netns;
    if (absl::Status s = CheckProgram(plan, sources); !s.ok()) return s;
  }
  if (plan.mode != NetworkMode::kNone || !spec.hosts.empty()) plan.hosts = HostsText(spec, plan, sources, hostname);
  plan.resolv_conf = ResolvConfText(spec, sources, &plan);
  return plan;
}

}  // namespace acetate::launcher
