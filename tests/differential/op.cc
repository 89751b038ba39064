#include "tests/differential/op.h"

namespace acetate::differential {
namespace {

// In the order of OpKind.
const char* const kWords[] = {
    "open",        "tmpfile",
    "close",       "read",
    "write",       "seek",
    "ftruncate",   "fallocate",
    "copy_range",  "fsync",
    "fstat",       "fchmod",
    "fchown",      "futimens",
    "fxattr",      "linkfd",
    "mkdir",       "rmdir",
    "unlink",      "rename",
    "link",        "symlink",
    "mknod",       "truncate",
    "chmod",       "chown",
    "utimens",     "setxattr",
    "getxattr",    "listxattr",
    "removexattr", "access",
    "stat",        "readlink",
    "statfs",      "umask",
    "list",        "list_while_changing",
    "mmap_write",  "locks",
    "remove_tree", "walk",
    "remount",
};
static_assert(sizeof(kWords) / sizeof(kWords[0]) == static_cast<size_t>(OpKind::kCount));

}  // namespace

bool IsSlotOp(OpKind kind) { return kind >= OpKind::kRead && kind <= OpKind::kLinkFd; }

const char* KindWord(OpKind kind) { return kWords[static_cast<int>(kind)]; }

Record ToRecord(const Op& op) {
  Record record(KindWord(op.kind));
  record.Number("as", op.as);
  record.Number("check", op.check, 1);
  record.Number("slot", op.slot);
  record.Number("slot2", op.slot2);
  record.Text("path", op.path);
  record.Text("path2", op.path2);
  record.Text("name", op.name);
  record.Text("value", op.value);
  record.Hex("flags", op.flags);
  record.Octal("mode", op.mode);
  record.Number("offset", op.offset);
  record.Number("offset2", op.offset2);
  record.Number("length", op.length);
  record.Number("pattern", op.pattern);
  record.Number("uid", op.uid);
  record.Number("gid", op.gid);
  record.Hex("rdev", op.rdev);
  record.Number("atime", op.atime);
  record.Number("mtime", op.mtime);
  record.Number("mtime_ns", op.mtime_ns);
  return record;
}

std::string ToString(const Op& op) { return ToRecord(op).ToString(); }

Op OpFromRecord(const Record& record) {
  Op op;
  for (int i = 0; i < static_cast<int>(OpKind::kCount); ++i) {
    if (record.word() == kWords[i]) op.kind = static_cast<OpKind>(i);
  }
  op.as = record.GetNumber("as");
  op.check = record.GetNumber("check", 1) != 0;
  op.slot = record.GetNumber("slot");
  op.slot2 = record.GetNumber("slot2");
  op.path = record.GetText("path");
  op.path2 = record.GetText("path2");
  op.name = record.GetText("name");
  op.value = record.GetText("value");
  op.flags = record.GetNumber("flags");
  op.mode = record.GetNumber("mode");
  op.offset = record.GetNumber("offset");
  op.offset2 = record.GetNumber("offset2");
  op.length = record.GetNumber("length");
  op.pattern = record.GetNumber("pattern");
  op.uid = record.GetNumber("uid");
  op.gid = record.GetNumber("gid");
  op.rdev = record.GetNumber("rdev");
  op.atime = record.GetNumber("atime");
  op.mtime = record.GetNumber("mtime");
  op.mtime_ns = record.GetNumber("mtime_ns");
  return op;
}

}  // namespace acetate::differential
