// What the handlers of fuse_ops have in common: how each begins, who asks, and the replies. A reply that cannot be
// delivered, since the caller is gone or the filesystem unmounted, is nobody's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "common/errno_or.h"
#include "fusefs/fuse_ops.h"

namespace acetate::fusefs {

inline FuseContext* ContextOf(fuse_req_t req) { return static_cast<FuseContext*>(fuse_req_userdata(req)); }

// Every handler begins here: the request is counted, the union returned.
UnionFs* Begin(fuse_req_t req, Opcode opcode);

Caller CallerOf(fuse_req_t req);

void Reply(fuse_req_t req, Errno error);
void Reply(fuse_req_t req, const ErrnoOr<Entry>& entry);
void ReplyAttr(fuse_req_t req, fuse_ino_t node, const ErrnoOr<struct stat>& attr);
// Of a value that the caller gave `size` bytes for; 0 asks for the length alone.
void ReplyXattr(fuse_req_t req, const ErrnoOr<std::string>& value, size_t size);

fuse_entry_param ToParam(fuse_req_t req, const Entry& entry);

// Fills a reply buffer of READDIR or READDIRPLUS.
class ReplySink : public DirSink {
 public:
  ReplySink(fuse_req_t req, size_t size, bool plus) : req_(req), buffer_(size), plus_(plus) {}

  bool Fits(absl::string_view name) override;
  void Add(const std::string& name, uint64_t next, uint64_t ino, mode_t type, const Entry* entry) override;
  void Send() { fuse_reply_buf(req_, buffer_.data(), used_); }

 private:
  fuse_req_t req_;
  std::vector<char> buffer_;
  size_t used_ = 0;
  const bool plus_;
};

}  // namespace acetate::fusefs
