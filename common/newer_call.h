// A system call that the kernel may be too old for.
#pragma once

#include <atomic>
#include <cerrno>
#include <optional>

namespace acetate {

// One for each call, for all threads.
class NewerCall {
 public:
  // What `call` returns, with its errno. Nothing when there is no such call: then it is not tried again.
  template <typename Call>
  std::optional<long> Try(const Call& call) {
    if (missing_.load(std::memory_order_relaxed)) return std::nullopt;
    const long result = call();
    // EPERM: of a filter of system calls that does not know it.
    if (result >= 0 || (errno != ENOSYS && errno != EPERM)) return result;
    missing_.store(true, std::memory_order_relaxed);
    return std::nullopt;
  }

 private:
  std::atomic<bool> missing_{false};
};

}  // namespace acetate
