#include "common/runtime_dir.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "common/errno_or.h"

namespace acetate {
namespace {

// The effective user as the user namespace above ours knows it: our own number unless this is such a namespace.
uid_t OuterUid() {
  const uid_t uid = geteuid();
  std::ifstream map("/proc/self/uid_map");
  for (uint64_t inside, outside, count; map >> inside >> outside >> count;) {
    if (uid >= inside && uid - inside < count) return static_cast<uid_t>(outside + (uid - inside));
  }
  return uid;
}

}  // namespace

absl::StatusOr<std::string> RuntimeDir() {
  const char* xdg = getenv("XDG_RUNTIME_DIR");
  std::string path;
  if (xdg != nullptr && xdg[0] == '/') {
    path = absl::StrCat(xdg, "/acetate");
  } else if (const uid_t uid = OuterUid(); uid == 0) {
    path = "/run/acetate";
  } else {
    path = absl::StrCat("/tmp/acetate-", uid);
  }
  if (mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) {
    return ErrnoToStatus(Errno::Last(), absl::StrCat("make the runtime directory ", path));
  }
  struct stat st;
  if (lstat(path.c_str(), &st) != 0) return ErrnoToStatus(Errno::Last(), absl::StrCat("stat ", path));
  if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 077) != 0) {
    return absl::PermissionDeniedError(
        absl::StrCat("runtime directory ", path,
                     " must be a directory of your own with mode 0700; remove it, or set "
                     "XDG_RUNTIME_DIR"));
  }
  return path;
}

}  // namespace acetate
