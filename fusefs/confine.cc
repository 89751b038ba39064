#include "fusefs/confine.h"

#include <fcntl.h>
#include <linux/landlock.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "absl/strings/str_cat.h"
#include "common/errno_or.h"
#include "common/syscalls.h"

namespace acetate::fusefs {
namespace {

// Of Linux 5.19, 6.2, 6.7, 6.10 and 6.12, of which headers may not know yet.
constexpr int kVersionOfRefer = 2;
constexpr int kVersionOfTruncate = 3;
constexpr int kVersionOfNetwork = 4;
constexpr int kVersionOfDevices = 5;
constexpr int kVersionOfScopes = 6;
constexpr uint64_t kTruncate = 1 << 14;
constexpr uint64_t kDevices = 1 << 15;          // ioctl(2) on them
constexpr uint64_t kNetwork = 1 << 0 | 1 << 1;  // bind and connect by TCP
constexpr uint64_t kAbstractSockets = 1 << 0;
constexpr uint64_t kSignals = 1 << 1;

constexpr uint64_t kRead = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
constexpr uint64_t kAllOfVersionTwo = (LANDLOCK_ACCESS_FS_REFER << 1) - 1;

uint64_t AllOf(int version) {
  return kAllOfVersionTwo | (version >= kVersionOfTruncate ? kTruncate : 0) |
         (version >= kVersionOfDevices ? kDevices : 0);
}

Errno AllowPath(const UniqueFd& ruleset, const char* path, uint64_t access) {
  ErrnoOr<UniqueFd> fd = sys::OpenAt(AT_FDCWD, path, O_PATH);
  if (fd.error() == ENOENT) return kOk;
  if (!fd.ok()) return fd.error();
  return sys::LandlockAllowBeneath(ruleset.get(), fd->get(), access);
}

// What is needed besides the branches.
Errno AllowSurroundings(const UniqueFd& ruleset, const Options& options) {
  // The daemon's own fds, ids and times, the load, and where its clients run.
  ACETATE_RETURN_IF_ERROR(AllowPath(ruleset, "/proc", LANDLOCK_ACCESS_FS_READ_FILE));
  // How many CPUs there are, for the rings that requests come by.
  ACETATE_RETURN_IF_ERROR(AllowPath(ruleset, "/sys/devices/system", kRead));
  if (options.control_path.empty()) return kOk;
  const size_t slash = options.control_path.rfind('/');
  const std::string directory = slash == std::string::npos ? "." : options.control_path.substr(0, slash + 1);
  // The socket is made, and taken away at the end.
  return AllowPath(ruleset, directory.c_str(), LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_REMOVE_FILE);
}

ErrnoOr<UniqueFd> MakeRuleset(int version, bool with_helper, const Options& options,
                              const std::vector<OpenedBranch>& branches) {
  const uint64_t all = AllOf(version);
  const uint64_t scopes = version < kVersionOfScopes ? 0 : kAbstractSockets | (with_helper ? 0 : kSignals);
  ACETATE_ASSIGN_OR_RETURN(UniqueFd ruleset,
                           sys::LandlockCreateRuleset(all, version >= kVersionOfNetwork ? kNetwork : 0, scopes));
  const uint64_t write = all & ~(LANDLOCK_ACCESS_FS_EXECUTE | kDevices);
  for (const OpenedBranch& branch : branches) {
    const bool writable = branch.work_fd.valid();
    ACETATE_RETURN_IF_ERROR(sys::LandlockAllowBeneath(ruleset.get(), branch.fd.get(), writable ? write : kRead));
    if (writable) ACETATE_RETURN_IF_ERROR(sys::LandlockAllowBeneath(ruleset.get(), branch.work_fd.get(), write));
  }
  ACETATE_RETURN_IF_ERROR(AllowSurroundings(ruleset, options));
  return ruleset;
}

}  // namespace

absl::StatusOr<Confinement> Confinement::Prepare(const Options& options, const std::vector<OpenedBranch>& branches) {
  Confinement confinement;
  const int version = sys::LandlockVersion();
  if (version < kVersionOfRefer) return confinement;
  for (size_t i = 0; i < branches.size(); ++i) {
    // A start that fails takes away what it has made, which lies outside of the branches.
    if (branches[i].made_work) {
      return absl::FailedPreconditionError(absl::StrCat("confine: the work directory '", options.branches[i].workdir,
                                                        "' does not exist; make it, or give workdir="));
    }
  }
  for (bool with_helper : {true, false}) {
    ErrnoOr<UniqueFd> ruleset = MakeRuleset(version, with_helper, options, branches);
    if (!ruleset.ok()) return ErrnoToStatus(ruleset.error(), "confine: make the rules");
    (with_helper ? confinement.with_helper_ : confinement.alone_) = *std::move(ruleset);
  }
  return confinement;
}

absl::Status Confinement::Enter(OwnerCalls* calls) {
  if (!alone_.valid()) return absl::OkStatus();
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return ErrnoToStatus(Errno::Last(), "confine: no_new_privs");
  // The helper first, by itself: a confined process cannot reach into one that is not.
  if (calls != nullptr) {
    ErrnoOr<long> entered = calls->Call(SYS_landlock_restrict_self, with_helper_.get(), 0);
    if (!entered.ok()) return ErrnoToStatus(entered.error(), "confine the helper");
  }
  Errno entered = sys::LandlockRestrictSelf((calls != nullptr ? with_helper_ : alone_).get());
  with_helper_.Reset();
  alone_.Reset();
  return entered.ok() ? absl::OkStatus() : ErrnoToStatus(entered, "confine");
}

}  // namespace acetate::fusefs
