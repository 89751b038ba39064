#include "fusefs/open_layer.h"

#include <fcntl.h>

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/syscalls.h"
#include "fusefs/engine_layer.h"
#include "fusefs/in_use.h"
#include "fusefs/open_branches.h"
#include "fusefs/owner_branch.h"

namespace acetate::fusefs {
namespace {

MarkFamilies FamiliesOf(XattrNamespace xattrs) {
  switch (xattrs) {
    case XattrNamespace::kTrusted:
      return MarkFamilies::kTrusted;
    case XattrNamespace::kUser:
      return MarkFamilies::kUser;
    case XattrNamespace::kAuto:
      break;
  }
  return MarkFamilies::kBoth;
}

// Without a work directory the checks of a mount cannot be had as they are.
absl::StatusOr<UniqueFd> LockAlone(const std::string& path, int fd) {
  const std::string name = absl::StrCat("writable layer '", path, "'");
  absl::Status status = CheckNoOverlayMount(fd, name);
  if (!status.ok()) return status;
  return LockDirectory(fd, name);
}

}  // namespace

absl::StatusOr<OpenedLayer> OpenLayer(const CommandLine& line, bool exclusive) {
  const Options& options = line.options;
  BranchSpec upper = options.branches.front();
  Options lower_options = options;
  lower_options.branches.erase(lower_options.branches.begin());

  OpenedLayer layer;
  UniqueFd upper_fd;
  std::vector<UniqueFd> lower_fds;
  std::vector<OpenedBranch> lowers;
  if (!upper.workdir.empty()) {
    absl::StatusOr<std::vector<OpenedBranch>> opened = OpenBranches(options);
    if (!opened.ok()) return opened.status();
    lowers = *std::move(opened);
    upper_fd = std::move(lowers.front().fd);
    layer.work_fd = std::move(lowers.front().work_fd);
    layer.upper_lock = std::move(lowers.front().lock_fd);
    lowers.erase(lowers.begin());
  } else {
    ErrnoOr<UniqueFd> fd = sys::OpenAt(AT_FDCWD, upper.path.c_str(), O_PATH | O_DIRECTORY);
    if (!fd.ok()) return ErrnoToStatus(fd.error(), absl::StrCat("writable layer '", upper.path, "'"));
    upper_fd = *std::move(fd);
    if (exclusive) {
      absl::StatusOr<UniqueFd> lock = LockAlone(upper.path, upper_fd.get());
      if (!lock.ok()) return lock.status();
      layer.upper_lock = *std::move(lock);
    }
    absl::StatusOr<std::vector<OpenedBranch>> opened = OpenBranches(lower_options);
    if (!opened.ok()) return opened.status();
    lowers = *std::move(opened);
  }
  for (OpenedBranch& lower : lowers) lower_fds.push_back(std::move(lower.fd));
  if (!line.format_given && IsEngineLayer(upper_fd.get())) upper.format = WhiteoutFormat::kDotWh;
  for (size_t i = 0; i < lower_fds.size(); ++i) {
    if (IsEngineLayer(lower_fds[i].get())) lower_options.branches[i].format = WhiteoutFormat::kDotWh;
  }
  layer.reading = {FamiliesOf(options.xattr_namespace), upper.format};
  layer.calls = OwnerCalls::Start();
  layer.upper = MakeDirectoryBranch(upper, 0, std::move(upper_fd), layer.calls.get());
  if (!lower_fds.empty()) {
    absl::StatusOr<std::unique_ptr<LowerView>> view =
        LowerView::Make(lower_options, std::move(lower_fds), layer.calls.get());
    if (!view.ok()) return view.status();
    layer.lowers = *std::move(view);
  }
  return layer;
}

}  // namespace acetate::fusefs
