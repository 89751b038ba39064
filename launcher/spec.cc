#include "launcher/spec.h"

#include <sys/resource.h>

#include <algorithm>
#include <cctype>
#include <iterator>
#include <limits>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "launcher/digits.h"

namespace acetate::launcher {
namespace {

constexpr uint64_t kSmallestMemory = 6 << 20;
constexpr uint64_t kSmallestLog = 4 << 10;
constexpr int kLongestTimeout = 86400;

struct UlimitName {
  const char* name;
  int resource;
};
constexpr UlimitName kUlimits[] = {
    {"core", RLIMIT_CORE},         {"cpu", RLIMIT_CPU},
    {"data", RLIMIT_DATA},         {"fsize", RLIMIT_FSIZE},
    {"locks", RLIMIT_LOCKS},       {"memlock", RLIMIT_MEMLOCK},
    {"msgqueue", RLIMIT_MSGQUEUE}, {"nice", RLIMIT_NICE},
    {"nofile", RLIMIT_NOFILE},     {"nproc", RLIMIT_NPROC},
    {"rss", RLIMIT_RSS},           {"rtprio", RLIMIT_RTPRIO},
    {"rttime", RLIMIT_RTTIME},     {"sigpending", RLIMIT_SIGPENDING},
    {"stack", RLIMIT_STACK},
};

bool IsNameCharacter(char c) {
  return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '.' || c == '-';
}

absl::StatusOr<IdOrName> ParseIdOrName(absl::string_view text) {
  IdOrName result;
  if (text.empty()) return absl::InvalidArgumentError("is empty");
  if (AllDigits(text)) {
    uint32_t id;
    // 2^32 - 1 is (uid_t)-1, which the kernel takes to mean "leave as it is".
    if (!absl::SimpleAtoi(text, &id) || id == std::numeric_limits<uint32_t>::max()) {
      return absl::InvalidArgumentError("is too large a number");
    }
    result.id = id;
    return result;
  }
  for (char c : text) {
    if (!IsNameCharacter(c)) return absl::InvalidArgumentError("is neither a number nor a name");
  }
  if (text[0] == '-' || absl::ascii_isdigit(static_cast<unsigned char>(text[0]))) {
    return absl::InvalidArgumentError("is neither a number nor a name");
  }
  result.name = std::string(text);
  return result;
}

// The factor that a unit stands for; 0 for one that is not known.
uint64_t UnitFactor(absl::string_view unit) {
  std::string lower = absl::AsciiStrToLower(unit);
  if (lower.empty() || lower == "b") return 1;
  absl::string_view rest = absl::string_view(lower).substr(1);
  if (!rest.empty() && rest != "b" && rest != "ib") return 0;
  switch (lower[0]) {
    case 'k':
      return uint64_t{1} << 10;
    case 'm':
      return uint64_t{1} << 20;
    case 'g':
      return uint64_t{1} << 30;
    case 't':
      return uint64_t{1} << 40;
    default:
      return 0;
  }
}

}  // namespace

std::string CleanPath(absl::string_view path) {
  std::vector<absl::string_view> parts;
  for (absl::string_view part : absl::StrSplit(path, '/', absl::SkipEmpty())) {
    if (part == ".") continue;
    if (part == "..") {
      if (!parts.empty()) parts.pop_back();
      continue;
    }
    parts.push_back(part);
  }
  return absl::StrCat("/", absl::StrJoin(parts, "/"));
}

absl::StatusOr<std::optional<std::string>> ParseEnvironment(absl::string_view text, const char* const* environ) {
  absl::string_view name = text.substr(0, text.find('='));
  if (name.empty()) return absl::InvalidArgumentError("has no name before '='");
  if (name.size() < text.size()) return std::string(text);
  for (; *environ != nullptr; ++environ) {
    absl::string_view entry = *environ;
    if (absl::ConsumePrefix(&entry, name) && absl::StartsWith(entry, "=")) return std::string(*environ);
  }
  return std::nullopt;
}

absl::StatusOr<Volume> ParseVolume(absl::string_view text) {
  std::vector<std::string> parts = absl::StrSplit(text, ':');
  if (parts.size() < 2 || parts.size() > 3) return absl::InvalidArgumentError("is not HOST:CONTAINER[:ro]");
  Volume volume;
  volume.source = parts[0];
  if (volume.source.find('/') == std::string::npos && volume.source[0] != '.') {
    return absl::InvalidArgumentError("names no path on the host; write an absolute one, or ./NAME");
  }
  if (!absl::StartsWith(parts[1], "/")) return absl::InvalidArgumentError("has a container path that is not absolute");
  volume.target = CleanPath(parts[1]);
  if (volume.target == "/") return absl::InvalidArgumentError("would cover the container's root");
  if (parts.size() == 3) {
    if (parts[2] != "ro" && parts[2] != "rw") return absl::InvalidArgumentError("has an option other than ro and rw");
    volume.read_only = parts[2] == "ro";
  }
  return volume;
}

absl::StatusOr<Device> ParseDevice(absl::string_view text) {
  std::vector<absl::string_view> parts = absl::StrSplit(text, ':');
  Device device;
  device.source = std::string(parts[0]);
  if (!absl::StartsWith(device.source, "/")) return absl::InvalidArgumentError("names no absolute path on the host");
  absl::string_view target = parts[0];
  absl::string_view access = "rw";
  if (parts.size() > 1 && absl::StartsWith(parts[1], "/")) {
    target = parts[1];
    parts.erase(parts.begin());
  }
  if (parts.size() > 1) {
    access = parts[1];
    parts.erase(parts.begin());
  }
  device.target = CleanPath(target);
  if (parts.size() > 1 || device.target == "/") {
    return absl::InvalidArgumentError("is not HOST[:CONTAINER][:rw] with absolute paths");
  }
  if (access.empty() || access.find_first_not_of("rwm") != access.npos) {
    return absl::InvalidArgumentError("has permissions other than r and rw");
  }
  if (absl::StrContains(access, "m")) {
    return absl::InvalidArgumentError("asks for m, making device nodes, which is never granted; leave the m out");
  }
  if (!absl::StrContains(access, "r")) {
    return absl::InvalidArgumentError("asks for w without r, which cannot be enforced; write rw");
  }
  device.read_only = !absl::StrContains(access, "w");
  return device;
}

std::string FormatDevice(const Device& device) {
  return absl::StrCat(device.source, ":", device.target, device.read_only ? ":r" : ":rw");
}

absl::StatusOr<UsernsSpec> ParseUserns(absl::string_view text) {
  using Mode = UsernsSpec::Mode;
  UsernsSpec userns;
  if (text == "private") return userns;
  if (text == "host" || text == "keep-id") {
    userns.mode = text == "host" ? Mode::kHost : Mode::kKeepId;
    return userns;
  }
  if (!absl::ConsumePrefix(&text, "auto")) {
    return absl::InvalidArgumentError("is none of private, keep-id, auto, auto:size=NUMBER and host");
  }
  userns.mode = Mode::kAuto;
  if (text.empty()) return userns;
  // The kernel's ids end below 2^32 - 1.
  if (!absl::ConsumePrefix(&text, ":size=") || !AllDigits(text) || !absl::SimpleAtoi(text, &userns.size) ||
      userns.size == 0 || userns.size == std::numeric_limits<uint32_t>::max()) {
    return absl::InvalidArgumentError("is not auto:size=NUMBER with a number of ids");
  }
  return userns;
}

std::string FormatUserns(const UsernsSpec& userns) {
  switch (userns.mode) {
    case UsernsSpec::Mode::kPrivate:
      return "private";
    case UsernsSpec::Mode::kKeepId:
      return "keep-id";
    case UsernsSpec::Mode::kAuto:
      return absl::StrCat("auto:size=", userns.size);
    case UsernsSpec::Mode::kHost:
      return "host";
  }
  return "";
}

namespace {

// A number of bytes with a unit.
absl::StatusOr<uint64_t> ParseSize(absl::string_view text) {
  size_t digits = 0;
  while (digits < text.size() && absl::ascii_isdigit(static_cast<unsigned char>(text[digits]))) ++digits;
  uint64_t number;
  uint64_t factor = UnitFactor(text.substr(digits));
  if (!absl::SimpleAtoi(text.substr(0, digits), &number) || factor == 0) {
    return absl::InvalidArgumentError("is not a size such as 512m or 2g");
  }
  // The kernel counts in signed 64 bits.
  if (number > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()) / factor) {
    return absl::InvalidArgumentError("is too large");
  }
  return number * factor;
}

}  // namespace

