#include "launcher/bridge.h"

#include <arpa/inet.h>

#include <bit>
#include <nlohmann/json.hpp>
#include <set>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

namespace acetate::launcher {
namespace {

using Json = nlohmann::ordered_json;

constexpr char kTable[] = "acetate_bridge";

// The rule that leads one port to its container, by what of the packet it is told.
std::string Forward(const Lease& lease, const PublishedPort& port) {
  bool any = port.address.empty() || port.address == "0.0.0.0";
  return absl::StrCat("  ", any ? "fib daddr type local" : absl::StrCat("ip daddr ", port.address), " ",
                      port.udp ? "udp" : "tcp", " dport ", port.host_port, " dnat to ", lease.address, ":",
                      port.container_port, "\n");
}

}  // namespace

std::string FormatLease(const Lease& lease) {
  Json json;
  json["id"] = lease.id;
  json["address"] = lease.address;
  json["names"] = lease.names;
  json["ports"] = Json::array();
  for (const PublishedPort& port : lease.ports) json["ports"].push_back(FormatPublish(port));
  json["hosts_file"] = lease.hosts_file;
  json["hosts_head"] = lease.hosts_head;
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::optional<Lease> ParseLease(absl::string_view text) {
  // The library's typed access reports what is missing or of another type by exceptions.
  try {
    Json json = Json::parse(text.begin(), text.end());
    Lease lease;
    lease.id = json.at("id");
    lease.address = json.at("address");
    lease.names = json.at("names").get<std::vector<std::string>>();
    lease.ports = PortsOf(json.at("ports").get<std::vector<std::string>>());
    lease.hosts_file = json.at("hosts_file");
    lease.hosts_head = json.at("hosts_head");
    return lease;
  } catch (const nlohmann::json::exception&) {
    return std::nullopt;
  }
}

std::optional<std::string> FreeAddress(const std::vector<Lease>& leases) {
  std::set<std::string> taken = {kBridgeAddress};
  for (const Lease& lease : leases) taken.insert(lease.address);
  for (int number = 2; number < 65535; ++number) {
    std::string address = absl::StrCat("10.213.", number / 256, ".", number % 256);
    if (!taken.contains(address)) return address;
  }
  return std::nullopt;
}

std::string RouteInTheWay(absl::string_view proc_net_route) {
  in_addr bridge;
  inet_pton(AF_INET, kBridgeAddress, &bridge);
  const uint32_t bridge_mask = htonl(~uint32_t{0} << (32 - kBridgePrefix));
  for (absl::string_view line : absl::StrSplit(proc_net_route, '\n')) {
    const std::vector<absl::string_view> fields = absl::StrSplit(line, absl::ByAnyChar(" \t"), absl::SkipEmpty());
    uint32_t network, mask;  // as they are in memory
    if (fields.size() < 8 || !absl::SimpleHexAtoi(fields[1], &network) || !absl::SimpleHexAtoi(fields[7], &mask))
      continue;
    const bool within = (mask & bridge_mask) == bridge_mask && ((network ^ bridge.s_addr) & bridge_mask) == 0;
    if (!within || fields[0] == kBridge) continue;
    const in_addr destination = {network};
    char text[INET_ADDRSTRLEN];
    return absl::StrCat(inet_ntop(AF_INET, &destination, text, sizeof(text)), "/", std::popcount(mask), " by ",
                        fields[0]);
  }
  return "";
}

std::string HostDevice(absl::string_view id) { return absl::StrCat("acv", id.substr(0, 12)); }

std::string BridgeRules(const std::vector<Lease>& leases) {
  std::string text = absl::StrCat("table ip ", kTable, "\ndelete table ip ", kTable, "\n");
  if (leases.empty()) return text;
  std::string forwards;
  for (const Lease& lease : leases) {
    for (const PublishedPort& port : lease.ports) absl::StrAppend(&forwards, Forward(lease, port));
  }
  std::string subnet = absl::StrCat(kBridgeAddress, "/", kBridgePrefix);
  // The host's loopback is led to the bridge for who connects to it there, and must not be reached from the bridge.
  absl::StrAppend(&text, "table ip ", kTable, " {\n chain guard {\n  type filter hook prerouting priority raw;\n",
                  "  iifname \"", kBridge, "\" ip daddr 127.0.0.0/8 drop\n }\n",
                  " chain arriving {\n  type nat hook prerouting priority dstnat;\n", forwards, " }\n",
                  " chain own {\n  type nat hook output priority -100;\n", forwards, " }\n",
                  " chain leaving {\n  type nat hook postrouting priority srcnat;\n  ip saddr ", subnet,
                  " oifname != \"", kBridge, "\" masquerade\n  ip saddr 127.0.0.0/8 oifname \"", kBridge,
                  "\" masquerade\n  ip saddr ", subnet, " ip daddr ", subnet, " ct status dnat masquerade\n }\n}\n");
  return text;
}

std::string BridgeHosts(const Lease& own, const std::vector<Lease>& leases) {
  std::string text = own.hosts_head;
  for (const Lease& lease : leases) {
    absl::StrAppend(&text, lease.address, "\t", absl::StrJoin(lease.names, " "), "\n");
  }
  return text;
}

}  // namespace acetate::launcher
