// What a container has used, as its cgroups count it. What they do not count, since a controller is not there or the
// kernel is older, is not known; what is copied up is for fusefs to say. Functions may be called from any thread, by
// whoever may read the cgroups.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace acetate::launcher {

struct CgroupStatistics {
  std::optional<uint64_t> cpu_us;  // CPU time of all its processes, also of those that have ended
  std::optional<uint64_t> memory_bytes;
  std::optional<uint64_t> memory_peak_bytes;
  std::optional<uint64_t> processes;  // and threads
  std::optional<uint64_t> io_read_bytes;
  std::optional<uint64_t> io_written_bytes;
  std::optional<uint64_t> oom_kills;        // processes killed for want of memory
  std::optional<uint64_t> copied_up_bytes;  // of files of the image, to the writable layer
};

// Their names, in this order, where they are written down.
struct StatisticsField {
  const char* name;
  std::optional<uint64_t> CgroupStatistics::*value;
};
inline constexpr StatisticsField kStatisticsFields[] = {
    {"cpu_us", &CgroupStatistics::cpu_us},
    {"memory_bytes", &CgroupStatistics::memory_bytes},
    {"memory_peak_bytes", &CgroupStatistics::memory_peak_bytes},
    {"processes", &CgroupStatistics::processes},
    {"io_read_bytes", &CgroupStatistics::io_read_bytes},
    {"io_written_bytes", &CgroupStatistics::io_written_bytes},
    {"oom_kills", &CgroupStatistics::oom_kills},
    {"copied_up_bytes", &CgroupStatistics::copied_up_bytes},
};

// From a container's cgroups, of either version.
CgroupStatistics ReadCgroupStatistics(const std::vector<std::string>& directories);

// The sum of the "rbytes=" and "wbytes=" of io.stat (v2), or of the "Read" and "Write" of
// blkio.throttle.io_service_bytes_recursive (v1), over all devices.
void AddIoStatistics(absl::string_view text, CgroupStatistics* statistics);

}  // namespace acetate::launcher
