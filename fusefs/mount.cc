#include "fusefs/mount.h"

#include <fcntl.h>

#include <algorithm>
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "fusefs/libfuse.h"
#include "fusefs/stderr_capture.h"

namespace acetate::fusefs {
namespace {

// libfuse splits options at commas that no backslash precedes.
std::string Escape(absl::string_view text) { return absl::StrReplaceAll(text, {{"\\", "\\\\"}, {",", "\\,"}}); }

}  // namespace

std::vector<std::string> SessionArguments(const Options& options, bool privileged, bool uring) {
  const std::vector<std::string>& given = options.mount_options;
  const auto has = [&](absl::string_view name) { return std::find(given.begin(), given.end(), name) != given.end(); };
  std::vector<std::string> args = {
      "fusefs",
      "-odefault_permissions",
      absl::StrCat("-ofsname=", Escape(options.fsname)),
      absl::StrCat("-osubtype=", Escape(options.subtype)),
  };
  if (options.max_read != 0) args.push_back(absl::StrCat("-omax_read=", options.max_read));
  if (uring) args.push_back("-oio_uring");
  if (options.debug) args.push_back("-d");
  if (options.allow_root) {
    args.push_back("-oallow_root");
  } else if (options.allow_other || privileged) {
    args.push_back("-oallow_other");
  }
  if (privileged && !has("nosuid")) args.push_back("-osuid");
  if (privileged && !has("nodev")) args.push_back("-odev");
  // The kernel then refuses changes by itself, opening for writing included.
  if (!options.can_change()) args.push_back("-oro");
  for (const std::string& option : given) args.push_back(absl::StrCat("-o", option));
  return args;
}

absl::Status MountSession(fuse_session* session, const std::string& mountpoint) {
  StderrCapture capture;
  const bool mounted = fuse_session_mount(session, mountpoint.c_str()) == 0;
  const std::string printed = capture.Finish();
  if (!mounted) return absl::UnavailableError(absl::StrCat("mount on '", mountpoint, "': ", OneLine(printed)));
  fputs(printed.c_str(), stderr);  // warnings
  return absl::OkStatus();
}

UniqueFd OpenReadahead(unsigned major, unsigned minor) {
  return UniqueFd(
      open(absl::StrCat("/sys/class/bdi/", major, ":", minor, "/read_ahead_kb").c_str(), O_WRONLY | O_CLOEXEC));
}

}  // namespace acetate::fusefs
