#include "fusefs/thread_starter.h"

#include <system_error>
#include <utility>

namespace acetate::fusefs {
namespace {

std::thread TryStart(std::function<void()> body) {
  try {
    return std::thread(std::move(body));
  } catch (const std::system_error&) {
    return std::thread();
  }
}

}  // namespace

ThreadStarter::ThreadStarter() : server_(TryStart([this] { Serve(); })) {}

ThreadStarter::~ThreadStarter() {
  {
    MutexLock lock(&mu_);
    ending_ = true;
    changed_.SignalAll();
  }
  if (server_.joinable()) server_.join();
}

std::thread ThreadStarter::Start(std::function<void()> body) {
  if (!server_.joinable()) return std::thread();
  std::thread started;
  MutexLock lock(&mu_);
  while (started_ != nullptr) changed_.Wait(&mu_);  // another one's turn
  started_ = &started;
  body_ = std::move(body);
  changed_.SignalAll();
  while (started_ == &started) changed_.Wait(&mu_);
  return started;
}

void ThreadStarter::Serve() {
  MutexLock lock(&mu_);
  for (;;) {
    while (!ending_ && !body_) changed_.Wait(&mu_);
    if (!body_) return;
    *started_ = TryStart(std::exchange(body_, nullptr));
    started_ = nullptr;
    changed_.SignalAll();
  }
}

}  // namespace acetate::fusefs
