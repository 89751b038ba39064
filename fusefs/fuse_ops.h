// The kernel's requests, one handler for each: decode, call the union, reply exactly once. The only unit that sees
// fuse_req_t.
#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "common/unique_fd.h"
#include "fusefs/libfuse.h"
#include "fusefs/options.h"
#include "fusefs/passthrough.h"
#include "fusefs/stats.h"
#include "fusefs/union_fs.h"

namespace acetate::fusefs {

// What every handler is given; outlives the session.
struct FuseContext {
  UnionFs* fs;
  Stats* stats;
  const Options* options;
  Passthrough* passthrough = nullptr;  // null without --passthrough
  fuse_session* session = nullptr;     // set by NewFuseSession
  UniqueFd readahead;                  // OpenReadahead(); invalid: it stays as it is
  bool guards_flags = false;           // the kernel lets only the owner change flags; set by INIT
  absl::Status failure;                // why INIT ended the session
};

// The kernel forgets these, and with a directory the names in it; what is mounted there is detached. Not to be called
// from a handler, nor with a lock that one takes: the kernel may have to wait for our answers first.
void ForgetInKernel(fuse_session* session, const std::vector<KernelNote>& notes);

// A libfuse session over `context`; null after libfuse has said why on its log. The caller mounts, runs and destroys
// it.
fuse_session* NewFuseSession(FuseContext* context, fuse_args* args);

}  // namespace acetate::fusefs
