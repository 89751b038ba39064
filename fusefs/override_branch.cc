#include "fusefs/override_branch.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "fusefs/complain.h"
#include "fusefs/identity.h"
#include "fusefs/kill_suid.h"
#include "fusefs/whiteout.h"

namespace acetate::fusefs {
namespace {

constexpr char kAccessAcl[] = "system.posix_acl_access";
constexpr size_t kLongestRecord = 127;
constexpr uid_t kUnchanged = static_cast<uid_t>(-1);

// The permissions that what stands for an object has itself.
mode_t Stored(mode_t mode) { return mode & 0777; }

void Show(const StatRecord& record, struct stat* st) {
  if (record.uid != kUnchanged) st->st_uid = record.uid;
  if (record.gid != kUnchanged) st->st_gid = record.gid;
  if ((record.mode & S_IFMT) != (st->st_mode & S_IFMT)) {
    st->st_rdev = record.device;
    st->st_size = 0;
    st->st_blocks = 0;
  }
  st->st_mode = record.mode;
}

}  // namespace

OverrideBranch::OverrideBranch(std::unique_ptr<Branch> inner) : ForwardingBranch(std::move(inner)) {
  for (const char* key : {kPrivilegedRecord, kContainersRecord, kFuseOverlayfsRecord}) {
    if (!this->inner().GetXattr(root_fd(), "", key, nullptr, 0).ok()) continue;
    key_ = key;
    return;
  }
}

Errno OverrideBranch::StartRecording(OwnerRecords how) {
  if (recording()) return kOk;
  ACETATE_ASSIGN_OR_RETURN(struct stat root, inner().Stat(root_fd(), ""));
  key_ = how == OwnerRecords::kPrivileged ? kPrivilegedRecord : kContainersRecord;
  return Write(root_fd(), "", {root.st_uid, root.st_gid, root.st_mode, 0});
}

bool OverrideBranch::CanCarry(mode_t stored) const {
  // Linux keeps user.* attributes on files and directories only.
  return recording() && (S_ISREG(stored) || S_ISDIR(stored) || key_ == kPrivilegedRecord);
}

ErrnoOr<StatRecord> OverrideBranch::Read(int dirfd, const char* name, const struct stat& stored) const {
  const StatRecord none = {stored.st_uid, stored.st_gid, stored.st_mode, stored.st_rdev};
  if (!CanCarry(stored.st_mode)) return none;
  char text[kLongestRecord];
  ErrnoOr<size_t> size = inner().GetXattr(dirfd, name, key_.c_str(), text, sizeof(text));
  // Nobody but its reader can see the attributes of a file: another user's has no record for us.
  if (size.error() == ENODATA || size.error() == EOPNOTSUPP || size.error() == EACCES) return none;
  if (!size.ok() && !(size.error() == ERANGE)) return size.error();
  const absl::string_view value(text, size.ok() ? *size : 0);
  std::optional<StatRecord> record = ParseRecord(value, stored.st_mode & S_IFMT);
  if (record.has_value()) return *record;
  Complain(absl::StrCat("layer ", spec().path, ", inode ", stored.st_ino, " ('", name, "'): ", key_, " is no record: '",
                        absl::CHexEscape(value), "'"));
  return Errno(EIO);
}

Errno OverrideBranch::Write(int dirfd, const char* name, const StatRecord& record) const {
  const std::string text = FormatRecord(record);
  return inner().SetXattr(dirfd, name, key_.c_str(), text.data(), text.size(), 0);
}

ErrnoOr<StatRecord> OverrideBranch::ForNew(int dirfd, mode_t mode, dev_t device) const {
  const Creator* creator = CallerScope::Current();
  StatRecord record = {geteuid(), getegid(), mode, device};
  if (creator != nullptr) {
    record.uid = creator->uid.value_or(record.uid);
    record.gid = creator->gid.value_or(record.gid);
  }
  ACETATE_ASSIGN_OR_RETURN(struct stat parent, Stat(dirfd, ""));
  if ((parent.st_mode & S_ISGID) != 0) {
    record.gid = parent.st_gid;
    if (S_ISDIR(mode)) record.mode |= S_ISGID;
  }
  return record;
}

Errno OverrideBranch::WriteNew(int dirfd, const char* name, StatRecord record) const {
  ACETATE_ASSIGN_OR_RETURN(struct stat made, inner().Stat(dirfd, name));
  record.mode = (record.mode & ~0777U) | Stored(made.st_mode);
  return Write(dirfd, name, record);
}

ErrnoOr<UniqueFd> OverrideBranch::CreateFile(int dirfd, const char* name, int flags, const StatRecord& record) const {
  // Without a name until it has its record.
  ErrnoOr<UniqueFd> fd = inner().Open(dirfd, ".", (flags & ~(O_CREAT | O_EXCL)) | O_TMPFILE, Stored(record.mode));
  if (fd.ok()) {
    ACETATE_RETURN_IF_ERROR(WriteNew((*fd).get(), "", record));
    ACETATE_RETURN_IF_ERROR(inner().Link((*fd).get(), "", dirfd, name));
    return fd;
  }
  if (!(fd.error() == EOPNOTSUPP || fd.error() == EISDIR || fd.error() == EINVAL)) return fd;
  ACETATE_ASSIGN_OR_RETURN(UniqueFd named, inner().Open(dirfd, name, flags, Stored(record.mode)));
  auto undo = absl::MakeCleanup([&] { inner().Unlink(dirfd, name).IgnoreError(); });
  ACETATE_RETURN_IF_ERROR(WriteNew(named.get(), "", record));
  std::move(undo).Cancel();
  return named;
}

ErrnoOr<UniqueFd> OverrideBranch::Open(int dirfd, const char* name, int flags, mode_t mode) const {
  const bool nameless = (flags & O_TMPFILE) == O_TMPFILE;
  if (!recording() || !(nameless || (flags & O_CREAT) != 0)) return inner().Open(dirfd, name, flags, mode);
  ACETATE_ASSIGN_OR_RETURN(StatRecord record, ForNew(dirfd, S_IFREG | (mode & 07777), 0));
  if (!nameless) return CreateFile(dirfd, name, flags, record);
  ACETATE_ASSIGN_OR_RETURN(UniqueFd fd, inner().Open(dirfd, name, flags, Stored(mode)));
  ACETATE_RETURN_IF_ERROR(WriteNew(fd.get(), "", record));
  return fd;
}

ErrnoOr<struct stat> OverrideBranch::Stat(int dirfd, const char* name) const {
  ACETATE_ASSIGN_OR_RETURN(struct stat st, inner().Stat(dirfd, name));
  if (!CanCarry(st.st_mode)) return st;
  ACETATE_ASSIGN_OR_RETURN(StatRecord record, Read(dirfd, name, st));
  Show(record, &st);
  return st;
}

ErrnoOr<std::vector<RawEntry>> OverrideBranch::ReadDir(int dirfd, bool unread) const {
  ACETATE_ASSIGN_OR_RETURN(std::vector<RawEntry> entries, inner().ReadDir(dirfd, unread));
  if (!recording()) return entries;
  struct stat file = {};
  file.st_mode = S_IFREG;
  for (RawEntry& entry : entries) {
    if (entry.type != DT_REG) continue;
    file.st_ino = entry.ino;
    ErrnoOr<StatRecord> record = Read(dirfd, entry.name.c_str(), file);
    // One that cannot be read stays in the listing; whoever looks at it gets the error.
    if (record.ok()) entry.type = IFTODT(record->mode);
  }
  return entries;
}

Errno OverrideBranch::MkNod(int dirfd, const char* name, mode_t mode, dev_t device) const {
  if (!recording() || IsWhiteoutDevice(mode, device)) return inner().MkNod(dirfd, name, mode, device);
  ACETATE_ASSIGN_OR_RETURN(StatRecord record, ForNew(dirfd, mode, device));
  return CreateFile(dirfd, name, O_CREAT | O_EXCL | O_RDWR, record).error();
}

Errno OverrideBranch::MkDir(int dirfd, const char* name, mode_t mode) const {
  if (!recording()) return inner().MkDir(dirfd, name, mode);
  ACETATE_ASSIGN_OR_RETURN(StatRecord record, ForNew(dirfd, S_IFDIR | (mode & 07777), 0));
  ACETATE_RETURN_IF_ERROR(inner().MkDir(dirfd, name, Stored(mode)));
  const Errno error = WriteNew(dirfd, name, record);
  if (!error.ok()) inner().RmDir(dirfd, name).IgnoreError();
  return error;
}

Errno OverrideBranch::SymLink(const char* target, int dirfd, const char* name) const {
  ACETATE_RETURN_IF_ERROR(inner().SymLink(target, dirfd, name));
  if (!recording()) return kOk;
  ErrnoOr<StatRecord> record = ForNew(dirfd, S_IFLNK | 0777, 0);
  const Errno error = record.ok() ? Chown(dirfd, name, record->uid, record->gid) : record.error();
  if (!error.ok()) inner().Unlink(dirfd, name).IgnoreError();
  return error;
}

Errno OverrideBranch::Chmod(int dirfd, const char* name, mode_t mode) const {
  if (!recording()) return inner().Chmod(dirfd, name, mode);
  ACETATE_ASSIGN_OR_RETURN(struct stat st, inner().Stat(dirfd, name));
  if (!CanCarry(st.st_mode) || S_ISLNK(st.st_mode)) return inner().Chmod(dirfd, name, mode);
  ACETATE_ASSIGN_OR_RETURN(StatRecord record, Read(dirfd, name, st));
  record.mode = (record.mode & S_IFMT) | (mode & 07777);
  ACETATE_RETURN_IF_ERROR(Write(dirfd, name, record));
  return Stored(mode) == (st.st_mode & 07777) ? kOk : inner().Chmod(dirfd, name, Stored(mode));
}

Errno OverrideBranch::Chown(int dirfd, const char* name, uid_t uid, gid_t gid) const {
  if (!recording()) return inner().Chown(dirfd, name, uid, gid);
  ACETATE_ASSIGN_OR_RETURN(struct stat st, inner().Stat(dirfd, name));
  if (!CanCarry(st.st_mode)) {
    // A symlink: nothing depends on its owner, so that is kept only where the daemon may really give it away.
    const Errno error = inner().Chown(dirfd, name, uid, gid);
    return error == EPERM || error == EINVAL ? kOk : error;
  }
  ACETATE_ASSIGN_OR_RETURN(StatRecord record, Read(dirfd, name, st));
  if (uid != kUnchanged) record.uid = uid;
  if (gid != kUnchanged) record.gid = gid;
  // As every chown does (chown_common()).
  if (!S_ISDIR(record.mode)) record.mode &= ~SuidBits(record.mode);
  ACETATE_RETURN_IF_ERROR(Write(dirfd, name, record));
  // Without ids to set, this drops security.capability.
  if (S_ISREG(record.mode)) inner().Chown(dirfd, name, kUnchanged, kUnchanged).IgnoreError();
  return kOk;
}

ErrnoOr<SuidKill> OverrideBranch::KillSuid(int fd) const {
  ACETATE_ASSIGN_OR_RETURN(SuidKill kill, inner().KillSuid(fd));
  if (!recording()) return kill;
  ACETATE_ASSIGN_OR_RETURN(struct stat st, inner().Stat(fd, ""));
  ACETATE_ASSIGN_OR_RETURN(StatRecord record, Read(fd, "", st));
  const mode_t drop = SuidBits(record.mode);
  record.mode &= ~drop;
  if (drop != 0) ACETATE_RETURN_IF_ERROR(Write(fd, "", record));
  return SuidKill{.cleared = kill.cleared || drop != 0, .setgid_left = (record.mode & S_ISGID) != 0};
}

ErrnoOr<size_t> OverrideBranch::GetXattr(int dirfd, const char* name, const char* key, void* value, size_t size) const {
  if (IsRecordKey(key)) return Errno(ENODATA);
  if (recording() && absl::string_view(key) == kOwnerXattr) return GetOwner(dirfd, name, value, size);
  return inner().GetXattr(dirfd, name, key, value, size);
}

ErrnoOr<size_t> OverrideBranch::GetOwner(int dirfd, const char* name, void* value, size_t size) const {
  ACETATE_ASSIGN_OR_RETURN(struct stat st, Stat(dirfd, name));
  const std::string text = FormatOwner({st.st_uid, st.st_gid});
  if (size == 0) return text.size();
  if (size < text.size()) return Errno(ERANGE);
  memcpy(value, text.data(), text.size());
  return text.size();
}

Errno OverrideBranch::SetXattr(int dirfd, const char* name, const char* key, const void* value, size_t size,
                               int flags) const {
  if (IsRecordKey(key)) return Errno(EPERM);
  if (recording() && absl::string_view(key) == kOwnerXattr) {
    const std::optional<OwnerPair> owner = ParseOwner({static_cast<const char*>(value), size});
    return owner.has_value() ? Chown(dirfd, name, owner->uid, owner->gid) : Errno(EINVAL);
  }
  ACETATE_RETURN_IF_ERROR(inner().SetXattr(dirfd, name, key, value, size, flags));
  if (!recording() || absl::string_view(key) != kAccessAcl) return kOk;
  // An ACL sets the permissions as well.
  ACETATE_ASSIGN_OR_RETURN(struct stat st, inner().Stat(dirfd, name));
  ACETATE_ASSIGN_OR_RETURN(StatRecord record, Read(dirfd, name, st));
  record.mode = (record.mode & ~0777U) | Stored(st.st_mode);
  return Write(dirfd, name, record);
}

Errno OverrideBranch::RemoveXattr(int dirfd, const char* name, const char* key) const {
  if (IsRecordKey(key)) return Errno(ENODATA);
  if (recording() && absl::string_view(key) == kOwnerXattr) return Errno(EPERM);
  return inner().RemoveXattr(dirfd, name, key);
}

ErrnoOr<std::string> OverrideBranch::ListXattr(int dirfd, const char* name) const {
  ACETATE_ASSIGN_OR_RETURN(std::string list, inner().ListXattr(dirfd, name));
  std::string shown;
  for (absl::string_view key : absl::StrSplit(list, '\0', absl::SkipEmpty())) {
    if (!IsRecordKey(key)) absl::StrAppend(&shown, key, absl::string_view("\0", 1));
  }
  return shown;
}

}  // namespace acetate::fusefs
