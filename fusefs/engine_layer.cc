#include "fusefs/engine_layer.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "absl/strings/ascii.h"
#include "common/errno_or.h"
#include "common/syscalls.h"
#include "common/unique_fd.h"

namespace acetate::fusefs {

bool IsEngineLayer(int root) {
  constexpr ssize_t kNameLength = 26;
  struct stat self, diff;
  if (fstat(root, &self) != 0 || fstatat(root, "../diff", &diff, AT_SYMLINK_NOFOLLOW) != 0 ||
      self.st_dev != diff.st_dev || self.st_ino != diff.st_ino) {
    return false;
  }
  ErrnoOr<UniqueFd> link = sys::OpenAt(root, "../link", O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  if (!link.ok()) return false;
  char name[kNameLength + 1];
  return read(link->get(), name, sizeof(name)) == kNameLength &&
         std::all_of(name, name + kNameLength, [](char c) { return absl::ascii_isupper(c) || absl::ascii_isdigit(c); });
}

}  // namespace acetate::fusefs