absl::StatusOr<Tmpfs> ParseTmpfs(absl::string_view text) {
  std::pair<absl::string_view, absl::string_view> parts = absl::StrSplit(text, absl::MaxSplits(':', 1));
  if (!absl::StartsWith(parts.first, "/")) return absl::InvalidArgumentError("has a path that is not absolute");
  Tmpfs tmpfs;
  tmpfs.target = CleanPath(parts.first);
  tmpfs.mode = "1777";
  if (tmpfs.target == "/") return absl::InvalidArgumentError("would cover the container's root");
  for (absl::string_view option : absl::StrSplit(parts.second, ',', absl::SkipEmpty())) {
    absl::string_view value = option;
    if (absl::ConsumePrefix(&value, "size=")) {
      if (!ParseSize(value).ok()) return absl::InvalidArgumentError("has a size that is not one such as 64m");
      tmpfs.size = std::string(value);
    } else if (absl::ConsumePrefix(&value, "mode=")) {
      bool octal = !value.empty() && value.size() <= 4 && value.find_first_not_of("01234567") == value.npos;
      if (!octal) return absl::InvalidArgumentError("has a mode that is not octal");
      tmpfs.mode = std::string(value);
    } else if (option == "ro" || option == "rw") {
      tmpfs.read_only = option == "ro";
    } else if (option == "exec" || option == "noexec") {
      tmpfs.executable = option == "exec";
    } else if (option != "nosuid" && option != "nodev") {
      return absl::InvalidArgumentError(
          "has an option other than ro, rw, exec, noexec, nosuid, nodev, size= and mode=");
    }
  }
  return tmpfs;
}

