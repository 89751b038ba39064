// The container's PID 1, from its birth to the exec of the command. It carries out the plan's container steps in order
// and reports through a pipe: the step that failed, or that it is about to execute the command, after which the closing
// of the pipe means that the command runs.
//
// The object is made by the helper before the fork, with all memory that is needed after it: between fork and exec
// nothing allocates and nothing is logged.
#pragma once

#include <signal.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "common/errno_or.h"
#include "common/unique_fd.h"
#include "launcher/mounts.h"
#include "launcher/plan.h"

namespace acetate::launcher {

// What PID 1 writes. Smaller than PIPE_BUF, so it arrives whole.
struct InitReport {
  int32_t exit_status = 0;  // 0: all steps but the last are done
  int32_t error = 0;        // errno, when `detail` is empty
  uint32_t step = 0;        // index into Plan::container
  char detail[1024] = "";   // the whole message, for those that say more than an errno
};

class Init {
 public:
  // `plan` must outlive the object. `cgroups` are fds of the cgroup.procs files to join; `report` is the pipe's
  // writing end.
  Init(const Plan& plan, UniqueFd union_mount, std::vector<UniqueFd> cgroups, UniqueFd report, const sigset_t& mask);

  // In the child. Never returns.
  [[noreturn]] void Run();

 private:
  // One overload for each kind of step; returns when it is done, or ends the process with a report.
  Errno Do(const JoinCgroups& step);
  Errno Do(const NewCgroupNamespace& step);
  Errno Do(const BringUpLoopback& step);
  Errno Do(const SetHostname& step);
  Errno Do(const SwitchRoot& step);
  Errno Do(const MountFilesystem& step);
  Errno Do(const BindDevice& step);
  Errno Do(const MakeSymlink& step);
  Errno Do(const MaskPath& step);
  Errno Do(const MakeReadOnly& step);
  Errno Do(const BindVolume& step);
  Errno Do(const EnterWorkdir& step);
  Errno Do(const NewKeyring& step);
  Errno Do(const LimitBoundingSet& step);
  Errno Do(const BecomeUser& step);
  Errno Do(const LimitCapabilities& step);
  Errno Do(const ForbidNewPrivileges& step);
  Errno Do(const DieWithHelper& step);
  Errno Do(const Execute& step);

  struct ResolvedUser;
  Errno Resolve(const BecomeUser& step, ResolvedUser* user);

  // Reads a file of the image into `buffer`: a regular file reached without symlinks, no longer than the buffer.
  absl::string_view ReadImageFile(const char* path, char* buffer) const;

  void OpenSources();
  [[noreturn]] void Fail(Errno error);
  [[noreturn]] void FailWith(int exit_status);  // with report_.detail

  const Plan& plan_;
  UniqueFd union_;
  std::vector<UniqueFd> cgroups_;
  UniqueFd report_pipe_;
  const sigset_t mask_;
  std::vector<UniqueFd> sources_;  // of the container steps, by index
  Mounter mounter_;
  std::vector<char*> argv_;
  std::vector<char*> envp_;         // the first entry is HOME
  std::string home_;                // "HOME=...", with room for what is looked up
  std::unique_ptr<char[]> passwd_;  // room for /etc/passwd and /etc/group; null when they are not needed
  std::unique_ptr<char[]> group_;
  InitReport report_;
};

}  // namespace acetate::launcher
