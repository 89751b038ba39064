#include "launcher/files.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/syscalls.h"

namespace acetate::launcher {
namespace {

struct DirCloser {
  void operator()(DIR* dir) const { closedir(dir); }
};
using UniqueDir = std::unique_ptr<DIR, DirCloser>;

ErrnoOr<UniqueDir> OpenDir(int dirfd, const char* name) {
  ACETATE_ASSIGN_OR_RETURN(UniqueFd fd, sys::OpenAt(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  DIR* dir = fdopendir(fd.get());
  if (dir == nullptr) return Errno::Last();
  (void)fd.Release();  // the stream closes it
  return UniqueDir(dir);
}

const dirent* NextEntry(const UniqueDir& dir) {
  while (const dirent* entry = readdir(dir.get())) {
    if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) return entry;
  }
  return nullptr;
}

bool IsNone(Errno error) { return error == ENOENT; }

// Empties `name` in `top`: files are unlinked, directories moved up into `top` under a name not used before. So the
// walk never holds more than two directories open, however deep the tree is.
Errno Flatten(int top, const char* name, unsigned* serial) {
  ErrnoOr<UniqueDir> dir = OpenDir(top, name);
  if (!dir.ok()) return dir.error();
  int fd = dirfd(dir->get());
  while (const dirent* entry = NextEntry(*dir)) {
    if (unlinkat(fd, entry->d_name, 0) == 0 || unlinkat(fd, entry->d_name, AT_REMOVEDIR) == 0) continue;
    char moved[32];
    do {
      snprintf(moved, sizeof(moved), ".removed-%u", ++*serial);
    } while (faccessat(top, moved, F_OK, AT_SYMLINK_NOFOLLOW) == 0);
    if (renameat(fd, entry->d_name, top, moved) != 0 && !IsNone(Errno::Last())) return Errno::Last();
  }
  return kOk;
}

Errno Empty(int top_fd) {
  unsigned serial = 0;
  // Each pass removes one level; the passes end when one finds nothing.
  for (bool found = true; found;) {
    found = false;
    ACETATE_ASSIGN_OR_RETURN(UniqueDir dir, OpenDir(top_fd, "."));
    while (const dirent* entry = NextEntry(dir)) {
      found = true;
      if (unlinkat(top_fd, entry->d_name, 0) == 0 || IsNone(Errno::Last())) continue;
      if (unlinkat(top_fd, entry->d_name, AT_REMOVEDIR) == 0) continue;
      Errno error = Flatten(top_fd, entry->d_name, &serial);
      if (error == EACCES && fchmodat(top_fd, entry->d_name, 0700, 0) == 0) {
        error = Flatten(top_fd, entry->d_name, &serial);
      }
      if (!error.ok() && !IsNone(error)) return error;
      if (unlinkat(top_fd, entry->d_name, AT_REMOVEDIR) != 0 && !IsNone(Errno::Last())) return Errno::Last();
    }
  }
  return kOk;
}

}  // namespace

ErrnoOr<UniqueFd> OpenInside(int root, const char* path, uint64_t flags, uint64_t resolve) {
  constexpr int kTries = 1000;
  for (int i = 1;; ++i) {
    ErrnoOr<UniqueFd> fd = sys::OpenAt2(root, path, flags, 0, resolve);
    if (fd.ok() || !(fd.error() == EAGAIN) || i == kTries) return fd;
  }
}

ErrnoOr<std::string> ReadFileAt(int dirfd, const char* path, size_t limit) {
  ACETATE_ASSIGN_OR_RETURN(UniqueFd fd, sys::OpenAt(dirfd, path, O_RDONLY | O_NOCTTY | O_NONBLOCK));
  std::string text;
  char buffer[4096];
  for (;;) {
    ssize_t n = read(fd.get(), buffer, sizeof(buffer));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return Errno::Last();
    if (n == 0) return text;
    text.append(buffer, static_cast<size_t>(n));
    if (text.size() > limit) return Errno(EFBIG);
  }
}

std::string ReadFileOrEmpty(const std::string& path) {
  ErrnoOr<std::string> text = ReadFileAt(AT_FDCWD, path.c_str(), 1 << 20);
  return text.ok() ? *std::move(text) : std::string();
}

Errno WriteExisting(const std::string& path, absl::string_view text) {
  ACETATE_ASSIGN_OR_RETURN(UniqueFd fd, sys::OpenAt(AT_FDCWD, path.c_str(), O_WRONLY));
  ssize_t n = write(fd.get(), text.data(), text.size());
  if (n < 0) return Errno::Last();
  return static_cast<size_t>(n) == text.size() ? kOk : Errno(EIO);
}

Errno WriteAll(int fd, absl::string_view text) {
  while (!text.empty()) {
    ssize_t n = write(fd, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return Errno::Last();
    text.remove_prefix(static_cast<size_t>(n));
  }
  return kOk;
}

Errno ReplaceFile(const std::string& path, absl::string_view text, mode_t mode) {
  std::string fresh = path + ".new";
  ACETATE_ASSIGN_OR_RETURN(UniqueFd fd, sys::OpenAt(AT_FDCWD, fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC, mode));
  Errno error = WriteAll(fd.get(), text);
  if (error.ok() && rename(fresh.c_str(), path.c_str()) != 0) error = Errno::Last();
  if (!error.ok()) unlink(fresh.c_str());
  return error;
}

absl::StatusOr<std::string> PathOf(const UniqueFd& fd) {
  char buffer[PATH_MAX];
  ssize_t n = readlink(absl::StrCat("/proc/self/fd/", fd.get()).c_str(), buffer, sizeof(buffer));
  if (n < 0) return ErrnoToStatus(Errno::Last(), "read a link in /proc/self/fd");
  if (n == sizeof(buffer)) return ErrnoToStatus(Errno(ENAMETOOLONG), "read a link in /proc/self/fd");
  return std::string(buffer, static_cast<size_t>(n));
}

absl::Status MakeDirectories(const std::string& path, mode_t mode) {
  if (mkdir(path.c_str(), mode) == 0 || errno == EEXIST) return absl::OkStatus();
  size_t slash = path.rfind('/');
  if (errno == ENOENT && slash != std::string::npos && slash > 0) {
    if (absl::Status s = MakeDirectories(path.substr(0, slash), mode); !s.ok()) return s;
    if (mkdir(path.c_str(), mode) == 0 || errno == EEXIST) return absl::OkStatus();
  }
  return ErrnoToStatus(Errno::Last(), absl::StrCat("make the directory ", path));
}

absl::Status RemoveTree(const std::string& path) {
  if (rmdir(path.c_str()) == 0 || errno == ENOENT) return absl::OkStatus();
  ErrnoOr<UniqueFd> fd = sys::OpenAt(AT_FDCWD, path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  if (!fd.ok()) return ErrnoToStatus(fd.error(), absl::StrCat("remove ", path));
  if (Errno e = Empty(fd->get()); !e.ok()) return ErrnoToStatus(e, absl::StrCat("remove what is in ", path));
  if (rmdir(path.c_str()) != 0 && errno != ENOENT) {
    return ErrnoToStatus(Errno::Last(), absl::StrCat("remove ", path));
  }
  return absl::OkStatus();
}

std::string FindProgram(absl::string_view name) {
  const char* path = getenv("PATH");
  for (absl::string_view dir : absl::StrSplit(path != nullptr ? path : "/usr/bin:/bin", ':')) {
    std::string candidate = absl::StrCat(dir.empty() ? "." : dir, "/", name);
    struct stat st;
    if (stat(candidate.c_str(), &st) == 0 && S_ISREG(st.st_mode) && access(candidate.c_str(), X_OK) == 0) {
      return candidate;
    }
  }
  return "";
}

}  // namespace acetate::launcher
