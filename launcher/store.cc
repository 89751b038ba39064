#include "launcher/store.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/syscalls.h"
#include "launcher/files.h"

namespace acetate::launcher {
namespace {

bool Exists(const std::string& path) {
  struct stat st;
  return lstat(path.c_str(), &st) == 0;
}

// The id that holds the name; empty when the name is free.
std::string HolderOf(const StorePaths& paths) {
  char id[NAME_MAX + 1];
  ssize_t n = readlink(paths.name_link.c_str(), id, sizeof(id));
  if (n <= 0) return "";
  std::string holder(id, static_cast<size_t>(n));
  bool lives =
      Exists(absl::StrCat(paths.root, "/running/", holder)) || Exists(absl::StrCat(paths.root, "/containers/", holder));
  return lives ? holder : "";
}

absl::Status NameTaken(const std::string& name, const std::string& holder) {
  return absl::AlreadyExistsError(absl::StrCat("the name ", name, " is in use by container ", ShortId(holder)));
}

}  // namespace

absl::StatusOr<std::string> NewId() {
  char bytes[32];
  if (getrandom(bytes, sizeof(bytes), 0) != sizeof(bytes)) return ErrnoToStatus(Errno::Last(), "getrandom");
  return absl::BytesToHexString(absl::string_view(bytes, sizeof(bytes)));
}

std::string ShortId(absl::string_view id) { return std::string(id.substr(0, 12)); }

absl::StatusOr<std::string> StoreRoot() {
  const char* data = getenv("XDG_DATA_HOME");
  if (data != nullptr && data[0] == '/') return absl::StrCat(data, "/acetate");
  const char* home = getenv("HOME");
  if (home != nullptr && home[0] == '/') return absl::StrCat(home, "/.local/share/acetate");
  return absl::FailedPreconditionError("no place for the store: set HOME or XDG_DATA_HOME");
}

StorePaths PathsInStore(const std::string& root, const std::string& id, const std::string& name) {
  StorePaths paths;
  paths.root = root;
  paths.container = absl::StrCat(root, "/containers/", id);
  paths.upper = paths.container + "/upper";
  paths.work = paths.container + "/work";
  paths.config = paths.container + "/config.json";
  if (!name.empty()) paths.name_link = absl::StrCat(root, "/names/", name);
  paths.record = absl::StrCat(root, "/running/", id);
  return paths;
}

absl::Status MakeStore(const std::string& root) {
  struct stat st;
  if (lstat(root.c_str(), &st) != 0) {
    if (absl::Status s = MakeDirectories(root.substr(0, root.rfind('/')), 0755); !s.ok()) return s;
    if (mkdir(root.c_str(), 0700) != 0 && errno != EEXIST) {
      return ErrnoToStatus(Errno::Last(), absl::StrCat("make the store ", root));
    }
    if (lstat(root.c_str(), &st) != 0) return ErrnoToStatus(Errno::Last(), absl::StrCat("stat ", root));
  }
  if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 077) != 0) {
    return absl::PermissionDeniedError(absl::StrCat(
        "the store ", root, " must be a directory of your own with mode 0700; chmod it, or set XDG_DATA_HOME"));
  }
  for (const char* part : {"/running", "/names", "/containers"}) {
    if (mkdir((root + part).c_str(), 0700) != 0 && errno != EEXIST) {
      return ErrnoToStatus(Errno::Last(), absl::StrCat("make ", root, part));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckNameIsFree(const StorePaths& paths, const std::string& name) {
  std::string holder = HolderOf(paths);
  return holder.empty() ? absl::OkStatus() : NameTaken(name, holder);
}

absl::Status TakeName(const StorePaths& paths, const std::string& id, const std::string& name) {
  // The second try is for a name whose holder is gone.
  for (int i = 0; i < 2; ++i) {
    if (symlink(id.c_str(), paths.name_link.c_str()) == 0) return absl::OkStatus();
    if (errno != EEXIST) return ErrnoToStatus(Errno::Last(), absl::StrCat("take the name ", name));
    std::string holder = HolderOf(paths);
    if (!holder.empty()) return NameTaken(name, holder);
    unlink(paths.name_link.c_str());
  }
  return absl::AlreadyExistsError(absl::StrCat("the name ", name, " was taken by another container just now"));
}

}  // namespace acetate::launcher
