// A branch in which owners, modes and devices are recorded in an xattr of what stands for them (override_stat.h), for
// daemons that may not chown and mknod: all that is on disk belongs to the daemon's user, the mount shows the records.
//
// What an unprivileged user cannot make, or cannot attach a record to, is stored as an empty regular file whose record
// says what it is: fifos, sockets, devices. Of a recorded object the stored mode is that of the record without set-id
// and sticky bits, which would mean something to others than the union. Objects without a record, as lower layers may
// hold them, are what they are. The records are invisible, and nobody in the mount can write them.
//
// A regular file gets its name together with its record; a directory has it a moment later.
//
// Around any other branch; thread-safe if that is.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "fusefs/forwarding_branch.h"
#include "fusefs/options.h"
#include "fusefs/override_stat.h"

namespace acetate::fusefs {

class OverrideBranch : public ForwardingBranch {
 public:
  // The records of a layer are in the xattr that its root directory has one in; a layer without is shown as it is.
  explicit OverrideBranch(std::unique_ptr<Branch> inner);

  // Begins to record, in the xattr for `how` unless the layer has records already. An error says that the layer's
  // filesystem cannot keep them, or this user cannot write them.
  Errno StartRecording(OwnerRecords how);
  const std::string& key() const { return key_; }

  ErrnoOr<UniqueFd> Open(int dirfd, const char* name, int flags, mode_t mode) const override;
  ErrnoOr<struct stat> Stat(int dirfd, const char* name) const override;
  ErrnoOr<std::vector<RawEntry>> ReadDir(int dirfd, bool unread = false) const override;
  Errno MkNod(int dirfd, const char* name, mode_t mode, dev_t device) const override;
  Errno MkDir(int dirfd, const char* name, mode_t mode) const override;
  Errno SymLink(const char* target, int dirfd, const char* name) const override;
  Errno Chmod(int dirfd, const char* name, mode_t mode) const override;
  Errno Chown(int dirfd, const char* name, uid_t uid, gid_t gid) const override;
  ErrnoOr<SuidKill> KillSuid(int fd) const override;
  ErrnoOr<size_t> GetXattr(int dirfd, const char* name, const char* key, void* value, size_t size) const override;
  Errno SetXattr(int dirfd, const char* name, const char* key, const void* value, size_t size,
                 int flags) const override;
  Errno RemoveXattr(int dirfd, const char* name, const char* key) const override;
  ErrnoOr<std::string> ListXattr(int dirfd, const char* name) const override;

 private:
  bool recording() const { return !key_.empty(); }
  // Whether an object of this stored mode can have a record.
  bool CanCarry(mode_t stored) const;
  // The record of the object; made of what is stored where it has none. EIO for one that makes no sense.
  ErrnoOr<StatRecord> Read(int dirfd, const char* name, const struct stat& stored) const;
  ErrnoOr<size_t> GetOwner(int dirfd, const char* name, void* value, size_t size) const;
  Errno Write(int dirfd, const char* name, const StatRecord& record) const;
  // What an object made in the directory `dirfd` is to be: of its creator, or of the directory's group.
  ErrnoOr<StatRecord> ForNew(int dirfd, mode_t mode, dev_t device) const;
  // Writes the record of what has just been made, whose permissions a default ACL may have cut.
  Errno WriteNew(int dirfd, const char* name, StatRecord record) const;
  // Makes a regular file with a record, open for reading and writing.
  ErrnoOr<UniqueFd> CreateFile(int dirfd, const char* name, int flags, const StatRecord& record) const;

  std::string key_;  // empty: no records; fixed once the union is made
};

}  // namespace acetate::fusefs
