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
#include <optional>
#include <string>
#include <vector>

#include "common/errno_or.h"
#include "common/unique_fd.h"
#include "launcher/fake_ids.h"
#include "launcher/mounts.h"
#include "launcher/plan.h"
#include "launcher/profile.h"

namespace acetate::launcher {

// What PID 1 sends, each in one piece.
struct InitReport {
  enum class Kind : int32_t {
    kNamespaces,  // with fds of its namespaces, in the order of kNamespaceFiles
    kTerminal,    // with both ends of the terminal: master, slave
    kFakeIds,     // with the fd by which calls about ids are answered; `detail` is a FakeUser
    kAtExec,      // all steps but the last are done
    kFailed,
  };
  Kind kind = Kind::kFailed;
  int32_t exit_status = 0;  // of a failure
  int32_t error = 0;        // errno, when `detail` is empty
  uint32_t step = 0;        // index into Plan::container
  char detail[1024] = "";   // the whole message, for those that say more than an errno
};

static_assert(sizeof(FakeUser) <= sizeof(InitReport::detail));

// What the process is given by the one that forks it. All may be left out but the report.
struct InitInputs {
  UniqueFd union_mount;              // to become the root; without it the root is the container's already
  std::vector<UniqueFd> cgroups;     // the cgroup.procs files to join
  std::vector<UniqueFd> namespaces;  // to join, in the order of kNamespaceFiles
  UniqueFd report;                   // PID 1's end of the socket
  UniqueFd stdio[3];                 // to become stdin, stdout and stderr
  sigset_t mask = {};                // the command's signal mask
  Profile profile;
};

// Whether this process is in that namespace; `path` is of kNamespaceFiles.
bool IsPresentNamespace(const UniqueFd& ns, const char* path);

class Init {
 public:
  // `plan` must outlive the object.
  Init(const Plan& plan, InitInputs inputs);

  // In the child. Never returns.
  [[noreturn]] void Run();

 private:
  // One overload for each kind of step; returns when it is done, or ends the process with a report.
  Errno Do(const EnterOwnIds& step);
  Errno Do(const JoinNamespaces& step);
  Errno Do(const HandOutNamespaces& step);
  Errno Do(const JoinCgroups& step);
  Errno Do(const NewCgroupNamespace& step);
  Errno Do(const BringUpLoopback& step);
  Errno Do(const SetHostname& step);
  Errno Do(const SwitchRoot& step);
  Errno Do(const MountFilesystem& step);
  Errno Do(const ShowHostSys& step);
  Errno Do(const ShowEtcFile& step);
  Errno Do(const AwaitNetwork& step);
  Errno Do(const BindDevice& step);
  Errno Do(const MakeSymlink& step);
  Errno Do(const MaskPath& step);
  Errno Do(const MakeReadOnly& step);
  Errno Do(const BindVolume& step);
  Errno Do(const BindHostDevice& step);
  Errno Do(const MakeTerminal& step);
  Errno Do(const SetUlimit& step);
  Errno Do(const MakeRootReadOnly& step);
  Errno Do(const EnterWorkdir& step);
  Errno Do(const NewKeyring& step);
  Errno Do(const FakeOwnIds& step);
  Errno Do(const LimitBoundingSet& step);
  Errno Do(const BecomeUser& step);
  Errno Do(const LimitCapabilities& step);
  Errno Do(const ForbidNewPrivileges& step);
  Errno Do(const DieWithHelper& step);
  Errno Do(const StayAsInit& step);
  Errno Do(const FilterSystemCalls& step);
  Errno Do(const Execute& step);

  // init_user.cc
  struct ResolvedUser;
  static constexpr size_t kLargestImageFile = 1 << 20;  // a passwd file beyond this is none
  Errno Resolve(const BecomeUser& step, ResolvedUser* user);
  Errno BeginAs(const ResolvedUser& user);

  // Reads a file of the image into `buffer`: a regular file reached without symlinks, no longer than the buffer.
  absl::string_view ReadImageFile(const char* path, char* buffer) const;

  // The process that is to be the command gets its streams, and its terminal for a controlling one.
  Errno TakeStandardFds();
  Errno Report(InitReport::Kind kind, const int* fds, size_t count);
  // In the helper, who may reach more than the container's ids.
  void OpenHostSources();
  void OpenMountpoint();
  // In the container, whose ids the filesystems' are to be.
  void OpenNewSources();
  Errno AwaitHelper();
  Errno BecomeRoot();
  [[noreturn]] void Fail(Errno error);
  [[noreturn]] void FailWith(int exit_status);  // with report_.detail

  const Plan& plan_;
  InitInputs in_;
  UniqueFd root_;                  // of the container, once it is known
  std::vector<UniqueFd> sources_;  // of the container steps, by index
  Errno host_error_;               // what kept a source from being opened before the fork, of step `host_step_`
  uint32_t host_step_ = 0;
  std::optional<Mounter> mounter_;
  std::vector<char*> argv_;
  std::vector<char*> envp_;         // the first entry is HOME
  std::string home_;                // "HOME=...", with room for what is looked up
  std::unique_ptr<char[]> passwd_;  // room for /etc/passwd and /etc/group; null when they are not needed
  std::unique_ptr<char[]> group_;
  FakeUser fake_user_;  // whom ids are faked for
  InitReport report_;
};

}  // namespace acetate::launcher
