#include "launcher/daemon.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "common/errno_or.h"
#include "common/syscalls.h"
#include "launcher/arguments.h"
#include "launcher/files.h"
#include "launcher/own_program.h"

namespace acetate::launcher {
namespace {

constexpr int kDeviceFd = 3;

// In the child, between fork and exec.
[[noreturn]] void Exec(char* const* argv, int device, int null, int output, const sigset_t& mask) {
  // Above the numbers that are about to be filled.
  device = fcntl(device, F_DUPFD_CLOEXEC, kDeviceFd + 1);
  dup2(null, STDIN_FILENO);
  dup2(output, STDOUT_FILENO);
  dup2(output, STDERR_FILENO);
  dup2(device, kDeviceFd);
  sys::CloexecFrom(kDeviceFd + 1).IgnoreError();  // all are close-on-exec; this is for what was inherited
  sigprocmask(SIG_SETMASK, &mask, nullptr);
  execve(argv[0], argv, environ);
  const char* why = strerrordesc_np(errno);
  if (write(STDERR_FILENO, why, strlen(why)) < 0) _exit(126);
  _exit(127);
}

bool IsProgram(const std::string& path) {
  struct stat st;
  return stat(path.c_str(), &st) == 0 && S_ISREG(st.st_mode) && access(path.c_str(), X_OK) == 0;
}

}  // namespace

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
  ErrnoOr<UniqueFd> null = sys::OpenAt(AT_FDCWD, "/dev/null", O_RDWR);
  if (!null.ok()) return ErrnoToStatus(null.error(), "open /dev/null");

  ErrnoOr<pid_t> pid = sys::Fork(0, &daemon.pidfd);
  if (!pid.ok()) return ErrnoToStatus(pid.error(), "fork");
  if (*pid == 0) Exec(argv.data(), device.get(), null->get(), output.get(), mask);
  return daemon;
}

}  // namespace acetate::launcher
