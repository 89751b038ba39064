// Where the time of a launch goes (--profile): when each phase ended, noted by whichever process ends it in memory that
// all of them share. A handle, copied freely and to be kept to the end of the process; one that was not asked for notes
// nothing. Any process may note, also between fork and exec: nothing allocates but the making and the report.
#pragma once

#include <cstdint>
#include <string>

namespace acetate::launcher {

class Profile {
 public:
  // In their order. Named for what has just ended.
  enum class Phase : uint8_t {
    kPlan,
    kHostSteps,
    kUserNamespace,
    kMount,
    kDaemonStart,
    kClone,
    kInitSteps,
    kExec,
    kRun,
    kCleanUp,
  };
  static constexpr int kPhases = 10;

  Profile() = default;
  // Begins to measure.
  static Profile Start();

  // A phase ends now. Of one that ends twice the first end counts.
  void End(Phase phase) const {
    if (times_ != nullptr) Note(phase);
  }

  // A line for each phase that has ended, with its milliseconds, and one for their sum; empty if none was measured.
  std::string Report() const;

 private:
  // Nanoseconds of CLOCK_MONOTONIC; 0: not yet.
  struct Times {
    int64_t begin = 0;
    int64_t ends[kPhases] = {};
  };

  void Note(Phase phase) const;

  Times* times_ = nullptr;  // shared, never unmapped
};

}  // namespace acetate::launcher
