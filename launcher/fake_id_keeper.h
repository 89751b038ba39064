// The process that answers a container's calls about ids that it does not have (--fake_ids): forked by the helper, in
// the helper's namespaces, ended with the container. Where only a process of launch's stands between a program and the
// kernel, it must neither trust nor wait for anything else: paths are resolved by the kernel from the caller's own root
// and working directory, memory is copied, and whether the caller still is the caller is asked before anything is done
// to it.
//
// Which ids a process believes to have is kept where the kernel keeps a process's own: by fork and exec alike it hands
// on resource limits, of which RLIMIT_LOCKS limits nothing since Linux 2.4.25. Its soft value is the number of a set of
// ids in the keeper's table; 0 is the one that the container's processes begin with.
#pragma once

#include <sys/types.h>

#include <cstdint>

#include "absl/status/status.h"
#include "common/errno_or.h"
#include "common/unique_fd.h"
#include "launcher/fake_ids.h"

namespace acetate::launcher {

class FakeIdKeeper {
 public:
  FakeIdKeeper() = default;
  ~FakeIdKeeper() { Stop(); }
  FakeIdKeeper(FakeIdKeeper&&) = default;
  FakeIdKeeper& operator=(FakeIdKeeper&&) = default;  // of one that was not started

  // `capabilities` are the container's: without CAP_SETUID and CAP_SETGID its root changes no ids either.
  // `user_namespace` is the container's, if that is not the caller's own; the caller's pid namespace has to be the
  // host's, also for its children. The caller has a single thread.
  absl::Status Start(uint64_t capabilities, const UniqueFd& user_namespace);

  // Begins to answer. `listener` is what InstallFakeIdFilter gave; `first` is who its first process is, in which
  // RLIMIT_LOCKS has to be 0.
  Errno Answer(const UniqueFd& listener, const FakeUser& first);

  // Ends the process, and waits until it is gone.
  void Stop();

 private:
  UniqueFd pidfd_;
  UniqueFd socket_;
};

}  // namespace acetate::launcher
