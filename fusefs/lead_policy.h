// Who reads the requests, decided from what was seen in the last moments. Pure: no clock, no threads.
//
// Nearly all of a round trip is waking a thread on another, idle CPU. So one thread does everything on the CPU of the
// client, as long as that CPU has nothing else to do.
#pragma once

#include <cstdint>

namespace acetate::fusefs {

enum class Lead {
  kFollow,      // one thread, on the client's CPU, which everything else there goes before (SCHED_IDLE)
  kFollowEach,  // several such: several clients at once, each on a CPU of its own
  kSeveral,     // several ordinary threads: others want the CPUs, and are to get their share; or much is read
};

inline bool Follows(Lead lead) { return lead == Lead::kFollow || lead == Lead::kFollowEach; }

// What was seen since the moment before.
struct Moment {
  int64_t now_ms = 0;
  uint64_t requests = 0;
  uint64_t switches = 0;    // requests of another client than the request before
  uint64_t bulk = 0;        // requests that read much: what the kernel reads ahead is copied while the client goes on
  int runnable = 0;         // threads of the machine that run or want to, those not counted that read requests
  bool stuck = false;       // requests wait, and none was read
  bool starved = false;     // a following thread did not get its CPU
  bool blind = false;       // it cannot see its client
  bool background = false;  // this process has something else to do, on whichever CPU
};

class LeadPolicy {
 public:
  // `cpus` of the machine.
  explicit LeadPolicy(int cpus) : cpus_(cpus) {}

  Lead lead() const { return lead_; }
  // How it goes on.
  Lead Next(const Moment& moment);

  // After trouble nobody is followed for so long; each time twice as long, up to the second. While the machine is busy
  // and for the first of it after.
  static constexpr int64_t kShortestPause = 200;
  static constexpr int64_t kLongestPause = 30000;
  // So long without trouble, and the pauses begin anew.
  static constexpr int64_t kForgiven = 5000;
  // Moments in a row that it takes to believe it: that the machine is busy, that clients are several, that there is
  // one.
  static constexpr int kBusyMoments = 5;
  static constexpr int kCrowdedMoments = 2;
  static constexpr int kLonelyMoments = 10;

 private:
  void Pause(const Moment& moment);

  int cpus_;
  Lead lead_ = Lead::kFollow;
  bool several_ = false;  // clients at once
  int busy_ = 0;
  double usually_runnable_ = 0;
  int crowded_ = 0;
  int lonely_ = 0;
  bool bulk_ = false;
  bool sparse_ = false;  // few requests, while others compute
  int64_t pause_ms_ = kShortestPause;
  int64_t following_since_ms_ = 0;
  int64_t follow_from_ms_ = 0;  // not before
};

}  // namespace acetate::fusefs
