// Starts threads on behalf of others.
//
// A thread begins with the scheduling policy, the CPUs and the signal mask of the one that starts it; one that follows
// its client (cpu_follower.h) would hand down what nobody without privilege can leave again. So a thread of its own
// starts them, and they begin as this object's maker was.
//
// Thread-safe.
#pragma once

#include <functional>
#include <thread>

#include "common/mutex.h"

namespace acetate::fusefs {

class ThreadStarter {
 public:
  ThreadStarter();
  ~ThreadStarter();
  ThreadStarter(const ThreadStarter&) = delete;
  ThreadStarter& operator=(const ThreadStarter&) = delete;

  // One that cannot be joined when there are no more threads to be had.
  std::thread Start(std::function<void()> body);

 private:
  void Serve();

  Mutex mu_;
  CondVar changed_;
  std::function<void()> body_ ABSL_GUARDED_BY(mu_);  // empty: nothing is asked for
  std::thread* started_ ABSL_GUARDED_BY(mu_) = nullptr;
  bool ending_ ABSL_GUARDED_BY(mu_) = false;
  std::thread server_;
};

}  // namespace acetate::fusefs
