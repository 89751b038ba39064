// Work that may take long: waiting for a disk, copying contents. The thread that reads requests says so, and another
// one goes on with them meanwhile.
//
// Which thread runs the work is for the listener to say; so it keeps to file descriptors, and holds no lock. Any thread
// may call it; one without a listener just does the work.
#pragma once

#include <optional>
#include <utility>

#include "absl/functional/function_ref.h"

namespace acetate::fusefs {

// Of one thread.
class BlockingListener {
 public:
  // Runs `work` once, and returns after that.
  virtual void Run(absl::FunctionRef<void()> work) = 0;

 protected:
  ~BlockingListener() = default;
};

// From construction to destruction this thread's work goes through `listener`. Null: it does it by itself.
class ScopedBlockingListener {
 public:
  explicit ScopedBlockingListener(BlockingListener* listener);
  ~ScopedBlockingListener();
  ScopedBlockingListener(const ScopedBlockingListener&) = delete;
  ScopedBlockingListener& operator=(const ScopedBlockingListener&) = delete;

 private:
  BlockingListener* const before_;
};

void RunBlocking(absl::FunctionRef<void()> work);

// Returns what `work` returns.
template <typename Work>
auto Blocking(const Work& work) {
  std::optional<decltype(work())> result;
  RunBlocking([&] { result.emplace(work()); });
  return *std::move(result);
}

// While one lives, this process computes for long on a thread of its own. Who reads the requests then gets out of its
// way; it takes some milliseconds until they have noticed.
class ScopedBackgroundWork {
 public:
  ScopedBackgroundWork();
  ~ScopedBackgroundWork();
  ScopedBackgroundWork(const ScopedBackgroundWork&) = delete;
  ScopedBackgroundWork& operator=(const ScopedBackgroundWork&) = delete;

  static bool UnderWay();
};

}  // namespace acetate::fusefs
