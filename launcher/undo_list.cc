#include "launcher/undo_list.h"

#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "common/errno_or.h"
#include "launcher/cgroup.h"
#include "launcher/files.h"

namespace acetate::launcher {
namespace {

absl::Status Undo(UndoList::Kind kind, const std::string& path) {
  switch (kind) {
    case UndoList::Kind::kFile:
      if (unlink(path.c_str()) == 0 || errno == ENOENT) return absl::OkStatus();
      return ErrnoToStatus(Errno::Last(), absl::StrCat("remove ", path));
    case UndoList::Kind::kEmptyDirectory:
      if (rmdir(path.c_str()) == 0 || errno == ENOENT || errno == ENOTEMPTY) return absl::OkStatus();
      return ErrnoToStatus(Errno::Last(), absl::StrCat("remove ", path));
    case UndoList::Kind::kTree:
      return RemoveTree(path);
    case UndoList::Kind::kCgroup:
      return RemoveCgroup(path);
    case UndoList::Kind::kLeaf:
      return LeaveLeaf(path);
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status UndoList::Run(bool keep_container) {
  absl::Status first;
  for (auto entry = entries_.rbegin(); entry != entries_.rend(); ++entry) {
    if (keep_container && entry->when == When::kWithContainer) continue;
    first.Update(Undo(entry->kind, entry->path));
  }
  entries_.clear();
  return first;
}

}  // namespace acetate::launcher
