#include "fusefs/volatile_mark.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/errno_or.h"
#include "common/syscalls.h"

namespace acetate::fusefs {
namespace {

constexpr char kIncompat[] = "work/incompat";
constexpr char kVolatile[] = "work/incompat/volatile";
constexpr char kDirty[] = "work/incompat/volatile/dirty";

ErrnoOr<UniqueFd> OpenIncompat(int work_fd) {
  ErrnoOr<UniqueFd> fd = sys::OpenAt(work_fd, kIncompat, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  if (!(fd.error() == EACCES)) return fd;
  // The kernel's work directory has mode 0.
  if (fchmodat(work_fd, "work", 0700, 0) != 0) return fd;
  return sys::OpenAt(work_fd, kIncompat, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
}

}  // namespace

absl::StatusOr<VolatileMark> VolatileMark::Open(int work_fd, const std::string& path) {
  ErrnoOr<UniqueFd> work = sys::OpenAt(work_fd, ".", O_RDONLY | O_DIRECTORY);
  if (!work.ok()) return ErrnoToStatus(work.error(), absl::StrCat("work directory '", path, "'"));
  absl::StatusOr<bool> marked = IsThere(work_fd, path);
  if (!marked.ok()) return marked.status();
  if (*marked) {
    return absl::FailedPreconditionError(
        absl::StrCat("work directory '", path, "' says that its writable layer ", Advice(path)));
  }
  return VolatileMark(*std::move(work), path);
}

absl::StatusOr<bool> VolatileMark::IsThere(int work_fd, const std::string& path) {
  ErrnoOr<UniqueFd> incompat = OpenIncompat(work_fd);
  if (incompat.error() == ENOENT) return false;
  if (!incompat.ok()) return ErrnoToStatus(incompat.error(), absl::StrCat("'", path, "/", kIncompat, "'"));
  const std::unique_ptr<DIR, int (*)(DIR*)> entries(fdopendir(incompat->get()), closedir);
  if (entries == nullptr) return ErrnoToStatus(Errno::Last(), absl::StrCat("'", path, "/", kIncompat, "'"));
  [[maybe_unused]] const int owned_by_entries = incompat->Release();
  bool there = false;
  while (const dirent* entry = readdir(entries.get())) {
    const absl::string_view name = entry->d_name;
    if (name == "volatile") {
      there = true;
    } else if (name != "." && name != "..") {
      return absl::FailedPreconditionError(absl::StrCat("work directory '", path, "' was used with the feature '", name,
                                                        "', which fusefs does not know: ", path, "/", kIncompat));
    }
  }
  return there;
}

std::string VolatileMark::Advice(const std::string& path) {
  return absl::StrCat("was mounted volatile and not unmounted cleanly: throw both away, or, if the machine has not ",
                      "crashed since, remove '", path, "/", kVolatile, "'");
}

absl::Status VolatileMark::Put() {
  const std::string what = absl::StrCat("make '", path_, "/", kDirty, "'");
  for (const char* directory : {kIncompat, kVolatile}) {
    if (mkdirat(work_.get(), directory, 0700) != 0 && errno != EEXIST) return ErrnoToStatus(Errno::Last(), what);
  }
  ErrnoOr<UniqueFd> dirty = sys::OpenAt(work_.get(), kDirty, O_WRONLY | O_CREAT, 0600);
  if (!dirty.ok()) return ErrnoToStatus(dirty.error(), what);
  // On the disk before anything that it warns of.
  return fsync(dirty->get()) == 0 ? absl::OkStatus() : ErrnoToStatus(Errno::Last(), what);
}

absl::Status VolatileMark::Clear() {
  if (syncfs(work_.get()) == 0) return Remove();
  return ErrnoToStatus(Errno::Last(), absl::StrCat("write out the layer of '", path_, "', which stays marked"));
}

absl::Status VolatileMark::Remove() {
  if (unlinkat(work_.get(), kDirty, 0) != 0 || unlinkat(work_.get(), kVolatile, AT_REMOVEDIR) != 0 ||
      unlinkat(work_.get(), kIncompat, AT_REMOVEDIR) != 0) {
    return ErrnoToStatus(Errno::Last(), absl::StrCat("remove '", path_, "/", kVolatile, "'"));
  }
  return absl::OkStatus();
}

}  // namespace acetate::fusefs
