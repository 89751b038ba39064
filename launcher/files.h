// Small files and paths: read, written and made in a few system calls, without iostreams, which a program that has
// milliseconds to start cannot afford. All are safe to call from any thread.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/errno_or.h"
#include "common/unique_fd.h"

namespace acetate::launcher {

// The contents of a file, relative to `dirfd`; EFBIG when it is longer than `limit`.
ErrnoOr<std::string> ReadFileAt(int dirfd, const char* path, size_t limit);

// The contents of a file that may be absent or unreadable: empty then. For /proc, /sys and the like, up to 1 MiB.
std::string ReadFileOrEmpty(const std::string& path);

// openat2(2) of a path that is resolved inside of a directory (RESOLVE_IN_ROOT or RESOLVE_BENEATH). Where the kernel
// cannot be sure that ".." stayed inside, since something was mounted or renamed meanwhile anywhere, it says EAGAIN;
// this asks again. Does not allocate.
ErrnoOr<UniqueFd> OpenInside(int root, const char* path, uint64_t flags, uint64_t resolve);

// Writes `text` into a file that exists, in one write(2), as kernel interfaces want it.
Errno WriteExisting(const std::string& path, absl::string_view text);

// Puts a file with this text in the place of what is at `path`: whoever reads sees the old or the new one, whole. With
// one writer at a time.
Errno ReplaceFile(const std::string& path, absl::string_view text, mode_t mode);

// Writes all of `text`, in as many write(2)s as it takes.
Errno WriteAll(int fd, absl::string_view text);

// The absolute path of an open file or directory, free of symlinks.
absl::StatusOr<std::string> PathOf(const UniqueFd& fd);

// Makes `path` and the directories above it that are missing, with `mode`.
absl::Status MakeDirectories(const std::string& path, mode_t mode);

// Removes a directory and all below it, to any depth, following nothing. What is gone already is no error.
absl::Status RemoveTree(const std::string& path);

// The first executable file called `name` in the directories of $PATH; empty when there is none.
std::string FindProgram(absl::string_view name);

}  // namespace acetate::launcher
