// Which network a container gets, decided from what was asked for and what the machine has, and the texts of the files
// in /etc that follow from it. Looking at the machine is one function; all else is pure.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "launcher/ports.h"

namespace acetate::launcher {

enum class NetworkMode {
  kNone,         // a loopback only
  kBridge,       // as root: a bridge that containers share
  kHost,         // the host's own namespace
  kPasta,        // a namespace of its own, connected by a program of the user's
  kSlirp4netns,  // the same, by another one
};

const char* NetworkName(NetworkMode mode);
absl::StatusOr<NetworkMode> ParseNetwork(absl::string_view text);

// A line of /etc/hosts.
struct HostEntry {
  std::string name;
  std::string address;
};

// NAME:ADDRESS.
absl::StatusOr<HostEntry> ParseHostEntry(absl::string_view text);

// The part of a Spec that is about the network.
struct NetworkSpec {
  std::optional<NetworkMode> mode;  // nothing: none, or what can publish if there are ports
  std::vector<PublishedPort> ports;
  std::vector<HostEntry> hosts;
  std::vector<std::string> dns;  // addresses of name servers
};

// All that the choice depends on.
struct NetworkSources {
  int tun_error = 0;  // errno of opening /dev/net/tun
  std::string pasta;  // paths; empty when not found
  std::string slirp4netns;
  std::string ip;
  std::string nft;
  bool is_root = false;     // of the initial user namespace, or what counts as such: may change the network
  std::string resolv_conf;  // texts of the host's files
  std::string hosts;
  std::string upstream_resolv_conf;  // of systemd-resolved
};

NetworkSources ReadNetworkSources();

struct NetworkPlan {
  NetworkMode mode = NetworkMode::kNone;
  std::string program;        // pasta, slirp4netns, or ip for the bridge; empty: none is needed
  std::string nft;            // for the bridge
  bool forwards_dns = false;  // to kForwardedDns, since the host's name servers are its loopback's
  std::string hosts;          // texts of the files in /etc; empty: the image's own are shown
  std::string resolv_conf;
};

// Where pasta takes questions to pass them on to the host's name server.
inline constexpr char kForwardedDns[] = "169.254.1.1";

absl::StatusOr<NetworkPlan> ChooseNetwork(const NetworkSpec& spec, const NetworkSources& sources,
                                          absl::string_view hostname);

// The name servers of a resolv.conf.
std::vector<std::string> NameServers(absl::string_view resolv_conf);

}  // namespace acetate::launcher
