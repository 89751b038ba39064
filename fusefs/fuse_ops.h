// The kernel's requests, one handler for each: decode, call the union, reply exactly once. The only unit that sees
// fuse_req_t.
#pragma once

#include <string>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"
#include "common/mutex.h"
#include "fusefs/libfuse.h"
#include "fusefs/options.h"
#include "fusefs/stats.h"
#include "fusefs/union_fs.h"

namespace acetate::fusefs {

// Names that the kernel was told are missing in the root. In other directories they go with the directory when that is
// forgotten; the root is never forgotten. Thread-safe.
class MissingInRoot {
 public:
  // False when there are so many that the kernel must not remember this one.
  bool Add(const char* name);
  std::vector<std::string> Take();

 private:
  Mutex mu_;
  absl::flat_hash_set<std::string> names_ ABSL_GUARDED_BY(mu_);
};

// What every handler is given; outlives the session.
struct FuseContext {
  UnionFs* fs;
  Stats* stats;
  const Options* options;
  fuse_session* session = nullptr;  // set by NewFuseSession
  bool guards_flags = false;        // the kernel lets only the owner change flags; set by INIT
  MissingInRoot missing = {};
};

// The kernel forgets all of the union that is not in use. Not to be called from a handler, nor with a lock that one
// takes: the kernel may have to wait for our answers first.
void ForgetInKernel(FuseContext* context);

// A libfuse session over `context`; null after libfuse has said why on its log. The caller mounts, runs and destroys
// it.
fuse_session* NewFuseSession(FuseContext* context, fuse_args* args);

// Reads and answers requests until the session ends: unmounted, or told to exit. One thread, which answers each request
// before it reads the next. Returns 0, or an errno value when reading failed.
int RunLoop(fuse_session* session);

}  // namespace acetate::fusefs