std::string FormatTmpfs(const Tmpfs& tmpfs) {
  return absl::StrCat(tmpfs.target, ":mode=", tmpfs.mode, tmpfs.size.empty() ? "" : ",size=", tmpfs.size,
                      tmpfs.read_only ? ",ro" : "", tmpfs.executable ? ",exec" : "");
}

absl::StatusOr<Ulimit> ParseUlimit(absl::string_view text) {
  std::vector<absl::string_view> parts = absl::StrSplit(text, absl::MaxSplits('=', 1));
  Ulimit limit;
  limit.name = std::string(parts[0]);
  const UlimitName* known = std::find_if(std::begin(kUlimits), std::end(kUlimits),
                                         [&](const UlimitName& each) { return limit.name == each.name; });
  if (parts.size() != 2 || known == std::end(kUlimits)) {
    return absl::InvalidArgumentError("is not NAME=SOFT[:HARD] with a name such as nofile, nproc, core or stack");
  }
  limit.resource = known->resource;
  std::vector<absl::string_view> values = absl::StrSplit(parts[1], absl::MaxSplits(':', 1));
  auto parse = [](absl::string_view value, uint64_t* number) {
    *number = std::numeric_limits<uint64_t>::max();  // RLIM_INFINITY
    return value == "-1" || value == "unlimited" || (AllDigits(value) && absl::SimpleAtoi(value, number));
  };
  if (!parse(values[0], &limit.soft) || !parse(values.back(), &limit.hard)) {
    return absl::InvalidArgumentError("has a limit that is neither a number nor \"unlimited\"");
  }
  if (limit.soft > limit.hard) return absl::InvalidArgumentError("has a soft limit above the hard one");
  return limit;
}

std::string FormatUlimit(const Ulimit& limit) {
  auto shown = [](uint64_t number) {
    return number == std::numeric_limits<uint64_t>::max() ? std::string("unlimited") : absl::StrCat(number);
  };
  return absl::StrCat(limit.name, "=", shown(limit.soft), ":", shown(limit.hard));
}

