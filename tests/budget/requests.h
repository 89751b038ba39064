// Counts the requests that the kernel sends to a mounted fusefs, by asking it (`fusefs stats MOUNTPOINT --json`). For
// tests; one thread.
#pragma once

#include <functional>
#include <map>
#include <string>

namespace acetate {

// Opcode, as linux/fuse.h names it, to a number of requests. What was not sent is not there.
using Requests = std::map<std::string, int>;

// All that the kernel has sent to the union at `mountpoint` so far. FORGET and its kin are left out: they have no
// caller, and the kernel sends them when it likes. Throws std::runtime_error when fusefs does not answer.
Requests CountRequests(const std::string& mountpoint);

// What the kernel sent while `act` ran.
Requests RequestsOf(const std::string& mountpoint, const std::function<void()>& act);

// Empty when no opcode of `spent` exceeds its number in `budget`, else one line for each that does.
std::string OverBudget(const Requests& spent, const Requests& budget);

}  // namespace acetate
