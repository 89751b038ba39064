#include "tests/differential/op_generator.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <tuple>

#include "absl/strings/match.h"
#include "tests/differential/describe.h"
#include "tests/differential/vocabulary.h"

namespace acetate::differential {
namespace {

constexpr int kLookEvery = 10;         // operations between two looks at the tree
constexpr size_t kLongestPath = 1800;  // deeper trees are a scene of their own

}  // namespace

void OpGenerator::Look(const std::string& root) {
  all_.clear();
  files_.clear();
  symlinks_.clear();
  xattrs_.clear();
  empty_directories_.clear();
  directories_ = {"/"};
  std::vector<std::string> pending = {""};
  while (!pending.empty()) {
    const std::string directory = std::move(pending.back());
    pending.pop_back();
    std::vector<DirectoryEntry> entries;
    ListDirectory(root + "/" + directory, entries);
    if (entries.empty() && !directory.empty()) empty_directories_.push_back(directory);
    // The order of readdir is the filesystem's: the same seed must choose the same everywhere.
    std::sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
    for (const DirectoryEntry& entry : entries) {
      const std::string path = directory.empty() ? entry.name : directory + "/" + entry.name;
      if (path.size() > kLongestPath) continue;
      all_.push_back(path);
      if (entry.type == DT_REG) files_.push_back(path);
      if (entry.type == DT_LNK) symlinks_.push_back(path);
      char names[4096];
      const ssize_t length = llistxattr((root + "/" + path).c_str(), names, sizeof(names));
      for (ssize_t at = 0; at < length; at += strlen(names + at) + 1) xattrs_.push_back({path, names + at});
      if (entry.type == DT_DIR) {
        directories_.push_back(path);
        pending.push_back(path);
      }
    }
  }
}

std::string OpGenerator::Existing() { return all_.empty() ? "/" : random_.Pick(all_); }

std::string OpGenerator::ExistingFile() { return files_.empty() ? Existing() : random_.Pick(files_); }

std::string OpGenerator::ExistingDirectory() { return random_.Pick(directories_); }

std::string OpGenerator::EmptyDirectory() {
  return empty_directories_.empty() ? ExistingDirectory() : random_.Pick(empty_directories_);
}

int OpGenerator::SlotFor(int access) {
  const int any = random_.Below(kSlots);
  if (random_.Percent(15)) return any;
  for (int i = 0; i < kSlots; ++i) {
    const int slot = (any + i) % kSlots;
    if (slot_access_[slot] == access || slot_access_[slot] == O_RDWR) return slot;
  }
  return any;
}

std::string OpGenerator::NewPath() {
  const std::string directory = ExistingDirectory();
  const std::string& name = random_.Percent(98) ? random_.Pick(ObjectNames()) : random_.Pick(AwkwardNames());
  return directory == "/" ? name : directory + "/" + name;
}

std::string OpGenerator::AnyPath() {
  const uint64_t die = random_.Below(100);
  if (die < 55) return Existing();
  if (die < 90) return NewPath();
  if (die < 92) return Existing() + "/";
  if (die < 94) return ExistingFile() + "/" + random_.Pick(ObjectNames());
  if (die < 96) return ExistingDirectory() + "/../" + random_.Pick(ObjectNames());
  if (die < 98) return ExistingDirectory() + "/" + random_.Pick(AwkwardNames());
  return "/";
}

Op OpGenerator::Next(const std::string& root) {
  if (steps_++ % kLookEvery == 0) Look(root);
  Op op;
  const uint64_t die = random_.Below(1000);
  if (die < 330) {
    op = SlotOp();
  } else if (die < 420) {
    op = OpenOp();
  } else if (die < 700) {
    op = NameOp();
  } else if (die < 810) {
    op = AttributeOp();
  } else if (die < 880) {
    op = XattrOp();
  } else if (die < 960) {
    op = LookOp();
  } else if (die < 993) {
    op = SceneOp();
  } else if (die < 996) {
    op.kind = OpKind::kRemount;
    op.flags = random_.Below(2);
  } else {
    op = Op();  // a walk
  }
  // Root most of the time: the others fail at most of what they try.
  op.as = random_.Percent(65) ? 0 : random_.Between(1, 2);
  op.check = random_.Percent(60);
  return op;
}

Op OpGenerator::OpenOp() {
  static const std::vector<int64_t> kAccess = {O_RDONLY, O_RDONLY, O_WRONLY, O_RDWR, O_RDWR, O_RDWR, O_RDWR, O_PATH};
  Op op;
  op.kind = OpKind::kOpen;
  op.slot = random_.Below(kSlots);
  op.flags = random_.Pick(kAccess);
  op.mode = random_.Pick(FileModes());
  op.path = random_.Percent(60) ? ExistingFile() : AnyPath();
  if ((op.flags & O_PATH) == 0) slot_access_[op.slot] = op.flags & O_ACCMODE;
  if (random_.Percent(40)) op.flags |= O_CREAT;
  if (random_.Percent(15)) op.flags |= O_EXCL;
  if (random_.Percent(20)) op.flags |= O_TRUNC;
  if (random_.Percent(15)) op.flags |= O_APPEND;
  if (random_.Percent(10)) op.flags |= O_NOFOLLOW;
  if (random_.Percent(5)) op.flags |= O_DIRECTORY;
  if (random_.Percent(8)) {
    op.kind = OpKind::kTmpfile;
    op.path = ExistingDirectory();
    op.flags = (random_.Percent(50) ? O_RDWR : O_WRONLY) | (random_.Percent(20) ? O_EXCL : 0);
  }
  return op;
}

Op OpGenerator::SlotOp() {
  static const std::vector<OpKind> kKinds = {
      OpKind::kClose,     OpKind::kRead,   OpKind::kRead,   OpKind::kRead,   OpKind::kWrite,     OpKind::kWrite,
      OpKind::kWrite,     OpKind::kSeek,   OpKind::kSeek,   OpKind::kFstat,  OpKind::kFtruncate, OpKind::kFallocate,
      OpKind::kCopyRange, OpKind::kFsync,  OpKind::kFstat,  OpKind::kFchmod, OpKind::kFchown,    OpKind::kFutimens,
      OpKind::kFxattr,    OpKind::kFxattr, OpKind::kLinkFd, OpKind::kLinkFd,
  };
  static const std::vector<int64_t> kFallocateModes = {
      0, FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE};
  static const std::vector<int64_t> kWhence = {SEEK_SET, SEEK_CUR, SEEK_END, SEEK_DATA, SEEK_HOLE};
  Op op;
  op.kind = random_.Pick(kKinds);
  op.slot = random_.Below(kSlots);
  switch (op.kind) {
    case OpKind::kWrite:
    case OpKind::kFtruncate:
    case OpKind::kFallocate:
      op.slot = SlotFor(O_WRONLY);
      break;
    case OpKind::kRead:
    case OpKind::kSeek:
    case OpKind::kCopyRange:
      op.slot = SlotFor(O_RDONLY);
      break;
    case OpKind::kClose:
      slot_access_[op.slot] = -1;
      break;
    default:
      break;
  }
  const auto offset = [&] { return random_.Percent(70) ? random_.Below(6000) : random_.Below(300000); };
  op.pattern = random_.Below(1000000);
  switch (op.kind) {
    case OpKind::kRead:
    case OpKind::kWrite:
      op.offset = random_.Percent(40) ? -1 : offset();
      op.length = random_.Percent(80) ? random_.Below(5000) : random_.Below(150000);
      break;
    case OpKind::kSeek:
      op.flags = random_.Pick(kWhence);
      op.offset = op.flags == SEEK_CUR ? random_.Between(-3000, 3000) : offset();
      break;
    case OpKind::kFtruncate:
      op.length = random_.Percent(3) ? -1 : offset();
      break;
    case OpKind::kFallocate:
      op.flags = random_.Pick(kFallocateModes);
      op.offset = offset();
      op.length = random_.Below(40000);
      break;
    case OpKind::kCopyRange:
      op.slot2 = SlotFor(O_WRONLY);
      op.offset = random_.Percent(50) ? 0 : offset();
      op.offset2 = offset();
      op.length = random_.Below(20000);
      break;
    case OpKind::kFsync:
      op.flags = random_.Below(2);
      break;
    case OpKind::kFchmod:
      op.mode = random_.Pick(FileModes());
      break;
    case OpKind::kFchown:
      SetOwner(op);
      break;
    case OpKind::kFutimens:
      SetTimes(op);
      break;
    case OpKind::kFxattr:
      op.flags = random_.Below(4);
      op.name = random_.Pick(XattrNames());
      if (op.flags == 0) op.value = RandomBytes(random_, random_.Below(40));
      if (op.flags == 1) op.length = random_.Percent(80) ? 256 : random_.Below(20);
      break;
    case OpKind::kLinkFd:
      op.path = NewPath();
      break;
    default:
      break;
  }
  return op;
}

Op OpGenerator::NameOp() {
  static const std::vector<OpKind> kKinds = {
      OpKind::kMkdir,  OpKind::kMkdir,  OpKind::kRmdir,   OpKind::kRmdir,  OpKind::kUnlink,
      OpKind::kUnlink, OpKind::kRename, OpKind::kRename,  OpKind::kRename, OpKind::kRename,
      OpKind::kLink,   OpKind::kLink,   OpKind::kSymlink, OpKind::kMknod,  OpKind::kMknod,
  };
  Op op;
  op.kind = random_.Pick(kKinds);
  const uint64_t die = random_.Below(100);
  switch (op.kind) {
    case OpKind::kMkdir:
      op.path = random_.Percent(80) ? NewPath() : AnyPath();
      op.mode = random_.Pick(DirectoryModes());
      break;
    case OpKind::kRmdir:
      op.path = random_.Percent(50) ? EmptyDirectory() : random_.Percent(60) ? ExistingDirectory() : AnyPath();
      break;
    case OpKind::kUnlink:
      op.path = random_.Percent(70) ? ExistingFile() : AnyPath();
      break;
    case OpKind::kRename:
      op.path = random_.Percent(85) ? Existing() : AnyPath();
      op.path2 = random_.Percent(40) ? Existing() : AnyPath();
      op.flags = die < 60   ? 0
                 : die < 75 ? RENAME_NOREPLACE
                 : die < 95 ? RENAME_EXCHANGE
                 : die < 97 ? RENAME_WHITEOUT
                            : 3;
      break;
    case OpKind::kLink:
      op.path = random_.Percent(85) ? ExistingFile() : AnyPath();
      op.path2 = random_.Percent(80) ? NewPath() : AnyPath();
      op.flags = random_.Percent(30) ? AT_SYMLINK_FOLLOW : 0;
      break;
    case OpKind::kSymlink:
      op.path = random_.Percent(85) ? NewPath() : AnyPath();
      op.name = random_.Pick(SymlinkTargets());
      break;
    default:
      op.path = random_.Percent(85) ? NewPath() : AnyPath();
      op.mode = random_.Percent(30) ? S_IFREG | random_.Pick(FileModes()) : random_.Pick(NodeModes());
      if (S_ISCHR(op.mode) || S_ISBLK(op.mode)) op.rdev = random_.Percent(20) ? 0 : makedev(240, random_.Below(9));
  }
  return op;
}

void OpGenerator::SetTimes(Op& op) {
  const auto time = [&](int64_t& seconds) {
    const uint64_t die = random_.Below(100);
    seconds = die < 15 ? kTimeNow : die < 30 ? kTimeOmit : random_.Between(0, 2000000000);
  };
  time(op.atime);
  time(op.mtime);
  op.mtime_ns = random_.Below(1000000000);
}

// Not both -1: then all that chown does is to clear setgid bits, see Describer::Stat.
void OpGenerator::SetOwner(Op& op) {
  const uint64_t die = random_.Below(100);
  op.uid = die < 25 ? -1 : random_.Pick(Owners());
  op.gid = die >= 75 ? -1 : random_.Pick(Groups());
}

Op OpGenerator::AttributeOp() {
  static const std::vector<OpKind> kKinds = {OpKind::kTruncate, OpKind::kChmod,   OpKind::kChmod,
                                             OpKind::kChown,    OpKind::kUtimens, OpKind::kUtimens};
  Op op;
  op.kind = random_.Pick(kKinds);
  op.path = random_.Percent(80) ? Existing() : AnyPath();
  switch (op.kind) {
    case OpKind::kTruncate:
      if (random_.Percent(70)) op.path = ExistingFile();
      // Not 0: to the kernel's FUSE that is O_TRUNC, which moves the times of an empty file.
      op.length = 1 + (random_.Percent(50) ? random_.Below(6000) : random_.Below(300000));
      break;
    case OpKind::kChmod:
      op.mode = random_.Percent(50) ? random_.Pick(FileModes()) : random_.Pick(DirectoryModes());
      break;
    case OpKind::kChown:
      SetOwner(op);
      op.flags = random_.Percent(60) ? AT_SYMLINK_NOFOLLOW : 0;
      break;
    default:
      SetTimes(op);
      op.flags = random_.Percent(60) ? AT_SYMLINK_NOFOLLOW : 0;
  }
  return op;
}

Op OpGenerator::XattrOp() {
  static const std::vector<std::string> kSpecialNames = {"bad", "security.capability", "system.posix_acl_access",
                                                         "system.posix_acl_default"};
  static const std::vector<OpKind> kKinds = {OpKind::kSetxattr, OpKind::kSetxattr, OpKind::kGetxattr,
                                             OpKind::kListxattr, OpKind::kRemovexattr};
  Op op;
  op.kind = random_.Pick(kKinds);
  op.path = random_.Percent(90) ? Existing() : AnyPath();
  op.name = random_.Percent(85) ? random_.Pick(XattrNames()) : random_.Pick(kSpecialNames);
  if (!xattrs_.empty() && random_.Percent(op.kind == OpKind::kSetxattr ? 20 : 60)) {
    std::tie(op.path, op.name) = random_.Pick(xattrs_);
  }
  switch (op.kind) {
    case OpKind::kSetxattr:
      op.value = op.name == "security.capability"            ? FileCapability()
                 : absl::StartsWith(op.name, "system.posix") ? AccessList(random_)
                                                             : RandomBytes(random_, random_.Below(60));
      op.flags = random_.Percent(60) ? 0 : random_.Percent(50) ? XATTR_CREATE : XATTR_REPLACE;
      break;
    case OpKind::kGetxattr:
      op.length = random_.Percent(60) ? 256 : random_.Below(60);
      break;
    case OpKind::kListxattr:
      op.length = random_.Below(3);
      op.name.clear();
      break;
    default:
      break;
  }
  return op;
}

Op OpGenerator::LookOp() {
  static const std::vector<OpKind> kKinds = {OpKind::kStat, OpKind::kStat,     OpKind::kAccess, OpKind::kAccess,
                                             OpKind::kList, OpKind::kReadlink, OpKind::kStatfs};
  Op op;
  op.kind = random_.Pick(kKinds);
  op.path = AnyPath();
  switch (op.kind) {
    case OpKind::kStat:
      op.flags = random_.Percent(50) ? AT_SYMLINK_NOFOLLOW : 0;
      break;
    case OpKind::kAccess:
      op.mode = random_.Below(8);
      op.flags = (random_.Percent(50) ? AT_EACCESS : 0) | (random_.Percent(20) ? AT_SYMLINK_NOFOLLOW : 0);
      break;
    case OpKind::kList:
      op.path = random_.Percent(80) ? ExistingDirectory() : AnyPath();
      break;
    case OpKind::kReadlink:
      if (!symlinks_.empty() && random_.Percent(70)) op.path = random_.Pick(symlinks_);
      op.length = random_.Percent(70) ? 4096 : random_.Below(5);
      break;
    default:
      break;
  }
  return op;
}

Op OpGenerator::SceneOp() {
  static const std::vector<OpKind> kKinds = {OpKind::kListWhileChanging, OpKind::kMmapWrite,
                                             OpKind::kMmapWrite,         OpKind::kLocks,
                                             OpKind::kRemoveTree,        OpKind::kUmask};
  Op op;
  op.kind = random_.Pick(kKinds);
  op.pattern = random_.Below(1000000);
  op.path = random_.Percent(80) ? ExistingFile() : AnyPath();
  op.offset = random_.Below(10000);
  op.length = random_.Between(1, 5000);
  switch (op.kind) {
    case OpKind::kListWhileChanging:
      op.path = ExistingDirectory();
      op.offset = random_.Below(12);
      op.length = random_.Percent(80) ? random_.Between(1, 6) : random_.Between(20, 120);
      break;
    case OpKind::kMmapWrite:
      op.flags = random_.Below(2);
      break;
    case OpKind::kRemoveTree:
      op.path = Existing();
      break;
    case OpKind::kUmask:
      op.path.clear();
      op.mode = random_.Percent(50) ? 022 : random_.Percent(50) ? 0 : random_.Below(0777);
      break;
    default:
      break;
  }
  return op;
}

}  // namespace acetate::differential
