// What a user asked for, as plain data, and the parsers of the values that flags take. A Spec is made by flags.h, read
// by plan.h and never changed in between. Nothing here looks at the filesystem; every function is pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "launcher/limits.h"
#include "launcher/network.h"

namespace acetate::launcher {

struct Volume {
  std::string source;  // on the host: absolute, or relative to where launch was started
  std::string target;  // in the container: absolute, without "." and ".."
  bool read_only = false;
};

// A device node of the host.
struct Device {
  std::string source;      // on the host: absolute
  std::string target;      // as of a volume
  bool read_only = false;  // may be had only where launch's user cannot write the device either (CheckDevices)
};

struct Tmpfs {
  std::string target;  // as of a volume
  bool read_only = false;
  bool executable = false;
  std::string size;  // as tmpfs(5) takes it; empty: its default
  std::string mode;  // octal
};

struct Ulimit {
  std::string name;  // "nofile"
  int resource = 0;  // RLIMIT_*
  uint64_t soft = 0;
  uint64_t hard = 0;
};

// In place of a seccomp profile.
inline constexpr char kSeccompUnconfined[] = "unconfined";

// Whose ids the container's are.
struct UsernsSpec {
  enum class Mode {
    kPrivate,  // root is the user, the others are subordinate ids
    kKeepId,   // the user's id is the same inside
    kAuto,     // subordinate ids that no other running container has
    kHost,     // the host's own: no user namespace
  };
  Mode mode = Mode::kPrivate;
  uint32_t size = 1024;  // how many ids, for kAuto
};

// A part of --user: a number, or a name that the image's /etc/passwd or /etc/group has to know.
struct IdOrName {
  std::optional<uint32_t> id;
  std::string name;  // empty when `id` is set
};

struct UserSpec {
  IdOrName user;
  std::optional<IdOrName> group;
};

inline constexpr uint64_t kDefaultShmBytes = 64 << 20;

struct Spec {
  std::string image;
  std::vector<std::string> environment;  // NAME=VALUE, each name once
  std::string workdir = "/";
  std::optional<UserSpec> user;
  std::string hostname;  // empty: the container's short id
  std::string name;      // empty: none
  bool remove = false;
  std::vector<Volume> volumes;
  std::vector<Device> devices;
  std::vector<Tmpfs> tmpfs;
  uint64_t shm_bytes = kDefaultShmBytes;  // of /dev/shm
  std::vector<Ulimit> ulimits;
  UsernsSpec userns;
  bool fake_ids = false;  // ids that are not mapped seem to be
  NetworkSpec network;
  uint64_t cap_add = 0;         // a bit for each; all of them for ALL
  uint64_t cap_drop = 0;        // likewise
  std::string seccomp;          // a profile's path, or kSeccompUnconfined; empty: the default profile
  std::string seccomp_profile;  // what the file says
  bool read_only = false;       // the root
  ResourceLimits limits;
  bool detach = false;
  bool interactive = false;  // stdin is the container's
  bool terminal = false;
  bool init = false;           // PID 1 is launch's own, the command its child
  std::string cid_file;        // where the id is written; empty: nowhere
  std::string pid_file;        // where the host's number of PID 1 is written
  std::string detach_keys;     // bytes; empty: there are none
  int stop_signal = 15;        // SIGTERM
  int stop_timeout = 10;       // seconds until `stop` sends SIGKILL
  uint64_t log_max_bytes = 0;  // of the log file, of which two are kept; 0: no limit
  bool profile = false;        // of this launch; not kept
  std::vector<std::string> command;

  // Whether a supervisor of its own passes the streams on and keeps the log, so that users can come and go. Otherwise
  // the command's streams are launch's.
  bool HasSession() const { return detach || terminal; }
};

inline constexpr char kDefaultDetachKeys[] = "ctrl-p,ctrl-q";
inline constexpr uint64_t kDefaultLogBytes = 16 << 20;

// "NAME=VALUE" as it is; a bare "NAME" with the value that `environ` (a null-terminated list) has for it, or nothing
// when it has none.
absl::StatusOr<std::optional<std::string>> ParseEnvironment(absl::string_view text, const char* const* environ);

// HOST:CONTAINER[:ro|:rw].
absl::StatusOr<Volume> ParseVolume(absl::string_view text);

// HOST[:CONTAINER][:rw|:r]; without CONTAINER it is HOST.
absl::StatusOr<Device> ParseDevice(absl::string_view text);
std::string FormatDevice(const Device& device);

// private, keep-id, auto, auto:size=NUMBER or host.
absl::StatusOr<UsernsSpec> ParseUserns(absl::string_view text);
std::string FormatUserns(const UsernsSpec& userns);

// PATH[:OPTION,...], of the options ro, rw, exec, noexec, nosuid, nodev, size=BYTES[kmg] and mode=OCTAL.
absl::StatusOr<Tmpfs> ParseTmpfs(absl::string_view text);
std::string FormatTmpfs(const Tmpfs& tmpfs);

// NAME=SOFT[:HARD], the names those of setrlimit(2) without RLIMIT_; -1 or "unlimited" for none.
absl::StatusOr<Ulimit> ParseUlimit(absl::string_view text);
std::string FormatUlimit(const Ulimit& limit);

// Bytes: a whole number with b, k, m, g or t behind it, powers of 1024; "1g", "512MB" and "512MiB" are all read. Less
// than 6 MiB, in which no container starts, is an error.
absl::StatusOr<uint64_t> ParseMemory(absl::string_view text);

// --memory-swap: a size, or -1 for no limit (kUnlimitedSwap); 0 means none asked for.
absl::StatusOr<int64_t> ParseMemorySwap(absl::string_view text);

// --memory-reservation: a size; 0 means none.
absl::StatusOr<uint64_t> ParseReservation(absl::string_view text);

// --shm-size: a size as for ParseMemory, above 0.
absl::StatusOr<uint64_t> ParseShmSize(absl::string_view text);

// A number of processes; 0 and -1 mean no limit and give 0.
absl::StatusOr<uint64_t> ParsePidsLimit(absl::string_view text);

// USER[:GROUP], each a number or a name. Numbers are strict: no sign, no space, below 2^32 - 1.
absl::StatusOr<UserSpec> ParseUser(absl::string_view text);

// What --stop-timeout and --time take: whole seconds up to a day's worth.
absl::StatusOr<int> ParseSeconds(absl::string_view text);

// A size as for ParseMemory, at least 4 KiB; -1 means no limit and gives 0.
absl::StatusOr<uint64_t> ParseLogSize(absl::string_view text);

// Only "no" is a policy that can be kept without a daemon.
absl::Status CheckRestart(absl::string_view text);

// What --hostname, --name and --workdir may be.
absl::Status CheckHostname(absl::string_view text);
absl::Status CheckName(absl::string_view text);
absl::StatusOr<std::string> ParseWorkdir(absl::string_view text);

// `path` without empty, "." and ".." parts, none of which can lead above "/". `path` is absolute.
std::string CleanPath(absl::string_view path);

}  // namespace acetate::launcher