absl::StatusOr<uint64_t> ParseMemory(absl::string_view text) {
  absl::StatusOr<uint64_t> size = ParseSize(text);
  if (size.ok() && *size < kSmallestMemory) {
    return absl::InvalidArgumentError("is less than 6m, in which nothing starts");
  }
  return size;
}

absl::StatusOr<int64_t> ParseMemorySwap(absl::string_view text) {
  if (text == "-1") return kUnlimitedSwap;
  absl::StatusOr<uint64_t> size = ParseSize(text);
  if (!size.ok()) return size.status();
  return static_cast<int64_t>(*size);
}

absl::StatusOr<uint64_t> ParseReservation(absl::string_view text) { return ParseSize(text); }

absl::StatusOr<uint64_t> ParseShmSize(absl::string_view text) {
  absl::StatusOr<uint64_t> size = ParseSize(text);
  // tmpfs(5) takes 0 for no limit.
  if (size.ok() && *size == 0) return absl::InvalidArgumentError("is nothing; write a size such as 64m");
  return size;
}

absl::StatusOr<uint64_t> ParseLogSize(absl::string_view text) {
  if (text == "-1") return 0;
  absl::StatusOr<uint64_t> size = ParseSize(text);
  if (size.ok() && *size < kSmallestLog) return absl::InvalidArgumentError("is less than 4k");
  return size;
}

absl::StatusOr<int> ParseSeconds(absl::string_view text) {
  int seconds;
  if (!AllDigits(text) || !absl::SimpleAtoi(text, &seconds) || seconds > kLongestTimeout) {
    return absl::InvalidArgumentError("is not a number of seconds up to 86400");
  }
  return seconds;
}

absl::Status CheckRestart(absl::string_view text) {
  if (text == "no") return absl::OkStatus();
  return absl::InvalidArgumentError(
      "is not supported: launch has no daemon that could start the container again; let a service manager such as "
      "systemd restart launch");
}

absl::StatusOr<uint64_t> ParsePidsLimit(absl::string_view text) {
  if (text == "-1") return 0;
  uint64_t number;
  // The kernel's pids.max ends at PID_MAX_LIMIT, 2^22.
  if (!AllDigits(text) || !absl::SimpleAtoi(text, &number) || number > (1 << 22)) {
    return absl::InvalidArgumentError("is not a number of processes up to 4194304, or -1 for no limit");
  }
  return number;
}

absl::StatusOr<UserSpec> ParseUser(absl::string_view text) {
  std::vector<absl::string_view> parts = absl::StrSplit(text, absl::MaxSplits(':', 1));
  UserSpec spec;
  absl::StatusOr<IdOrName> user = ParseIdOrName(parts[0]);
  if (!user.ok()) return absl::InvalidArgumentError(absl::StrCat("has a user that ", user.status().message()));
  spec.user = *user;
  if (parts.size() == 2) {
    absl::StatusOr<IdOrName> group = ParseIdOrName(parts[1]);
    if (!group.ok()) return absl::InvalidArgumentError(absl::StrCat("has a group that ", group.status().message()));
    spec.group = *group;
  }
  return spec;
}

absl::Status CheckHostname(absl::string_view text) {
  // The kernel takes 64 bytes.
  if (text.empty() || text.size() > 64) return absl::InvalidArgumentError("is not between 1 and 64 characters long");
  for (absl::string_view label : absl::StrSplit(text, '.')) {
    bool good = !label.empty() && label.front() != '-' && label.back() != '-';
    for (char c : label) good = good && (absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_');
    if (!good) return absl::InvalidArgumentError("is not a host name");
  }
  return absl::OkStatus();
}

absl::Status CheckName(absl::string_view text) {
  bool good = !text.empty() && text.size() <= 128 && absl::ascii_isalnum(static_cast<unsigned char>(text[0]));
  for (char c : text) good = good && IsNameCharacter(c);
  if (good) return absl::OkStatus();
  return absl::InvalidArgumentError("is not a name: up to 128 of a-z A-Z 0-9 _ . -, the first a letter or digit");
}

absl::StatusOr<std::string> ParseWorkdir(absl::string_view text) {
  if (!absl::StartsWith(text, "/")) return absl::InvalidArgumentError("is not an absolute path");
  return CleanPath(text);
}

}  // namespace acetate::launcher
