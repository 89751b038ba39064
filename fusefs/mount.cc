#include "fusefs/mount.h"

#define FUSE_USE_VERSION 312
#include <fcntl.h>
#include <fuse3/fuse_lowlevel.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "common/unique_fd.h"

namespace acetate::fusefs {
namespace {

// libfuse splits options at commas that no backslash precedes.
std::string Escape(absl::string_view text) { return absl::StrReplaceAll(text, {{"\\", "\\\\"}, {",", "\\,"}}); }

// Collects in memory what is written to stderr, by this process and its children.
class StderrCapture {
 public:
  StderrCapture() : saved_(fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3)), captured_(memfd_create("stderr", MFD_CLOEXEC)) {
    if (saved_.valid() && captured_.valid()) dup2(captured_.get(), STDERR_FILENO);
  }
  ~StderrCapture() { Restore(); }

  // Puts stderr back and returns what was written, or nothing when it could not be collected.
  std::string Finish() {
    Restore();
    std::string text(16384, '\0');
    const ssize_t length = captured_.valid() ? pread(captured_.get(), text.data(), text.size(), 0) : 0;
    text.resize(std::max<ssize_t>(length, 0));
    return text;
  }

 private:
  void Restore() {
    if (saved_.valid() && captured_.valid()) dup2(saved_.get(), STDERR_FILENO);
    saved_.Reset();
  }

  UniqueFd saved_;
  UniqueFd captured_;
};

}  // namespace

std::vector<std::string> SessionArguments(const Options& options, bool privileged) {
  const std::vector<std::string>& given = options.mount_options;
  const auto has = [&](absl::string_view name) { return std::find(given.begin(), given.end(), name) != given.end(); };
  std::vector<std::string> args = {
      "fusefs",
      "-odefault_permissions",
      absl::StrCat("-ofsname=", Escape(options.fsname)),
      absl::StrCat("-osubtype=", Escape(options.subtype)),
  };
  if (options.debug) args.push_back("-d");
  if (options.allow_root) {
    args.push_back("-oallow_root");
  } else if (options.allow_other || privileged) {
    args.push_back("-oallow_other");
  }
  if (privileged && !has("nosuid")) args.push_back("-osuid");
  if (privileged && !has("nodev")) args.push_back("-odev");
  for (const std::string& option : given) args.push_back(absl::StrCat("-o", option));
  return args;
}

absl::Status MountSession(fuse_session* session, const std::string& mountpoint) {
  StderrCapture capture;
  const bool mounted = fuse_session_mount(session, mountpoint.c_str()) == 0;
  const std::string printed = capture.Finish();
  if (mounted) {
    fputs(printed.c_str(), stderr);  // warnings
    return absl::OkStatus();
  }
  std::vector<absl::string_view> lines = absl::StrSplit(printed, '\n', absl::SkipEmpty());
  return absl::UnavailableError(
      absl::StrCat("mount on '", mountpoint, "': ", lines.empty() ? "failed" : absl::StrJoin(lines, "; ")));
}

}  // namespace acetate::fusefs
