// What a container may use of the machine, as --memory, --cpus and the like ask for it: the values, their parsers and
// what they are in the words of each version of cgroups. Pure; nothing here looks at the machine. Errors complete the
// sentence "--flag "value" ...".
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace acetate::launcher {

// 0 and empty: not asked for.
struct ResourceLimits {
  uint64_t memory_bytes = 0;
  int64_t memory_swap = 0;          // bytes of memory and swap together; kUnlimitedSwap: no limit
  uint64_t memory_reservation = 0;  // bytes that reclaim spares
  uint64_t pids_limit = 0;
  uint64_t cpu_quota_us = 0;  // microseconds of CPU time in each kCpuPeriodUs
  uint64_t cpu_shares = 0;    // on the scale of v1, where others have 1024
  std::string cpuset_cpus;    // "0-2,4"
  std::string cpuset_mems;    // nodes of memory, written alike
  uint64_t blkio_weight = 0;  // 10 to 1000
  // A limit that cannot be enforced is told, and no error.
  bool best_effort = false;
};

inline constexpr int64_t kUnlimitedSwap = -1;
inline constexpr uint64_t kCpuPeriodUs = 100000;

// --cpus: a decimal number of CPUs, at least 0.01; 0 means no limit. Gives microseconds in each kCpuPeriodUs.
absl::StatusOr<uint64_t> ParseCpus(absl::string_view text);

// --cpu-shares: 2 to 262144; 0 means none.
absl::StatusOr<uint64_t> ParseCpuShares(absl::string_view text);

// --blkio-weight: 10 to 1000; 0 means none.
absl::StatusOr<uint64_t> ParseBlkioWeight(absl::string_view text);

// A list such as "0-2,4": the numbers in rising order, each once. At most kMostListed of them.
inline constexpr uint64_t kMostListed = 8192;
absl::StatusOr<std::vector<uint64_t>> ParseNumberList(absl::string_view text);

// What of `wanted` is not in `present`, both lists; empty when all is. `present` may be malformed: then nothing is.
std::vector<uint64_t> MissingFrom(absl::string_view present, absl::string_view wanted);

// What goes together: --memory-swap needs --memory, and holds it. An error is a whole sentence.
absl::Status CheckLimits(const ResourceLimits& limits);

// v1's shares and weights on the scales of v2, 1 to 10000, as all container runtimes do it.
uint64_t CpuWeight(uint64_t shares);
uint64_t IoWeight(uint64_t blkio_weight);

}  // namespace acetate::launcher
