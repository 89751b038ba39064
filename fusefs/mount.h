// Between a libfuse session and the kernel: the options the session is made with, and mounting it.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "common/unique_fd.h"
#include "fusefs/options.h"

struct fuse_session;

namespace acetate::fusefs {

// The arguments for fuse_session_new: the mount's options as -o ones. `privileged`: mounted by root, who like mount(8)
// gets a mount open to all users, with suid and devices in force unless told otherwise. `uring`: with io_uring, when
// libfuse has it.
std::vector<std::string> SessionArguments(const Options& options, bool privileged, bool uring = false);

// Mounts on an absolute path, or takes the fd of /dev/fd/N. What libfuse and fusermount3 print on failure becomes the
// Status.
absl::Status MountSession(fuse_session* session, const std::string& mountpoint);

// Where the kilobytes are written that the kernel reads ahead in a mount, by its device number. Invalid for users, who
// may not.
UniqueFd OpenReadahead(unsigned major, unsigned minor);

}  // namespace acetate::fusefs
