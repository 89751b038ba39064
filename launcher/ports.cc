#include "launcher/ports.h"

#include <arpa/inet.h>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace acetate::launcher {
namespace {

struct Range {
  uint16_t first = 0;
  uint16_t last = 0;
  int size() const { return last - first + 1; }
};

bool ParsePort(absl::string_view text, uint16_t* port) {
  uint32_t number;
  if (text.empty() || text.find_first_not_of("0123456789") != text.npos) return false;
  if (!absl::SimpleAtoi(text, &number) || number == 0 || number > 65535) return false;
  *port = static_cast<uint16_t>(number);
  return true;
}

bool ParseRange(absl::string_view text, Range* range) {
  std::pair<absl::string_view, absl::string_view> ends = absl::StrSplit(text, absl::MaxSplits('-', 1));
  if (text.find('-') == text.npos) ends.second = ends.first;
  return ParsePort(ends.first, &range->first) && ParsePort(ends.second, &range->last) && range->first <= range->last;
}

// Splits off the address; false when there is none that can be read.
bool TakeAddress(absl::string_view* text, std::string* address) {
  size_t end = text->rfind(':');
  if (end == text->npos) return true;  // host port alone
  absl::string_view before = text->substr(0, end);
  text->remove_prefix(end + 1);
  bool bracketed = absl::ConsumePrefix(&before, "[") && absl::ConsumeSuffix(&before, "]");
  *address = std::string(before);
  return IsAddress(before) && bracketed == absl::StrContains(before, ':');
}

std::string ShownAddress(const PublishedPort& port) {
  if (port.address.empty()) return "";
  return absl::StrContains(port.address, ':') ? absl::StrCat("[", port.address, "]:") : port.address + ":";
}

bool IsAny(const std::string& address) { return address.empty() || address == "0.0.0.0" || address == "::"; }

}  // namespace

bool IsAddress(absl::string_view text) {
  unsigned char buffer[sizeof(in6_addr)];
  std::string address(text);
  return inet_pton(AF_INET, address.c_str(), buffer) == 1 || inet_pton(AF_INET6, address.c_str(), buffer) == 1;
}

absl::StatusOr<std::vector<PublishedPort>> ParsePublish(absl::string_view text) {
  PublishedPort port;
  if (size_t slash = text.find('/'); slash != text.npos) {
    absl::string_view protocol = text.substr(slash + 1);
    if (protocol != "tcp" && protocol != "udp") return absl::InvalidArgumentError("is neither of tcp nor of udp");
    port.udp = protocol == "udp";
    text = text.substr(0, slash);
  }
  size_t colon = text.rfind(':');
  if (colon == text.npos) return absl::InvalidArgumentError("is not [IP:]HOSTPORT:CONTAINERPORT[/tcp|/udp]");
  absl::string_view outside = text.substr(0, colon);
  if (!TakeAddress(&outside, &port.address)) {
    return absl::InvalidArgumentError("has an address that is no IPv4 one, nor an IPv6 one in brackets");
  }
  Range host, container;
  if (!ParseRange(outside, &host) || !ParseRange(text.substr(colon + 1), &container)) {
    return absl::InvalidArgumentError("has a port that is no number from 1 to 65535, nor a range FIRST-LAST of such");
  }
  if (host.size() != container.size()) return absl::InvalidArgumentError("has two ranges of different lengths");
  std::vector<PublishedPort> ports;
  for (int i = 0; i < host.size(); ++i) {
    port.host_port = static_cast<uint16_t>(host.first + i);
    port.container_port = static_cast<uint16_t>(container.first + i);
    ports.push_back(port);
  }
  return ports;
}

std::vector<PublishedPort> PortsOf(const std::vector<std::string>& texts) {
  std::vector<PublishedPort> all;
  for (const std::string& text : texts) {
    absl::StatusOr<std::vector<PublishedPort>> ports = ParsePublish(text);
    if (ports.ok()) all.insert(all.end(), ports->begin(), ports->end());
  }
  return all;
}

std::string FormatPublish(const PublishedPort& port) {
  return absl::StrCat(ShownAddress(port), port.host_port, ":", port.container_port, port.udp ? "/udp" : "/tcp");
}

std::string ShowPort(const PublishedPort& port) {
  return absl::StrCat(port.address.empty() ? "*:" : ShownAddress(port), port.host_port, "->", port.container_port,
                      port.udp ? "/udp" : "/tcp");
}

bool Overlap(const PublishedPort& a, const PublishedPort& b) {
  if (a.host_port != b.host_port || a.udp != b.udp) return false;
  return a.address == b.address || IsAny(a.address) || IsAny(b.address);
}

}  // namespace acetate::launcher
