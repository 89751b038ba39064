// Counts the system calls that a mounted fusefs makes to serve its clients, by tracing it (ptrace). For tests; one
// thread, which traces by another.
#pragma once

#include <sys/types.h>

#include <functional>
#include <map>
#include <string>

namespace acetate {

// A name to how often it was called. Left out is what a request costs in any case and what is not done for it: reading
// and answering it, waiting, memory, what is asked of the scheduler and of /proc (but for /proc/self/fd, the detour to
// an object); and close, which may come later: it goes with an open, which is counted.
using SystemCalls = std::map<std::string, int>;

// What the daemon called while `act` ran, and until it waited for the next request. Throws std::runtime_error when it
// cannot be traced.
SystemCalls SystemCallsOf(pid_t daemon, const std::function<void()>& act);

// Why this process may not trace its children; empty when it may.
std::string WhyNoTracing();

int Total(const SystemCalls& calls);
std::string Describe(const SystemCalls& calls);

}  // namespace acetate
