// The container's mounts, made through fds alone: sources are opened while the host's tree is still the root, targets
// are resolved inside of the container's root with openat2(2) after it has become the root, and move_mount(2) joins the
// two. No path that an image controls is ever mounted by name. Runs in PID 1 between fork and exec: nothing allocates.
#pragma once

#include <cstdint>

#include "common/errno_or.h"
#include "common/unique_fd.h"
#include "launcher/plan.h"

namespace acetate::launcher {

// The source of a step that shows something of the host, as a mount that is attached nowhere; an invalid fd for others.
// To be called by who may reach it there.
ErrnoOr<UniqueFd> OpenHostSource(const ContainerAction& action);

// The same for a step that mounts a new filesystem. Its files are those of who calls this.
ErrnoOr<UniqueFd> OpenNewSource(const ContainerAction& action);

enum class TargetKind { kDirectory, kFile };

// Opens (O_PATH) what is at `path` inside `root`, and makes it when it is missing, with its parents. Symlinks are
// resolved inside `root`; with RESOLVE_NO_SYMLINKS in `resolve` they are ELOOP.
ErrnoOr<UniqueFd> OpenOrMake(int root, const char* path, TargetKind kind, uint64_t resolve);

// Attaches mounts below a root directory.
class Mounter {
 public:
  explicit Mounter(int root) : root_(root) {}

  Errno Attach(const MountFilesystem& step, const UniqueFd& source);
  Errno Attach(const BindDevice& step, const UniqueFd& source);
  Errno Attach(const BindVolume& step, const UniqueFd& source);
  Errno Attach(const BindHostDevice& step, const UniqueFd& source);
  Errno Attach(const ShowHostSys& step, const UniqueFd& source);
  Errno Attach(const ShowEtcFile& step, const UniqueFd& source);
  Errno Attach(const MaskPath& step);
  Errno Attach(const MakeReadOnly& step);
  Errno Make(const MakeSymlink& step);
  // Shows a terminal as /dev/console.
  Errno AttachConsole(const UniqueFd& terminal);

 private:
  // What is at an absolute path of the container; symlinks are ELOOP.
  ErrnoOr<UniqueFd> Resolve(const std::string& path) const;
  Errno MaskDirectory(const UniqueFd& target);

  const int root_;
  int null_ = -1;   // the attached /dev/null; its owner is the list of sources
  UniqueFd empty_;  // the attached empty directory
};

}  // namespace acetate::launcher
