#include "fusefs/fuse_reply.h"

#include <pthread.h>

namespace acetate::fusefs {
namespace {

// libfuse ends the threads of its rings by pthread_cancel(), which, met in a system call of a handler, would end the
// daemon.
void NeverCancelThisThread() {
  thread_local const int done = pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, nullptr);
  (void)done;
}

}  // namespace

UnionFs* Begin(fuse_req_t req, Opcode opcode) {
  NeverCancelThisThread();
  FuseContext* context = ContextOf(req);
  context->stats->Count(opcode);
  return context->fs;
}

Caller CallerOf(fuse_req_t req) {
  const fuse_ctx* ctx = fuse_req_ctx(req);
  return {ctx->uid, ctx->gid, ctx->umask};
}

void Reply(fuse_req_t req, Errno error) { fuse_reply_err(req, error.value()); }

namespace {

double AttrTimeout(const FuseContext& context, fuse_ino_t node) {
  const bool changes = context.passthrough != nullptr && context.passthrough->IsWritten(node);
  return changes ? 0 : context.options->timeout;
}

}  // namespace

fuse_entry_param ToParam(fuse_req_t req, const Entry& entry) {
  fuse_entry_param param = {};
  param.ino = entry.node;
  param.attr = entry.attr;
  param.attr_timeout = AttrTimeout(*ContextOf(req), entry.node);
  param.entry_timeout = ContextOf(req)->options->timeout;
  return param;
}

void Reply(fuse_req_t req, const ErrnoOr<Entry>& entry) {
  if (!entry.ok()) return Reply(req, entry.error());
  fuse_entry_param param = ToParam(req, *entry);
  // An entry that could not be told counts as no lookup.
  if (fuse_reply_entry(req, &param) != 0) ContextOf(req)->fs->Forget(entry->node, 1);
}

void ReplyAttr(fuse_req_t req, fuse_ino_t node, const ErrnoOr<struct stat>& attr) {
  if (!attr.ok()) return Reply(req, attr.error());
  fuse_reply_attr(req, &*attr, AttrTimeout(*ContextOf(req), node));
}

void ReplyXattr(fuse_req_t req, const ErrnoOr<std::string>& value, size_t size) {
  if (!value.ok()) return Reply(req, value.error());
  if (size == 0) {
    fuse_reply_xattr(req, value->size());
  } else if (value->size() > size) {
    Reply(req, Errno(ERANGE));
  } else {
    fuse_reply_buf(req, value->data(), value->size());
  }
}

bool ReplySink::Fits(absl::string_view name) {
  // Rounded up as the kernel's FUSE_DIRENT_ALIGN: struct fuse_direntplus is struct fuse_dirent with an entry before
  // it.
  const size_t head = plus_ ? 152 : 24;
  return used_ + ((head + name.size() + 7) & ~size_t{7}) <= buffer_.size();
}

void ReplySink::Add(const std::string& name, uint64_t next, uint64_t ino, mode_t type, const Entry* entry) {
  char* at = buffer_.data() + used_;
  const size_t room = buffer_.size() - used_;
  const off_t offset = static_cast<off_t>(next);
  if (!plus_) {
    struct stat st = {};
    st.st_ino = ino;
    st.st_mode = type;
    used_ += fuse_add_direntry(req_, at, room, name.c_str(), &st, offset);
    return;
  }
  fuse_entry_param param = {};
  if (entry != nullptr) {
    param = ToParam(req_, *entry);
  } else {
    param.attr.st_ino = ino;
    param.attr.st_mode = type;
  }
  used_ += fuse_add_direntry_plus(req_, at, room, name.c_str(), &param, offset);
}

}  // namespace acetate::fusefs
