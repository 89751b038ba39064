// Executor: xattrs, symlink targets and statfs.
#include <fcntl.h>
#include <sys/statfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "tests/differential/executor.h"

namespace acetate::differential {
namespace {

std::string GetxattrText(ssize_t length, const std::string& buffer) {
  if (length < 0) return ErrnoText(errno);
  if (buffer.empty()) return absl::StrCat("ok ", length);
  return "ok " + DataText(buffer.substr(0, length));
}

}  // namespace

// op.flags: 0 set (with op.mode as its flags), 1 get, 2 list, 3 remove.
std::string Executor::Fxattr(const Op& op) {
  const int fd = Slot(op);
  const char* name = op.name.c_str();
  switch (op.flags) {
    case 0:
      return Result(fsetxattr(fd, name, op.value.data(), op.value.size(), op.mode));
    case 1: {
      std::string buffer(op.length, 0);
      return GetxattrText(fgetxattr(fd, name, buffer.data(), buffer.size()), buffer);
    }
    case 2:
      return "ok " + describer_.Xattrs("", fd);
    default:
      return Result(fremovexattr(fd, name));
  }
}

std::string Executor::Getxattr(const Op& op) {
  std::string buffer(op.length, 0);
  return GetxattrText(lgetxattr(op.path.c_str(), op.name.c_str(), buffer.data(), buffer.size()), buffer);
}

// With op.length 0 the size is asked for: it may be more than needed. With 1 the buffer is too small for any name.
std::string Executor::Listxattr(const Op& op) {
  std::string names(65536, 0);
  const ssize_t length = llistxattr(op.path.c_str(), names.data(), names.size());
  if (length < 0) return ErrnoText(errno);
  if (op.length == 0) {
    return llistxattr(op.path.c_str(), nullptr, 0) >= length ? "ok" : "asked for its size, the list is too short";
  }
  if (op.length == 1 && length > 0) return Result(llistxattr(op.path.c_str(), names.data(), 1));
  std::vector<std::string> sorted;
  for (ssize_t at = 0; at < length; at += strlen(&names[at]) + 1) sorted.push_back(Escape(&names[at]));
  std::sort(sorted.begin(), sorted.end());
  return "ok " + absl::StrJoin(sorted, ",");
}

std::string Executor::Readlink(const Op& op) {
  std::string target(std::max<int64_t>(op.length, 1), 0);
  const ssize_t length = readlink(op.path.c_str(), target.data(), op.length);
  if (length < 0) return ErrnoText(errno);
  return "ok " + Escape(target.substr(0, length));
}

std::string Executor::Statfs(const Op& op) {
  struct statfs st;
  if (statfs(op.path.c_str(), &st) != 0) return ErrnoText(errno);
  return absl::StrCat("ok namelen=", st.f_namelen, st.f_bfree <= st.f_blocks ? "" : " more free than there is");
}

}  // namespace acetate::differential
