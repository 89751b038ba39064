#include "launcher/daemon.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "common/errno_or.h"
#include "common/syscalls.h"
#include "launcher/arguments.h"
#include "launcher/files.h"
#include "launcher/own_program.h"
#include "launcher/protocol.h"

namespace acetate::launcher {
namespace {

constexpr int kDeviceFd = 3;

bool IsProgram(const std::string& path) {
  struct stat st;
  return stat(path.c_str(), &st) == 0 && S_ISREG(st.st_mode) && access(path.c_str(), X_OK) == 0;
}

}  // namespace

std::optional<uint64_t> BytesCopiedUp(absl::string_view counters) {
  const auto json = nlohmann::json::parse(counters.begin(), counters.end(), nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || !json.contains("bytes_copied_up")) return std::nullopt;
  const nlohmann::json& bytes = json["bytes_copied_up"];
  return bytes.is_number_unsigned() ? std::make_optional(bytes.get<uint64_t>()) : std::nullopt;
}

absl::StatusOr<std::string> FindFusefs() {
  const char* named = getenv("ACETATE_FUSEFS");
  if (named != nullptr && named[0] != '\0') {
    if (IsProgram(named)) return std::string(named);
    return absl::NotFoundError(absl::StrCat("ACETATE_FUSEFS names no program: ", named));
  }
  std::string directory = OwnProgramPath();
  if (const size_t slash = directory.rfind('/'); slash != std::string::npos) {
    directory.resize(slash);
    // Installed, and as Bazel builds them.
    for (const char* place : {"/fusefs", "/../fusefs/fusefs"}) {
      if (IsProgram(directory + place)) return directory + place;
    }
  }
  std::string in_path = FindProgram("fusefs");
  if (!in_path.empty()) return in_path;
  return absl::NotFoundError(
      "the program fusefs is neither beside launch nor in PATH; build //fusefs or set ACETATE_FUSEFS");
}

absl::StatusOr<Daemon> StartFusefs(const std::vector<std::string>& words, UniqueFd device, const sigset_t& mask) {
  std::vector<std::string> arguments = words;
  arguments.push_back(absl::StrCat("/dev/fd/", kDeviceFd));
  std::vector<char*> argv = ArgumentPointers(arguments);

  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return ErrnoToStatus(Errno::Last(), "make a pipe");
  Daemon daemon;
  daemon.output.Reset(ends[0]);
  UniqueFd output(ends[1]);
  if (fcntl(daemon.output.get(), F_SETFL, O_NONBLOCK) != 0) return ErrnoToStatus(Errno::Last(), "set up a pipe");
  // Above the numbers that are about to be filled.
  constexpr int kFirstFree = std::max(kDeviceFd, kFusefsStatsFd) + 1;
  UniqueFd source(fcntl(device.get(), F_DUPFD_CLOEXEC, kFirstFree));
  if (!source.valid()) return ErrnoToStatus(Errno::Last(), "duplicate the FUSE device");
  UniqueFd stats(memfd_create("counters", MFD_CLOEXEC));
  if (stats.valid()) daemon.stats.Reset(fcntl(stats.get(), F_DUPFD_CLOEXEC, kFirstFree));
  if (!daemon.stats.valid()) return ErrnoToStatus(Errno::Last(), "make a file for fusefs's counters");

  // As vfork(2) does it: the memory is not copied, and nothing of this program competes with the daemon's start.
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_adddup2(&files, output.get(), STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&files, output.get(), STDERR_FILENO);
  posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDWR, 0);
  posix_spawn_file_actions_adddup2(&files, source.get(), kDeviceFd);
  posix_spawn_file_actions_adddup2(&files, daemon.stats.get(), kFusefsStatsFd);
  posix_spawn_file_actions_addclosefrom_np(&files, kFirstFree);  // all are close-on-exec but what was inherited
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
  posix_spawnattr_setsigmask(&attributes, &mask);
  pid_t pid = 0;
  const int error = posix_spawn(&pid, argv[0], &files, &attributes, argv.data(), environ);
  posix_spawn_file_actions_destroy(&files);
  posix_spawnattr_destroy(&attributes);
  if (error != 0) return ErrnoToStatus(Errno(error), absl::StrCat("start ", arguments[0]));
  ErrnoOr<UniqueFd> pidfd = sys::PidFdOpen(pid);
  if (!pidfd.ok()) return ErrnoToStatus(pidfd.error(), "watch fusefs");
  daemon.pidfd = *std::move(pidfd);
  return daemon;
}

}  // namespace acetate::launcher
