#include "tests/differential/materialise.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>

#include "common/unique_fd.h"
#include "tests/differential/vocabulary.h"

namespace acetate::differential {
namespace {

void Check(bool ok, const std::string& what) {
  if (!ok) throw std::runtime_error(what + ": " + strerror(errno));
}

void WriteContents(const Entry& entry, const std::string& path) {
  UniqueFd fd(open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  Check(fd.valid(), "create " + path);
  Check(ftruncate(fd.get(), entry.size) == 0, "size of " + path);
  const std::string data = Pattern(entry.pattern, entry.size - entry.hole);
  const ssize_t written = pwrite(fd.get(), data.data(), data.size(), entry.hole);
  Check(written == static_cast<ssize_t>(data.size()), "write " + path);
}

void MakeObject(const Entry& entry, const std::string& path) {
  switch (entry.type) {
    case EntryType::kDirectory:
      Check(entry.path.empty() || mkdir(path.c_str(), 0700) == 0, "mkdir " + path);
      break;
    case EntryType::kXattrWhiteout:
    case EntryType::kFile:
      WriteContents(entry, path);
      break;
    case EntryType::kSymlink:
      Check(symlink(entry.target.c_str(), path.c_str()) == 0, "symlink " + path);
      break;
    case EntryType::kNode:
      Check(mknod(path.c_str(), entry.mode, entry.rdev) == 0, "mknod " + path);
      break;
    case EntryType::kWhiteout:
      Check(mknod(path.c_str(), S_IFCHR, 0) == 0, "whiteout " + path);
      break;
    case EntryType::kHardLink:
      break;
  }
}

// Order matters: chown clears set-id bits and file capabilities, and everything else but utimensat changes times.
void SetAttributes(const Entry& entry, const std::string& path) {
  Check(lchown(path.c_str(), entry.uid, entry.gid) == 0, "chown " + path);
  if (entry.type != EntryType::kSymlink) Check(chmod(path.c_str(), entry.mode & 07777) == 0, "chmod " + path);
  for (const auto& [name, value] : entry.xattrs) {
    Check(lsetxattr(path.c_str(), name.c_str(), value.data(), value.size(), 0) == 0, "setxattr " + name + " " + path);
  }
  if (entry.type == EntryType::kXattrWhiteout) {
    Check(lsetxattr(path.c_str(), "trusted.overlay.whiteout", "y", 1, 0) == 0, "whiteout " + path);
  }
  if (entry.xattr_whiteouts) Check(lsetxattr(path.c_str(), "trusted.overlay.opaque", "x", 1, 0) == 0, "mark " + path);
  if (entry.opaque) Check(lsetxattr(path.c_str(), "trusted.overlay.opaque", "y", 1, 0) == 0, "opaque " + path);
  const timespec times[2] = {{entry.atime, 0}, {entry.mtime, entry.mtime_ns}};
  Check(utimensat(AT_FDCWD, path.c_str(), times, AT_SYMLINK_NOFOLLOW) == 0, "utimens " + path);
}

}  // namespace

void Materialise(const std::vector<Entry>& entries, int layer, const std::string& root) {
  const auto path_of = [&](const Entry& entry) { return entry.path.empty() ? root : root + "/" + entry.path; };
  for (const Entry& entry : entries) {
    if (entry.layer != layer) continue;
    MakeObject(entry, path_of(entry));
    if (entry.type != EntryType::kDirectory && entry.type != EntryType::kHardLink) SetAttributes(entry, path_of(entry));
  }
  for (const Entry& entry : entries) {
    if (entry.layer != layer || entry.type != EntryType::kHardLink) continue;
    const std::string first = root + "/" + entry.target;
    Check(link(first.c_str(), path_of(entry).c_str()) == 0, "link " + path_of(entry));
  }
  // Directories last, children first: what is made inside one changes its times.
  for (auto entry = entries.rbegin(); entry != entries.rend(); ++entry) {
    if (entry->layer == layer && entry->type == EntryType::kDirectory) SetAttributes(*entry, path_of(*entry));
  }
}

}  // namespace acetate::differential
