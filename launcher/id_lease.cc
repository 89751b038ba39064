#include "launcher/id_lease.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <memory>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/errno_or.h"
#include "common/syscalls.h"

namespace acetate::launcher {
namespace {

constexpr char kPrefix[] = "ids-";

bool ParseName(absl::string_view name, IdSlice* slice) {
  if (!absl::ConsumePrefix(&name, kPrefix)) return false;
  const std::vector<absl::string_view> numbers = absl::StrSplit(name, '-');
  return numbers.size() == 2 && absl::SimpleAtoi(numbers[0], &slice->first) &&
         absl::SimpleAtoi(numbers[1], &slice->count);
}

// All leases, each with whether its owner lives.
std::vector<std::pair<IdSlice, bool>> AllLeases(const std::string& runtime_root) {
  std::vector<std::pair<IdSlice, bool>> leases;
  std::unique_ptr<DIR, int (*)(DIR*)> dir(opendir(runtime_root.c_str()), closedir);
  if (dir == nullptr) return leases;
  while (const dirent* entry = readdir(dir.get())) {
    IdSlice slice;
    if (!ParseName(entry->d_name, &slice)) continue;
    ErrnoOr<UniqueFd> fd = sys::OpenAt(dirfd(dir.get()), entry->d_name, O_RDWR | O_NOFOLLOW);
    if (!fd.ok()) continue;
    leases.emplace_back(slice, flock(fd->get(), LOCK_EX | LOCK_NB) != 0);
  }
  return leases;
}

}  // namespace

absl::StatusOr<UniqueFd> LockIds(const std::string& runtime_root) {
  ErrnoOr<UniqueFd> fd = sys::OpenAt(AT_FDCWD, runtime_root.c_str(), O_RDONLY | O_DIRECTORY);
  if (!fd.ok()) return ErrnoToStatus(fd.error(), absl::StrCat("open ", runtime_root));
  while (flock(fd->get(), LOCK_EX) != 0) {
    if (errno != EINTR) return ErrnoToStatus(Errno::Last(), absl::StrCat("lock ", runtime_root));
  }
  return *std::move(fd);
}

std::vector<IdSlice> ReadLeases(const std::string& runtime_root) {
  std::vector<IdSlice> taken;
  for (const auto& [slice, lives] : AllLeases(runtime_root)) {
    if (lives) taken.push_back(slice);
  }
  return taken;
}

std::string LeasePath(const std::string& runtime_root, const IdSlice& slice) {
  return absl::StrCat(runtime_root, "/", kPrefix, slice.first, "-", slice.count);
}

absl::StatusOr<UniqueFd> TakeLease(const std::string& runtime_root, const IdSlice& slice) {
  for (const auto& [left, lives] : AllLeases(runtime_root)) {
    if (!lives) unlink(LeasePath(runtime_root, left).c_str());
  }
  const std::string path = LeasePath(runtime_root, slice);
  ErrnoOr<UniqueFd> fd = sys::OpenAt(AT_FDCWD, path.c_str(), O_RDWR | O_CREAT | O_EXCL, 0600);
  if (!fd.ok()) return ErrnoToStatus(fd.error(), absl::StrCat("make ", path));
  if (flock(fd->get(), LOCK_EX | LOCK_NB) != 0) return ErrnoToStatus(Errno::Last(), absl::StrCat("lock ", path));
  return *std::move(fd);
}

}  // namespace acetate::launcher
