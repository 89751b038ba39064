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

// A branch on its way to being opened.
struct Candidate {
  const BranchSpec* spec = nullptr;
  Place place;
  std::optional<Place> work;  // of a writable one, when it exists
  bool held = false;          // in use by this union already

  bool writable() const { return spec->writable(); }
};

absl::Status CheckDistinct(const std::vector<Candidate>& branches) {
  absl::flat_hash_map<PlaceId, const Place*> seen;
  for (const Candidate& branch : branches) {
    const auto [first, inserted] = seen.emplace(branch.place.id(), &branch.place);
    if (!inserted) {
      return Refuse(absl::StrCat(branch.place.name(), " is the same directory as ", first->second->name(),
                                 "; list a layer once"));
    }
  }
  for (const Candidate& branch : branches) {
    if (!branch.work.has_value()) continue;
    const auto [first, inserted] = seen.emplace(branch.work->id(), &*branch.work);
    if (!inserted) {
      return Refuse(absl::StrCat(branch.work->name(), " is the same directory as ", first->second->name(),
                                 "; give an empty directory of its own"));
    }
  }
  return absl::OkStatus();
}

// Neither a writable layer nor a work directory may share a subtree with anything else: writing to it would change
// layers under the union's feet.
absl::Status CheckDisjoint(const std::vector<Candidate>& branches) {
  std::vector<const Place*> writable;
  std::vector<const Place*> all;
  for (const Candidate& branch : branches) {
    all.push_back(&branch.place);
    if (branch.writable()) writable.push_back(&branch.place);
    if (branch.work.has_value()) {
      writable.push_back(&*branch.work);
      all.push_back(&*branch.work);
    }
  }
  AncestorFinder in_any(all);
  for (const Place* place : writable) {
    if (const Place* outer = in_any.Find(*place)) {
      return Refuse(absl::StrCat(place->name(), " lies inside ", outer->name(), "; keep them apart"));
    }
  }
  AncestorFinder in_writable(writable);
  for (const Candidate& branch : branches) {
    if (const Place* outer = in_writable.Find(branch.place)) {
      return Refuse(absl::StrCat(branch.place.name(), " lies inside ", outer->name(), "; keep them apart"));
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
absl::StatusOr<std::optional<Place>> FindWork(const BranchSpec& spec, const Place& upper) {
  std::optional<Place> work;
  struct stat st;
  if (spec.make_workdir && stat(spec.workdir.c_str(), &st) != 0 && errno == ENOENT) {
    const size_t slash = spec.workdir.rfind('/');
    absl::StatusOr<Place> parent =
        OpenPlace("directory", slash == std::string::npos ? "." : spec.workdir.substr(0, slash + 1));
    if (!parent.ok()) return parent.status();
    absl::Status status =
        CheckSameMount(upper, *parent, absl::StrCat(kWorkDirectory, " '", spec.workdir, "' (to be made)"));
    if (!status.ok()) return status;
    return work;
  }
  absl::StatusOr<Place> found = OpenPlace(kWorkDirectory, spec.workdir);
  if (!found.ok()) return found.status();
  absl::Status status = CheckSameMount(upper, *found, found->name());
  if (status.ok()) status = CheckWritable(*found);
  if (!status.ok()) return status;
  work = *std::move(found);
  return work;
}

absl::StatusOr<Candidate> OpenCandidate(const BranchSpec& spec) {
  const bool writable = spec.writable();
  Candidate candidate;
  candidate.spec = &spec;
  absl::StatusOr<Place> place = OpenPlace(writable ? kWritableLayer : kReadOnlyLayer, spec.path);
  if (!place.ok()) return place.status();
  candidate.place = *std::move(place);
  return candidate;
}

absl::Status FindWorkOf(Candidate* candidate) {
  if (!candidate->writable()) return absl::OkStatus();
  absl::Status status = CheckWritable(candidate->place);
  if (!status.ok()) return status;
  absl::StatusOr<std::optional<Place>> work = FindWork(*candidate->spec, candidate->place);
  if (!work.ok()) return work.status();
  candidate->work = *std::move(work);
  return absl::OkStatus();
}

// What needs no lock, of all together.
absl::Status CheckTogether(std::vector<Candidate>* branches) {
  for (Candidate& branch : *branches) {
    if (branch.held) continue;
    absl::Status status = FindWorkOf(&branch);
    if (!status.ok()) return status;
  }
  absl::Status status = CheckDistinct(*branches);
  if (status.ok()) status = CheckDisjoint(*branches);
  return status;
}

// Takes a writable layer and its work directory; the latter is made when it has to be.
absl::Status TakeWritable(Candidate* branch, OpenedBranch* opened) {
  const BranchSpec& spec = *branch->spec;
  absl::Status status = CheckNoOverlayMount(branch->place.fd.get(), branch->place.name());
  if (!status.ok()) return status;
  absl::StatusOr<UniqueFd> lock = LockDirectory(branch->place.fd.get(), branch->place.name());
  if (!lock.ok()) return lock.status();
  if (!branch->work.has_value()) {
    if (mkdir(spec.workdir.c_str(), 0700) != 0) {
      return ErrnoToStatus(Errno::Last(), absl::StrCat("make the work directory '", spec.workdir, "'"));
    }
    opened->made_work = true;
    absl::StatusOr<Place> made = OpenPlace(kWorkDirectory, spec.workdir);
    if (!made.ok()) return made.status();
    branch->work = *std::move(made);
  }
  absl::StatusOr<UniqueFd> work_fd = LockDirectory(branch->work->fd.get(), branch->work->name());
  if (!work_fd.ok()) return work_fd.status();
  opened->lock_fd = *std::move(lock);
  opened->work_fd = *std::move(work_fd);
  return absl::OkStatus();
}

absl::StatusOr<OpenedBranch> Take(Candidate* branch) {
  OpenedBranch opened;
  absl::Status status = branch->writable() ? TakeWritable(branch, &opened) : absl::OkStatus();
  if (!status.ok()) {
    if (opened.made_work) rmdir(branch->spec->workdir.c_str());
    return status;
  }
  opened.fd = std::move(branch->place.fd);
  return opened;
}

// A branch that is in use, as a place to compare others with.
absl::StatusOr<Place> PlaceOf(const char* role, const std::string& path, int fd) {
  Place place{role, path};
  ErrnoOr<UniqueFd> own = sys::OpenAt(fd, ".", O_PATH | O_DIRECTORY);
  if (!own.ok()) return ErrnoToStatus(own.error(), place.name());
  place.fd = *std::move(own);
  Errno identified = Identify(&place);
  if (!identified.ok()) return ErrnoToStatus(identified, place.name());
  return place;
}

}  // namespace

absl::StatusOr<std::vector<OpenedBranch>> OpenBranches(const Options& options) {
  std::vector<Candidate> branches;
  for (const BranchSpec& spec : options.branches) {
    absl::StatusOr<Candidate> candidate = OpenCandidate(spec);
    if (!candidate.ok()) return candidate.status();
    branches.push_back(*std::move(candidate));
  }
  absl::Status status = CheckTogether(&branches);
  if (!status.ok()) return status;
  // All is well: from here on something may be made, and is taken back when something fails after all.
  std::vector<OpenedBranch> opened;
  for (Candidate& branch : branches) {
    absl::StatusOr<OpenedBranch> taken = Take(&branch);
    if (!taken.ok()) {
      for (size_t i = 0; i < opened.size(); ++i) {
        if (opened[i].made_work) rmdir(branches[i].spec->workdir.c_str());
      }
      return taken.status();
    }
    opened.push_back(*std::move(taken));
  }
  return opened;
}

absl::StatusOr<OpenedBranch> OpenBranchBeside(const BranchSpec& spec, const std::vector<HeldBranch>& others) {
  std::vector<Candidate> branches;
  absl::StatusOr<Candidate> candidate = OpenCandidate(spec);
  if (!candidate.ok()) return candidate.status();
  branches.push_back(*std::move(candidate));
  for (const HeldBranch& other : others) {
    Candidate held;
    held.spec = other.spec;
    held.held = true;
    absl::StatusOr<Place> place =
        PlaceOf(held.writable() ? kWritableLayer : kReadOnlyLayer, other.spec->path, other.fd);
    if (!place.ok()) return place.status();
    held.place = *std::move(place);
    if (other.work_fd >= 0) {
      absl::StatusOr<Place> work = PlaceOf(kWorkDirectory, other.spec->workdir, other.work_fd);
      if (!work.ok()) return work.status();
      held.work = *std::move(work);
    }
    branches.push_back(std::move(held));
  }
  absl::Status status = CheckTogether(&branches);
  if (!status.ok()) return status;
  return Take(&branches.front());
}

}  // namespace acetate::fusefs
