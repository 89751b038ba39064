// Keeps the calling thread on the CPU that its client runs on, behind everything else that wants to run there.
//
// The thread runs as SCHED_IDLE: a CPU that runs nothing else counts as idle, so the client that it wakes by an answer
// stays where it is. Without privilege a thread cannot leave SCHED_IDLE again (sched(7)), so the thread that follows
// does nothing else in its life.
//
// Owned by the thread that follows and used by it alone, but for Loosen().
#pragma once

#include <sched.h>
#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <optional>

#include "absl/strings/string_view.h"
#include "common/unique_fd.h"

namespace acetate::fusefs {

// The CPU that /proc/PID/stat says a thread ran on last; -1 when the text makes no sense.
int ParseLastCpu(absl::string_view stat);

// What /proc/PID/schedstat says, in nanoseconds.
struct ScheduleTimes {
  int64_t ran = 0;
  int64_t waited = 0;  // for a CPU
};
std::optional<ScheduleTimes> ParseScheduleTimes(absl::string_view schedstat);

// Of one stretch of time: whether a thread on its client's CPU waited for others than for the client. Waiting for the
// client is no harm: then there is nothing to do.
bool IsStarved(int64_t waited_ns, int64_t client_ran_ns, int64_t elapsed_ns);

class CpuFollower {
 public:
  enum class View { kClear, kStarved, kBlind };

  // Puts the calling thread under SCHED_IDLE.
  CpuFollower();

  // Whether it can do its work at all.
  bool works() const { return works_; }

  // After the answer to a request of `client`. Every few requests it looks, and the thread may be on another CPU
  // afterwards. It may have to wait for a client that is in exec. 0: nobody's request.
  View Follow(pid_t client);

  // Any thread: lets the thread that follows run on all CPUs that it may, until it follows again. Where that is
  // permitted, as an ordinary one.
  void Loosen();

 private:
  // One file below /proc, kept open.
  class ProcFile {
   public:
    void Open(const char* path);
    absl::string_view Read();

   private:
    UniqueFd fd_;
    char text_[1024];
  };

  void OpenClient(pid_t client);
  View Look(pid_t client);
  void Pin(int cpu);

  const pid_t thread_;
  bool works_ = false;
  cpu_set_t allowed_;
  std::atomic<bool> loosened_{false};
  int cpu_ = -1;  // that it is pinned to
  pid_t client_ = 0;
  unsigned requests_ = 0;  // since it last looked
  int unseen_ = 0;         // clients in a row
  int starved_ = 0;        // looks in a row
  ProcFile own_times_;
  ProcFile client_stat_;
  ProcFile client_times_;
  // At the last look.
  int64_t looked_at_ns_ = 0;
  ScheduleTimes own_;
  ScheduleTimes clients_;
};

}  // namespace acetate::fusefs
