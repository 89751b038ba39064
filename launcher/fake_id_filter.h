// The filter for system calls of --fake_ids: calls about ids that the container does not have go to a process of
// launch's (fake_id_keeper.h), all others straight to the kernel. Of those that give files away only the ones that name
// an id other than 0 do. Native programs alone; 32-bit ones meet the kernel's refusals as without it.
#pragma once

#include "common/errno_or.h"
#include "common/unique_fd.h"
#include "launcher/seccomp_filter.h"

namespace acetate::launcher {

// `chown`: giving files away is answered, too.
SeccompProgram FakeIdFilter(bool chown);

// Installs it in the calling thread, for all that it becomes; the fd is the answering side. Needs CAP_SYS_ADMIN or
// no_new_privs; EBUSY when somebody else answers already. Allocates nothing.
ErrnoOr<UniqueFd> InstallFakeIdFilter(const SeccompProgram& program);

}  // namespace acetate::launcher
