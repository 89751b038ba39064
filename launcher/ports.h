// Ports of a container that are to be reached by ports of the host: what --publish takes. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace acetate::launcher {

struct PublishedPort {
  std::string address;  // of the host, numeric; empty: all
  uint16_t host_port = 0;
  uint16_t container_port = 0;
  bool udp = false;

  bool operator==(const PublishedPort&) const = default;
};

// [IP:]HOST:CONTAINER[/tcp|/udp], where HOST and CONTAINER are ports or, both, ranges FIRST-LAST of one length. An IPv6
// address stands in brackets.
absl::StatusOr<std::vector<PublishedPort>> ParsePublish(absl::string_view text);

// Of what FormatPublish() has written; what cannot be read is left out.
std::vector<PublishedPort> PortsOf(const std::vector<std::string>& texts);

// As --publish takes it, and as people are shown it: "127.0.0.1:8080->80/tcp".
std::string FormatPublish(const PublishedPort& port);
std::string ShowPort(const PublishedPort& port);

// Whether one process cannot have both on the host.
bool Overlap(const PublishedPort& a, const PublishedPort& b);

// Whether `text` is a numeric address, of IPv4 or IPv6.
bool IsAddress(absl::string_view text);

}  // namespace acetate::launcher
