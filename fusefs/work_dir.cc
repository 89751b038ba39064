#include "fusefs/work_dir.h"

#include <dirent.h>
#include <fcntl.h>

#include <ctime>
#include <vector>

#include "absl/strings/str_cat.h"

namespace acetate::fusefs {

ErrnoOr<std::unique_ptr<WorkDir>> WorkDir::Open(const Branch* upper, int workdir_fd) {
  Errno made = upper->MkDir(workdir_fd, "work", 0700);
  if (!made.ok() && !(made == EEXIST)) return made;
  // The kernel's own work directory has mode 0, which would lock out a daemon without capabilities.
  ACETATE_ASSIGN_OR_RETURN(UniqueFd path, upper->Open(workdir_fd, "work", O_PATH | O_DIRECTORY));
  upper->Chmod(workdir_fd, "work", 0700).IgnoreError();
  // Nor may it hand down what its own parent handed down to it.
  for (const char* acl : {"system.posix_acl_default", "system.posix_acl_access"}) {
    upper->RemoveXattr(workdir_fd, "work", acl).IgnoreError();
  }
  // Counting from the time keeps clear of the names that an earlier run left.
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  uint64_t first = static_cast<uint64_t>(now.tv_sec) * 1000000000U + static_cast<uint64_t>(now.tv_nsec);
  auto work = std::unique_ptr<WorkDir>(new WorkDir(upper, std::move(path), first));
  ACETATE_ASSIGN_OR_RETURN(std::vector<RawEntry> left, upper->ReadDir(work->fd()));
  for (const RawEntry& entry : left) ACETATE_RETURN_IF_ERROR(work->Remove(entry.name));
  return work;
}

std::string WorkDir::TempName() { return absl::StrCat("#", absl::Hex(next_.fetch_add(1, std::memory_order_relaxed))); }

Errno WorkDir::Remove(const std::string& name) {
  std::vector<std::string> pending = {name};
  while (!pending.empty()) {
    std::string current = pending.back();
    Errno error = upper_->Unlink(fd(), current.c_str());
    if (error.ok() || error == ENOENT) {
      pending.pop_back();
      continue;
    }
    if (!(error == EISDIR || error == EPERM)) return error;
    error = upper_->RmDir(fd(), current.c_str());
    if (error.ok() || error == ENOENT) {
      pending.pop_back();
      continue;
    }
    if (!(error == ENOTEMPTY || error == EEXIST)) return error;
    ACETATE_RETURN_IF_ERROR(Unpack(current, &pending));
  }
  return kOk;
}

Errno WorkDir::Unpack(const std::string& name, std::vector<std::string>* pending) {
  ACETATE_ASSIGN_OR_RETURN(UniqueFd dir, upper_->Open(fd(), name.c_str(), O_PATH | O_DIRECTORY));
  // Modes are changed only where they forbid this: somebody may have the directory open, and ask for its mode.
  ErrnoOr<std::vector<RawEntry>> entries = upper_->ReadDir(dir.get());
  if (entries.error() == EACCES) {
    upper_->Chmod(fd(), name.c_str(), 0700).IgnoreError();
    entries = upper_->ReadDir(dir.get());
  }
  if (!entries.ok()) return entries.error();
  for (const RawEntry& entry : *entries) {
    const char* child = entry.name.c_str();
    auto act = [&](const auto& call) {
      Errno error = call();
      if (!(error == EACCES)) return error;
      upper_->Chmod(fd(), name.c_str(), 0700).IgnoreError();
      // Moving a directory rewrites its "..", which its own mode may forbid.
      if (entry.type == DT_DIR) upper_->Chmod(dir.get(), child, 0700).IgnoreError();
      return call();
    };
    if (entry.type != DT_DIR) {
      ACETATE_RETURN_IF_ERROR(act([&] { return upper_->Unlink(dir.get(), child); }));
    } else if (!act([&] { return upper_->RmDir(dir.get(), child); }).ok()) {
      std::string moved = TempName();
      ACETATE_RETURN_IF_ERROR(act([&] { return upper_->Rename(dir.get(), child, fd(), moved.c_str(), 0); }));
      pending->push_back(std::move(moved));
    }
  }
  return kOk;
}

void WorkDir::Sweep() {
  ErrnoOr<std::vector<RawEntry>> left = upper_->ReadDir(fd());
  if (!left.ok()) return;
  for (const RawEntry& entry : *left) {
    if (entry.name[0] == '#') Remove(entry.name).IgnoreError();
  }
}

Errno WorkDir::RemoveDirFrom(int dirfd, const char* name) {
  std::string moved = TempName();
  ACETATE_RETURN_IF_ERROR(upper_->Rename(dirfd, name, fd(), moved.c_str(), 0));
  // The name is gone; what cannot be removed now is removed at the next mount.
  Remove(moved).IgnoreError();
  return kOk;
}

}  // namespace acetate::fusefs
