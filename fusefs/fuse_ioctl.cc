#include "fusefs/fuse_ioctl.h"

#include <linux/fs.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "fusefs/fuse_ops.h"

namespace acetate::fusefs {
namespace {

// Replies with `value` in as many bytes as the kernel wants, which takes no other number.
template <typename Value>
void ReplyValue(fuse_req_t req, const ErrnoOr<Value>& value, size_t size) {
  if (!value.ok()) {
    fuse_reply_err(req, value.error().value());
  } else if (size < sizeof(Value)) {
    fuse_reply_err(req, EINVAL);
  } else {
    // FS_IOC_GETFLAGS is declared for a long; its lower half counts, which comes first on all of our machines.
    std::string reply(size, '\0');
    memcpy(reply.data(), &*value, sizeof(Value));
    fuse_reply_ioctl(req, 0, reply.data(), reply.size());
  }
}

// Takes a value of a request by `set`.
template <typename Value, typename Set>
void TakeValue(fuse_req_t req, fuse_ino_t node, const void* input, size_t size, const Set& set) {
  auto* context = static_cast<FuseContext*>(fuse_req_userdata(req));
  if (!context->guards_flags) {
    fuse_reply_err(req, ENOTTY);
    return;
  }
  Value value = {};
  if (size < sizeof(Value)) {
    fuse_reply_err(req, EINVAL);
    return;
  }
  memcpy(&value, input, sizeof(Value));
  if (Errno error = set(value); !error.ok()) {
    fuse_reply_err(req, error.value());
    return;
  }
  // The kernel goes on to show the old change time unless told.
  fuse_lowlevel_notify_inval_inode(context->session, node, -1, 0);
  fuse_reply_ioctl(req, 0, nullptr, 0);
}

}  // namespace

void HandleIoctl(fuse_req_t req, fuse_ino_t node, unsigned command, void*, fuse_file_info*, unsigned, const void* input,
                 size_t input_size, size_t output_size) {
  NeverCancelThisThread();
  auto* context = static_cast<FuseContext*>(fuse_req_userdata(req));
  context->stats->Count(Opcode::kIoctl);
  UnionFs* fs = context->fs;
  switch (command) {
    case FS_IOC_GETFLAGS:
      return ReplyValue(req, fs->GetFlags(node), output_size);
    case FS_IOC_FSGETXATTR:
      return ReplyValue(req, fs->GetFsXattr(node), output_size);
    case FS_IOC_SETFLAGS:
      return TakeValue<unsigned>(req, node, input, input_size,
                                 [&](unsigned flags) { return fs->SetFlags(node, flags); });
    case FS_IOC_FSSETXATTR:
      return TakeValue<fsxattr>(req, node, input, input_size,
                                [&](const fsxattr& attributes) { return fs->SetFsXattr(node, attributes); });
    default:
      fuse_reply_err(req, ENOTTY);
  }
}

}  // namespace acetate::fusefs
