#include "fusefs/open_branches.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cstdint>
#include <optional>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/errno_or.h"
#include "common/syscalls.h"
#include "fusefs/in_use.h"

namespace acetate::fusefs {
namespace {

constexpr char kReadOnlyLayer[] = "read-only layer";
constexpr char kWritableLayer[] = "writable layer";
constexpr char kWorkDirectory[] = "work directory";

using PlaceId = std::pair<uint64_t, uint64_t>;  // device, inode

// A directory of the mount and where it is.
struct Place {
  const char* role = "";
  std::string path;
  UniqueFd fd;  // O_PATH | O_DIRECTORY
  uint64_t device = 0;
  uint64_t inode = 0;
  uint64_t mount = 0;  // 0 when the kernel (before 5.8) does not say
  uid_t owner = 0;

  PlaceId id() const { return {device, inode}; }
  std::string name() const { return absl::StrCat(role, " '", path, "'"); }
};

absl::Status Refuse(absl::string_view reason) { return absl::FailedPreconditionError(reason); }

Errno Identify(Place* place) {
  struct statx st;
  if (statx(place->fd.get(), "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_MNT_ID, &st) != 0) return Errno::Last();
  place->device = makedev(st.stx_dev_major, st.stx_dev_minor);
  place->inode = st.stx_ino;
  place->mount = (st.stx_mask & STATX_MNT_ID) != 0 ? st.stx_mnt_id : 0;
  place->owner = st.stx_uid;
  return kOk;
}

absl::StatusOr<Place> OpenPlace(const char* role, const std::string& path) {
  Place place{role, path};
  ErrnoOr<UniqueFd> fd = sys::OpenAt(AT_FDCWD, path.c_str(), O_PATH | O_DIRECTORY);
  if (!fd.ok()) return ErrnoToStatus(fd.error(), place.name());
  place.fd = *std::move(fd);
  Errno identified = Identify(&place);
  if (!identified.ok()) return ErrnoToStatus(identified, place.name());
  ErrnoOr<UniqueFd> readable = sys::OpenAt(place.fd.get(), ".", O_RDONLY | O_DIRECTORY);
  if (!readable.ok()) return ErrnoToStatus(readable.error(), absl::StrCat(place.name(), " cannot be read"));
  return place;
}

// A directory of one's own may have any mode: its owner can change that. A read-only filesystem stays what it is.
absl::Status CheckWritable(const Place& place) {
  if (faccessat(place.fd.get(), ".", W_OK | X_OK, AT_EACCESS) == 0) return absl::OkStatus();
  const Errno error = Errno::Last();
  if (error == EACCES && place.owner == geteuid()) return absl::OkStatus();
  return ErrnoToStatus(error, absl::StrCat(place.name(), " cannot be written"));
}

// Finds which of a set of directories holds another one, by walking up through "..", so that symlinks and the spelling
// of paths do not matter. As overlayfs does, only within one filesystem: `lowerdir=/` goes with an upper on a tmpfs.
// Directories once found to lie in none are remembered: siblings cost one step.
class AncestorFinder {
 public:
  explicit AncestorFinder(const std::vector<const Place*>& ancestors) {
    for (const Place* place : ancestors) ancestors_.emplace(place->id(), place);
  }

  // The nearest ancestor of `place` (itself is none), or nullptr. A parent that may not be searched ends the walk.
  const Place* Find(const Place& place) {
    std::vector<PlaceId> walked;
    PlaceId id = place.id();
    Place parent;
    int fd = place.fd.get();
    while (true) {
      ErrnoOr<UniqueFd> next = sys::OpenAt(fd, "..", O_PATH | O_DIRECTORY);
      if (!next.ok()) break;
      parent.fd = *std::move(next);
      fd = parent.fd.get();
      if (!Identify(&parent).ok() || parent.id() == id || clean_.contains(parent.id())) break;
      // Btrfs subvolumes are devices of their own within one mount.
      if (parent.device != place.device && parent.mount != place.mount) break;
      const auto found = ancestors_.find(parent.id());
      if (found != ancestors_.end()) return found->second;
      id = parent.id();
      walked.push_back(id);
    }
    clean_.insert(walked.begin(), walked.end());
    return nullptr;
  }

 private:
  absl::flat_hash_map<PlaceId, const Place*> ancestors_;
  absl::flat_hash_set<PlaceId> clean_;
};

absl::Status CheckDistinct(const std::vector<Place>& branches) {
  absl::flat_hash_map<PlaceId, const Place*> seen;
  for (const Place& branch : branches) {
    const auto [first, inserted] = seen.emplace(branch.id(), &branch);
    if (!inserted) {
      return Refuse(
          absl::StrCat(branch.name(), " is the same directory as ", first->second->name(), "; list a layer once"));
    }
  }
  return absl::OkStatus();
}

// Neither the writable layer nor the work directory may share a subtree with anything else: writing to it would change
// layers under the union's feet.
absl::Status CheckDisjoint(const std::vector<Place>& branches, const Place* work) {
  const Place& upper = branches.front();
  std::vector<const Place*> writable = {&upper};
  std::vector<const Place*> all;
  all.reserve(branches.size() + 1);
  for (const Place& branch : branches) all.push_back(&branch);
  if (work != nullptr) {
    for (const Place& branch : branches) {
      if (branch.id() == work->id()) {
        return Refuse(absl::StrCat(work->name(), " is the same directory as ", branch.name(),
                                   "; give an empty directory of its own"));
      }
    }
    writable.push_back(work);
    all.push_back(work);
  }
  AncestorFinder in_any(all);
  for (const Place* place : writable) {
    if (const Place* outer = in_any.Find(*place)) {
      return Refuse(absl::StrCat(place->name(), " lies inside ", outer->name(), "; keep them apart"));
    }
  }
  AncestorFinder in_writable(writable);
  for (const Place& branch : branches) {
    if (const Place* outer = in_writable.Find(branch)) {
      return Refuse(absl::StrCat(branch.name(), " lies inside ", outer->name(), "; keep them apart"));
    }
  }
  return absl::OkStatus();
}

// Copies are built in the work directory and published by rename, which works within one mount only.
absl::Status CheckSameMount(const Place& upper, const Place& where, absl::string_view work_name) {
  if (upper.device == where.device && upper.mount == where.mount) return absl::OkStatus();
  return Refuse(absl::StrCat(work_name, " is not on the same ", upper.device == where.device ? "mount" : "filesystem",
                             " as ", upper.name(), "; give a workdir beside it"));
}

// The existing work directory; none when it is still to be made.
absl::StatusOr<std::optional<Place>> FindWork(const Options& options, const Place& upper) {
  std::optional<Place> work;
  struct stat st;
  if (options.make_workdir && stat(options.workdir.c_str(), &st) != 0 && errno == ENOENT) {
    const size_t slash = options.workdir.rfind('/');
    absl::StatusOr<Place> parent =
        OpenPlace("directory", slash == std::string::npos ? "." : options.workdir.substr(0, slash + 1));
    if (!parent.ok()) return parent.status();
    absl::Status status =
        CheckSameMount(upper, *parent, absl::StrCat(kWorkDirectory, " '", options.workdir, "' (to be made)"));
    if (!status.ok()) return status;
    return work;
  }
  absl::StatusOr<Place> found = OpenPlace(kWorkDirectory, options.workdir);
  if (!found.ok()) return found.status();
  absl::Status status = CheckSameMount(upper, *found, found->name());
  if (status.ok()) status = CheckWritable(*found);
  if (!status.ok()) return status;
  work = *std::move(found);
  return work;
}

absl::Status OpenWritable(const Options& options, const std::vector<Place>& branches, OpenedBranches* opened) {
  const Place& upper = branches.front();
  absl::Status status = CheckWritable(upper);
  if (!status.ok()) return status;
  absl::StatusOr<std::optional<Place>> work = FindWork(options, upper);
  if (!work.ok()) return work.status();
  status = CheckDisjoint(branches, work->has_value() ? &**work : nullptr);
  if (!status.ok()) return status;
  status = CheckNoOverlayMount(upper.fd.get(), upper.name());
  if (!status.ok()) return status;
  absl::StatusOr<UniqueFd> upper_lock = LockDirectory(upper.fd.get(), upper.name());
  if (!upper_lock.ok()) return upper_lock.status();

  // All is well: from here on something may be made.
  if (!work->has_value()) {
    if (mkdir(options.workdir.c_str(), 0700) != 0) {
      return ErrnoToStatus(Errno::Last(), absl::StrCat("make the work directory '", options.workdir, "'"));
    }
    absl::StatusOr<Place> made = OpenPlace(kWorkDirectory, options.workdir);
    if (!made.ok()) return made.status();
    *work = *std::move(made);
    opened->made_work = true;
  }
  absl::StatusOr<UniqueFd> work_fd = LockDirectory((*work)->fd.get(), (*work)->name());
  if (!work_fd.ok()) return work_fd.status();
  opened->upper_lock_fd = *std::move(upper_lock);
  opened->work_fd = *std::move(work_fd);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<OpenedBranches> OpenBranches(const Options& options) {
  std::vector<Place> branches;
  for (const BranchSpec& spec : options.branches) {
    absl::StatusOr<Place> place =
        OpenPlace(spec.mode == BranchMode::kReadWrite ? kWritableLayer : kReadOnlyLayer, spec.path);
    if (!place.ok()) return place.status();
    branches.push_back(*std::move(place));
  }
  absl::Status status = CheckDistinct(branches);
  if (!status.ok()) return status;
  OpenedBranches opened;
  if (options.branches.front().mode == BranchMode::kReadWrite) {
    status = OpenWritable(options, branches, &opened);
    if (!status.ok()) return status;
  }
  for (Place& place : branches) opened.branch_fds.push_back(std::move(place.fd));
  return opened;
}

}  // namespace acetate::fusefs
