#include "launcher/cgroup_stats.h"

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "launcher/files.h"

namespace acetate::launcher {
namespace {

// A file that holds a number, or lines of a key and one.
std::optional<uint64_t> ReadNumber(const std::string& directory, const char* file, absl::string_view key = "") {
  for (absl::string_view line : absl::StrSplit(ReadFileOrEmpty(absl::StrCat(directory, "/", file)), '\n')) {
    uint64_t number;
    if (!absl::ConsumePrefix(&line, key)) continue;
    if (absl::SimpleAtoi(absl::StripAsciiWhitespace(line), &number)) return number;
  }
  return std::nullopt;
}

void Keep(std::optional<uint64_t> value, std::optional<uint64_t>* field) {
  if (value.has_value()) *field = value;
}

void Add(uint64_t number, std::optional<uint64_t>* field) { *field = field->value_or(0) + number; }

void ReadOne(const std::string& directory, CgroupStatistics* statistics) {
  // v1 has the first of each pair, in nanoseconds; the two versions have no name in common but that of pids.
  if (std::optional<uint64_t> ns = ReadNumber(directory, "cpuacct.usage"); ns.has_value()) {
    statistics->cpu_us = *ns / 1000;
  }
  Keep(ReadNumber(directory, "cpu.stat", "usage_usec "), &statistics->cpu_us);
  Keep(ReadNumber(directory, "memory.usage_in_bytes"), &statistics->memory_bytes);
  Keep(ReadNumber(directory, "memory.current"), &statistics->memory_bytes);
  Keep(ReadNumber(directory, "memory.max_usage_in_bytes"), &statistics->memory_peak_bytes);
  Keep(ReadNumber(directory, "memory.peak"), &statistics->memory_peak_bytes);  // from kernel 5.19 on
  Keep(ReadNumber(directory, "pids.current"), &statistics->processes);
  Keep(ReadNumber(directory, "memory.oom_control", "oom_kill "), &statistics->oom_kills);
  Keep(ReadNumber(directory, "memory.events", "oom_kill "), &statistics->oom_kills);
  AddIoStatistics(ReadFileOrEmpty(directory + "/blkio.throttle.io_service_bytes_recursive"), statistics);
  AddIoStatistics(ReadFileOrEmpty(directory + "/io.stat"), statistics);
}

}  // namespace

void AddIoStatistics(absl::string_view text, CgroupStatistics* statistics) {
  for (absl::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    std::vector<absl::string_view> words = absl::StrSplit(line, ' ', absl::SkipEmpty());
    uint64_t number;
    if (words.size() == 3 && absl::SimpleAtoi(words[2], &number)) {  // "8:0 Read 4096"
      if (words[1] == "Read") Add(number, &statistics->io_read_bytes);
      if (words[1] == "Write") Add(number, &statistics->io_written_bytes);
    }
    for (absl::string_view word : words) {  // "8:0 rbytes=4096 wbytes=0 ..."
      if (absl::ConsumePrefix(&word, "rbytes=") && absl::SimpleAtoi(word, &number)) {
        Add(number, &statistics->io_read_bytes);
      } else if (absl::ConsumePrefix(&word, "wbytes=") && absl::SimpleAtoi(word, &number)) {
        Add(number, &statistics->io_written_bytes);
      }
    }
  }
}

CgroupStatistics ReadCgroupStatistics(const std::vector<std::string>& directories) {
  CgroupStatistics statistics;
  for (const std::string& directory : directories) ReadOne(directory, &statistics);
  return statistics;
}

}  // namespace acetate::launcher
