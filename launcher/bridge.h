// The bridge that containers of root are on, as values: who has which address, and the texts that follow from it. Pure.
// Everything that the bridge consists of is made anew from the leases at each change, so nothing stays of one that is
// gone, however it went.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "launcher/ports.h"

namespace acetate::launcher {

inline constexpr char kBridge[] = "acetate0";
inline constexpr char kBridgeAddress[] = "10.213.0.1";
inline constexpr int kBridgePrefix = 16;

// What one container has of the bridge.
struct Lease {
  std::string id;
  std::string address;
  std::vector<std::string> names;  // by which the others know it
  std::vector<PublishedPort> ports;
  std::string hosts_file;  // path of its /etc/hosts on the host
  std::string hosts_head;  // what stands in it before the containers
};

std::string FormatLease(const Lease& lease);
std::optional<Lease> ParseLease(absl::string_view text);

// An address of the bridge that none of these has; nothing when all are taken.
std::optional<std::string> FreeAddress(const std::vector<Lease>& leases);

// Of the host's routes (/proc/net/route) one to a part of the bridge's network, which the bridge would take away or not
// reach: "10.213.7.0/24 by eth0". Empty when there is none.
std::string RouteInTheWay(absl::string_view proc_net_route);

// The host's end of a container's pair of devices.
std::string HostDevice(absl::string_view id);

// Commands for nft(8) that put the rules for these in the place of all earlier ones.
std::string BridgeRules(const std::vector<Lease>& leases);

// The text of a container's /etc/hosts.
std::string BridgeHosts(const Lease& own, const std::vector<Lease>& leases);

}  // namespace acetate::launcher
