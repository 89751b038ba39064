// A branch around another one: every call goes to the inner branch, so that a subclass overrides only what it changes.
// Owns the inner branch; as thread-safe as that is.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "fusefs/branch.h"

namespace acetate::fusefs {

class ForwardingBranch : public Branch {
 public:
  explicit ForwardingBranch(std::unique_ptr<Branch> inner)
      : Branch(inner->spec(), inner->id()), inner_(std::move(inner)) {}

  int root_fd() const override { return inner_->root_fd(); }
  ErrnoOr<UniqueFd> Open(int dirfd, const char* name, int flags, mode_t mode) const override {
    return inner_->Open(dirfd, name, flags, mode);
  }
  ErrnoOr<UniqueFd> OpenBelow(int dirfd, const char* path) const override { return inner_->OpenBelow(dirfd, path); }
  ErrnoOr<struct stat> Stat(int dirfd, const char* name) const override { return inner_->Stat(dirfd, name); }
  ErrnoOr<std::vector<RawEntry>> ReadDir(int dirfd, bool unread = false) const override {
    return inner_->ReadDir(dirfd, unread);
  }
  ErrnoOr<std::string> ReadLink(int dirfd, const char* name) const override { return inner_->ReadLink(dirfd, name); }
  ErrnoOr<struct statvfs> StatFs(int dirfd) const override { return inner_->StatFs(dirfd); }

  Errno MkNod(int dirfd, const char* name, mode_t mode, dev_t device) const override {
    return inner_->MkNod(dirfd, name, mode, device);
  }
  Errno MkDir(int dirfd, const char* name, mode_t mode) const override { return inner_->MkDir(dirfd, name, mode); }
  Errno SymLink(const char* target, int dirfd, const char* name) const override {
    return inner_->SymLink(target, dirfd, name);
  }
  Errno Link(int old_dirfd, const char* old_name, int new_dirfd, const char* new_name) const override {
    return inner_->Link(old_dirfd, old_name, new_dirfd, new_name);
  }
  Errno Rename(int old_dirfd, const char* old_name, int new_dirfd, const char* new_name,
               unsigned flags) const override {
    return inner_->Rename(old_dirfd, old_name, new_dirfd, new_name, flags);
  }
  Errno Unlink(int dirfd, const char* name) const override { return inner_->Unlink(dirfd, name); }
  Errno RmDir(int dirfd, const char* name) const override { return inner_->RmDir(dirfd, name); }

  Errno Chmod(int dirfd, const char* name, mode_t mode) const override { return inner_->Chmod(dirfd, name, mode); }
  Errno Chown(int dirfd, const char* name, uid_t uid, gid_t gid) const override {
    return inner_->Chown(dirfd, name, uid, gid);
  }
  Errno SetTimes(int dirfd, const char* name, const struct timespec times[2]) const override {
    return inner_->SetTimes(dirfd, name, times);
  }
  ErrnoOr<SuidKill> KillSuid(int fd) const override { return inner_->KillSuid(fd); }

  ErrnoOr<size_t> GetXattr(int dirfd, const char* name, const char* key, void* value, size_t size) const override {
    return inner_->GetXattr(dirfd, name, key, value, size);
  }
  Errno SetXattr(int dirfd, const char* name, const char* key, const void* value, size_t size,
                 int flags) const override {
    return inner_->SetXattr(dirfd, name, key, value, size, flags);
  }
  Errno RemoveXattr(int dirfd, const char* name, const char* key) const override {
    return inner_->RemoveXattr(dirfd, name, key);
  }
  ErrnoOr<std::string> ListXattr(int dirfd, const char* name) const override { return inner_->ListXattr(dirfd, name); }

 protected:
  const Branch& inner() const { return *inner_; }

 private:
  const std::unique_ptr<Branch> inner_;
};

}  // namespace acetate::fusefs
