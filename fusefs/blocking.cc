#include "fusefs/blocking.h"

namespace acetate::fusefs {
namespace {

thread_local BlockingListener* this_listener = nullptr;

}  // namespace

ScopedBlockingListener::ScopedBlockingListener(BlockingListener* listener) : before_(this_listener) {
  this_listener = listener;
}

ScopedBlockingListener::~ScopedBlockingListener() { this_listener = before_; }

void RunBlocking(absl::FunctionRef<void()> work) {
  if (this_listener == nullptr) return work();
  this_listener->Run(work);
}

}  // namespace acetate::fusefs
