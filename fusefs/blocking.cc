#include "fusefs/blocking.h"

#include <atomic>

namespace acetate::fusefs {
namespace {

thread_local BlockingListener* this_listener = nullptr;
std::atomic<int> background_works{0};

}  // namespace

ScopedBlockingListener::ScopedBlockingListener(BlockingListener* listener) : before_(this_listener) {
  this_listener = listener;
}

ScopedBlockingListener::~ScopedBlockingListener() { this_listener = before_; }

void RunBlocking(absl::FunctionRef<void()> work) {
  if (this_listener == nullptr) return work();
  this_listener->Run(work);
}

ScopedBackgroundWork::ScopedBackgroundWork() { ++background_works; }
ScopedBackgroundWork::~ScopedBackgroundWork() { --background_works; }
bool ScopedBackgroundWork::UnderWay() { return background_works > 0; }

}  // namespace acetate::fusefs
