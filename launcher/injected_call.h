// For tests: a system call that another process is made to make, with its own rights, by ptrace(2). x86-64 only.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace acetate::launcher {

// Whether this machine is one that calls can be injected on.
#if defined(__x86_64__)
inline constexpr bool kCanInject = true;
#else
inline constexpr bool kCanInject = false;
#endif

// The threads of a process.
std::vector<pid_t> ThreadsOf(pid_t pid);

// Has thread `tid`, which sleeps in a system call and then goes on with that, open a file; the fd is closed again.
// What it failed with; 0 when it succeeded, -1 when nothing could be injected.
int InjectedOpen(pid_t tid, const std::string& path, int flags);

}  // namespace acetate::launcher
