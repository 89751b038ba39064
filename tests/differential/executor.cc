#include "tests/differential/executor.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "tests/differential/vocabulary.h"

namespace acetate::differential {
namespace {

// The user who does one operation. Real and effective ids change, so that access(2) asks about the same user; the
// saved ids bring root back.
class Acting {
 public:
  explicit Acting(const User& user) : changed_(user.uid != 0) {
    if (!changed_) return;
    syscall(SYS_setresgid, user.gid, user.gid, -1);
    syscall(SYS_setresuid, user.uid, user.uid, -1);
  }
  ~Acting() {
    if (!changed_) return;
    syscall(SYS_setresuid, 0, 0, -1);
    syscall(SYS_setresgid, 0, 0, -1);
  }
  Acting(const Acting&) = delete;
  Acting& operator=(const Acting&) = delete;

 private:
  const bool changed_;
};

std::string ParentOf(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
}

ino_t InodeAt(const std::string& path) {
  struct stat st;
  return !path.empty() && lstat(path.c_str(), &st) == 0 ? st.st_ino : 0;
}

// Operations after which a name that was there still names the same inode.
bool KeepsInode(const Op& op) {
  switch (op.kind) {
    case OpKind::kOpen:
    case OpKind::kTruncate:
    case OpKind::kChmod:
    case OpKind::kChown:
    case OpKind::kUtimens:
    case OpKind::kSetxattr:
    case OpKind::kRemovexattr:
    case OpKind::kMmapWrite:
    case OpKind::kLink:
      return true;
    default:
      return false;
  }
}

}  // namespace

std::string Result(long result) { return result < 0 ? ErrnoText(errno) : "ok"; }

std::string ResultWithValue(long result) { return result < 0 ? ErrnoText(errno) : absl::StrCat("ok ", result); }

Executor::Executor(UniqueFd proc_self_fd, time_t since) : proc_self_fd_(std::move(proc_self_fd)), describer_(since) {}

std::string Executor::Run(const Op& op) {
  if (op.kind == OpKind::kWalk) return absl::StrJoin(describer_.Walk(), "\n");
  const bool watches_inode = op.check && KeepsInode(op);
  const ino_t before = watches_inode ? InodeAt(op.path) : 0;
  std::string text;
  {
    Acting acting(kUsers[op.as]);
    const int slot = op.kind == OpKind::kCopyRange ? op.slot2 : op.slot;
    const bool unlinked = IsSlotOp(op.kind) && IsUnlinked(slot);
    text = Perform(op) + (unlinked ? kUnlinked : "");
  }
  if (!op.check) return text;
  if (before != 0 && InodeAt(op.path) != before) text += " (inode number changed)";
  for (const std::string& path : {op.path, op.path2}) {
    if (path.empty()) continue;
    const std::string parent = ParentOf(path);
    absl::StrAppend(&text, " | ", Escape(path), ": ", describer_.Path(path));
    if (parent != path) absl::StrAppend(&text, " | ", Escape(parent), ": ", describer_.Path(parent));
  }
  return text;
}

std::string Executor::Perform(const Op& op) {
  const char* path = op.path.c_str();
  const char* path2 = op.path2.c_str();
  const auto time = [](int64_t seconds, int64_t nanoseconds) {
    if (seconds == kTimeNow) return timespec{0, UTIME_NOW};
    if (seconds == kTimeOmit) return timespec{0, UTIME_OMIT};
    return timespec{seconds, nanoseconds};
  };
  const timespec times[2] = {time(op.atime, 0), time(op.mtime, op.mtime_ns)};
  switch (op.kind) {
    case OpKind::kOpen:
      return Open(op);
    case OpKind::kTmpfile:
      return Tmpfile(op);
    case OpKind::kClose:
      slots_[op.slot].Reset();
      return "ok";
    case OpKind::kRead:
      return Read(op);
    case OpKind::kWrite:
      return Write(op);
    case OpKind::kSeek:
      return Seek(op);
    case OpKind::kFtruncate:
      return Result(ftruncate(Slot(op), op.length));
    case OpKind::kFallocate:
      return Result(fallocate(Slot(op), op.flags, op.offset, op.length));
    case OpKind::kCopyRange:
      return CopyRange(op);
    case OpKind::kFsync:
      return Result(op.flags != 0 ? fdatasync(Slot(op)) : fsync(Slot(op)));
    case OpKind::kFstat:
      return Fstat(op);
    case OpKind::kFchmod:
      return Result(fchmod(Slot(op), op.mode));
    case OpKind::kFchown:
      return Result(fchown(Slot(op), op.uid, op.gid));
    case OpKind::kFutimens:
      return Result(futimens(Slot(op), times));
    case OpKind::kFxattr:
      return Fxattr(op);
    case OpKind::kLinkFd:
      return LinkFd(op);
    case OpKind::kMkdir:
      return Result(mkdir(path, op.mode));
    case OpKind::kRmdir:
      return Result(rmdir(path));
    case OpKind::kUnlink:
      return Result(unlink(path));
    case OpKind::kRename:
      return Result(renameat2(AT_FDCWD, path, AT_FDCWD, path2, op.flags));
    case OpKind::kLink:
      return Result(linkat(AT_FDCWD, path, AT_FDCWD, path2, op.flags));
    case OpKind::kSymlink:
      return Result(symlink(op.name.c_str(), path));
    case OpKind::kMknod:
      return Result(mknod(path, op.mode, op.rdev));
    case OpKind::kTruncate:
      return Result(truncate(path, op.length));
    case OpKind::kChmod:
      return Result(chmod(path, op.mode));
    case OpKind::kChown:
      return Result(fchownat(AT_FDCWD, path, op.uid, op.gid, op.flags));
    case OpKind::kUtimens:
      return Result(utimensat(AT_FDCWD, path, times, op.flags));
    case OpKind::kSetxattr:
      return Result(lsetxattr(path, op.name.c_str(), op.value.data(), op.value.size(), op.flags));
    case OpKind::kGetxattr:
      return Getxattr(op);
    case OpKind::kListxattr:
      return Listxattr(op);
    case OpKind::kRemovexattr:
      return Result(lremovexattr(path, op.name.c_str()));
    case OpKind::kAccess:
      return Result(syscall(SYS_faccessat2, AT_FDCWD, path, op.mode, op.flags));
    case OpKind::kStat: {
      struct stat st;
      return fstatat(AT_FDCWD, path, &st, op.flags) != 0 ? ErrnoText(errno) : "ok " + describer_.Stat(st);
    }
    case OpKind::kReadlink:
      return Readlink(op);
    case OpKind::kStatfs:
      return Statfs(op);
    case OpKind::kUmask:
      umask(op.mode);
      return "ok";
    case OpKind::kList:
      return List(op);
    case OpKind::kListWhileChanging:
      return ListWhileChanging(op);
    case OpKind::kMmapWrite:
      return MmapWrite(op);
    case OpKind::kLocks:
      return Locks(op);
    case OpKind::kRemoveTree:
      return RemoveTree(op);
    case OpKind::kWalk:
    case OpKind::kRemount:
    case OpKind::kCount:
      break;
  }
  return "unknown operation";
}

}  // namespace acetate::differential
