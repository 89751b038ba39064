// One thread of the loop: what it does now, and what the watcher sees of it.
//
// What is atomic is written by the thread and read by the watcher, or the other way about; the rest is guarded by the
// loop's `mu_`. Part of request_loop.
#pragma once

#include <pthread.h>
#include <sys/types.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <optional>
#include <thread>
#include <vector>

#include "absl/functional/function_ref.h"
#include "common/mutex.h"
#include "fusefs/blocking.h"
#include "fusefs/cpu_follower.h"
#include "fusefs/request_loop.h"

namespace acetate::fusefs {

class RequestLoop::Worker : public BlockingListener {
 public:
  Worker(RequestLoop* loop, bool follower) : is_follower(follower), loop_(loop) {}
  void Run(absl::FunctionRef<void()> work) override { loop_->RunApart(this, work); }

  const bool is_follower;
  std::thread thread;
  pthread_t id = 0;
  CondVar wake;
  bool waits = false;                               // for the lead, or for work
  bool awaits_work = false;                         // of a helper
  const absl::FunctionRef<void()>* work = nullptr;  // of another thread; null again once it is done
  Worker* for_whom = nullptr;
  CondVar work_done;
  std::optional<CpuFollower> cpu;

  std::atomic<bool> leads{false};
  std::atomic<bool> in_wait{false};  // for a request: a signal makes it return
  std::atomic<pid_t> client{0};      // of the last request
  std::atomic<CpuFollower::View> view{CpuFollower::View::kClear};

  struct Counts {
    uint64_t requests = 0;
    uint64_t changes = 0;  // of another client than the request before
    uint64_t bulk = 0;
    uint64_t switches = 0;  // back to one that it had lately: so these are several at once, and no script's processes
  };
  Counts counts() const {
    constexpr auto kRelaxed = std::memory_order_relaxed;
    return {requests_.load(kRelaxed), changes_.load(kRelaxed), bulk_.load(kRelaxed), switches_.load(kRelaxed)};
  }
  Counts seen;              // by the watcher
  bool seen_at_it = false;  // it had a request in hand

  // Whether it has a request in hand and no reason not to go on with it.
  bool at_it() const { return !waits && !in_wait && !awaits_work; }

  // By the worker itself.
  void CountRequest(pid_t new_client, bool bulk) {
    Increment(&requests_);
    if (bulk) Increment(&bulk_);
    if (new_client == 0 || new_client == client.load(std::memory_order_relaxed)) return;
    for (const auto& recent : recent_) {
      if (recent.load(std::memory_order_relaxed) != new_client) continue;
      Increment(&switches_);
      break;
    }
    Increment(&changes_);
    recent_[changes_.load(std::memory_order_relaxed) % recent_.size()].store(new_client, std::memory_order_relaxed);
    client.store(new_client, std::memory_order_relaxed);
  }

  // Those whose requests it has had since.
  void AddClientsSince(const Counts& before, std::vector<pid_t>* clients) const {
    const uint64_t changes = changes_.load(std::memory_order_relaxed);
    const uint64_t latest = std::min<uint64_t>(changes - before.changes + 1, recent_.size());
    for (uint64_t i = 0; i < latest; ++i) clients->push_back(recent_[(changes - i) % recent_.size()]);
  }

 private:
  // By one thread alone: no bus lock is needed.
  static void Increment(std::atomic<uint64_t>* counter) {
    counter->store(counter->load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  }

  RequestLoop* const loop_;
  std::atomic<uint64_t> requests_{0};
  std::atomic<uint64_t> changes_{0};
  std::atomic<uint64_t> bulk_{0};
  std::atomic<uint64_t> switches_{0};
  std::array<std::atomic<pid_t>, 8> recent_{};
};

}  // namespace acetate::fusefs
