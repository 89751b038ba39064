#include "launcher/profile.h"

#include <sys/mman.h>

#include <ctime>

#include "absl/strings/str_format.h"

namespace acetate::launcher {
namespace {

constexpr const char* kNames[] = {"plan",  "host steps", "user namespace", "mount", "daemon start",
                                  "clone", "init steps", "exec",           "run",   "clean up"};
static_assert(sizeof(kNames) / sizeof(kNames[0]) == Profile::kPhases);

int64_t Now() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

}  // namespace

Profile Profile::Start() {
  Profile profile;
  void* memory = mmap(nullptr, sizeof(Times), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return profile;  // a launch that is not measured is still one
  profile.times_ = static_cast<Times*>(memory);
  profile.times_->begin = Now();
  return profile;
}

void Profile::Note(Phase phase) const {
  int64_t& end = times_->ends[static_cast<int>(phase)];
  if (end == 0) end = Now();
}

std::string Profile::Report() const {
  std::string text;
  if (times_ == nullptr) return text;
  int64_t last = times_->begin;
  for (int phase = 0; phase < kPhases; ++phase) {
    const int64_t end = times_->ends[phase];
    if (end == 0) continue;
    absl::StrAppendFormat(&text, "profile: %-15s %10.3f ms\n", kNames[phase], static_cast<double>(end - last) / 1e6);
    last = end;
  }
  if (!text.empty()) {
    absl::StrAppendFormat(&text, "profile: %-15s %10.3f ms\n", "all", static_cast<double>(last - times_->begin) / 1e6);
  }
  return text;
}

}  // namespace acetate::launcher
