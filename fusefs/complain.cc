#include "fusefs/complain.h"

#include <syslog.h>

#include <atomic>

namespace acetate::fusefs {

void Complain(absl::string_view line) {
  constexpr int kMost = 1000;
  static std::atomic<int> said{0};
  static const bool opened = (openlog("fusefs", LOG_PID | LOG_PERROR, LOG_DAEMON), true);
  const int before = said.fetch_add(1, std::memory_order_relaxed);
  if (!opened || before > kMost) return;
  if (before == kMost) line = "a thousand lines like these: no more of them";
  syslog(LOG_ERR, "%.*s", static_cast<int>(line.size()), line.data());
}

}  // namespace acetate::fusefs
