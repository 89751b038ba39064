// Who reads requests, on which thread.
//
// A leader reads a request, handles it and reads the next. Which threads lead, lead_policy.h says, asked every few
// milliseconds by the thread that watches. The others wait: for the lead, when a leader is about to do what may take
// long (blocking.h) or is found to be stuck; or to do such work in a follower's place.
//
//     follower    leads on its client's CPU, behind everything else there (cpu_follower.h); one for each client
//     ordinary    any number up to a bound: leads, works, waits
//     watcher     one of the ordinary that waits. While nothing comes it sleeps until a request does; while requests
//                 come it looks every 10 ms whether they are read. A follower that gets no CPU cannot notice that.
//
// Owned by main, which calls Run(). `mu_` guards who does what; no request is read or handled under it.
#pragma once

#include <pthread.h>
#include <semaphore.h>
#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <thread>

#include "absl/functional/function_ref.h"
#include "common/mutex.h"
#include "common/unique_fd.h"
#include "fusefs/blocking.h"
#include "fusefs/cpu_follower.h"
#include "fusefs/lead_policy.h"

namespace acetate::fusefs {

// Where requests come from. All members may be called from any thread.
class RequestSource {
 public:
  enum class Received { kRequest, kNothing, kEnd };

  // One thread's place for a request.
  class Slot {
   public:
    virtual ~Slot() = default;
    // Waits for a request. kNothing when a signal came instead, kEnd when there will be none any more.
    virtual Received Receive() = 0;
    // Of the request that was received: the thread that waits for the answer; 0 for none.
    virtual pid_t client() const = 0;
    // Whether it reads much.
    virtual bool bulk() const { return false; }
    virtual void Process() = 0;
  };

  virtual ~RequestSource() = default;
  virtual std::unique_ptr<Slot> NewSlot() = 0;
  // Waits until there are requests that nobody has received, or for `timeout_ms` (-1: for ever), or for a signal.
  // Whether there are.
  virtual bool Wait(int timeout_ms) = 0;
  // Whether Run() is to return: asked whenever a signal has interrupted it.
  virtual bool Ended() = 0;
};

class RequestLoop {
 public:
  struct Limits {
    size_t followers = 1;  // that lead at once; 0: none follows
    size_t leaders = 2;    // ordinary ones, at once
    size_t threads = 16;   // in all
    int cpus = 1;
  };
  // For this process's CPUs.
  static Limits DefaultLimits();

  // `source` outlives the loop.
  RequestLoop(RequestSource* source, const Limits& limits);
  ~RequestLoop();
  RequestLoop(const RequestLoop&) = delete;
  RequestLoop& operator=(const RequestLoop&) = delete;

  // Until the source has ended. Signals reach only the thread that calls this.
  void Run();

  // For tests: how the requests are read now.
  Lead lead() const;
  size_t threads() const;

 private:
  class Worker;

  // Null when there are no more threads to be had.
  Worker* StartLocked(bool follower) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Work(Worker* me);
  void LeadUntilTaken(Worker* me, RequestSource::Slot* slot);
  void RunApart(Worker* me, absl::FunctionRef<void()> work);

  // What the watcher does, until it leads itself.
  void WatchLocked(Worker* me) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Moment LookLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // How many are to lead.
  size_t WantedLocked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Makes those lead that are to. False when nobody does, since all have something to do.
  bool ArrangeLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void GiveLeadLocked(Worker* worker) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void TakeLeadLocked(Worker* worker) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // A thread that waits, a new one if need be; null when there are as many as may be.
  Worker* FreeLocked(bool follower) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void EnsureWatcherLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void InterruptLocked(bool all) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  RequestSource* const source_;
  const Limits limits_;
  const UniqueFd loadavg_;
  sem_t ended_;  // posted by who sees the end

  mutable Mutex mu_;
  std::deque<Worker> workers_ ABSL_GUARDED_BY(mu_);  // they never move
  size_t clients_ ABSL_GUARDED_BY(mu_) = 1;          // of the last moment with requests
  Worker* watcher_ ABSL_GUARDED_BY(mu_) = nullptr;
  bool ending_ ABSL_GUARDED_BY(mu_) = false;
  size_t alive_ ABSL_GUARDED_BY(mu_) = 0;
  CondVar gone_;  // one of `alive_`
  LeadPolicy policy_ ABSL_GUARDED_BY(mu_);
};

}  // namespace acetate::fusefs
