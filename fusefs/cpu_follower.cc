#include "fusefs/cpu_follower.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <ctime>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"

namespace acetate::fusefs {
namespace {

// A look costs as much as a fifth of a request.
constexpr unsigned kLookEvery = 32;
constexpr unsigned kLookAtNewEvery = 8;
// What others may take of its time without harm, and how often it must be more in a row.
constexpr int64_t kLeastWait = 1000000;
constexpr int kStarvedLooks = 2;
constexpr int kBlindLooks = 4;

int64_t NowNs() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * int64_t{1000000000} + now.tv_nsec;
}

}  // namespace

int ParseLastCpu(absl::string_view stat) {
  // The second field is a name in parentheses, which may hold anything; 36 fields after it is the CPU.
  const size_t name_end = stat.rfind(')');
  if (name_end == absl::string_view::npos) return -1;
  const std::vector<absl::string_view> fields = absl::StrSplit(stat.substr(name_end + 1), ' ', absl::SkipEmpty());
  int cpu;
  return fields.size() > 36 && absl::SimpleAtoi(fields[36], &cpu) && cpu >= 0 ? cpu : -1;
}

std::optional<ScheduleTimes> ParseScheduleTimes(absl::string_view schedstat) {
  const std::vector<absl::string_view> fields = absl::StrSplit(schedstat, ' ');
  ScheduleTimes times;
  if (fields.size() < 3 || !absl::SimpleAtoi(fields[0], &times.ran) || !absl::SimpleAtoi(fields[1], &times.waited)) {
    return std::nullopt;
  }
  return times;
}

bool IsStarved(int64_t waited_ns, int64_t client_ran_ns, int64_t elapsed_ns) {
  const int64_t for_others = waited_ns - client_ran_ns;
  return for_others > kLeastWait && for_others > elapsed_ns / 4;
}

void CpuFollower::ProcFile::Open(const char* path) { fd_ = UniqueFd(open(path, O_RDONLY | O_CLOEXEC)); }

absl::string_view CpuFollower::ProcFile::Read() {
  const ssize_t size = fd_.valid() ? pread(fd_.get(), text_, sizeof(text_), 0) : 0;
  return absl::string_view(text_, size > 0 ? static_cast<size_t>(size) : 0);
}

CpuFollower::CpuFollower() : thread_(gettid()) {
  const sched_param none = {};
  own_times_.Open("/proc/thread-self/schedstat");
  works_ = sched_getaffinity(0, sizeof(allowed_), &allowed_) == 0 &&
           ParseScheduleTimes(own_times_.Read()).has_value() && sched_setscheduler(0, SCHED_IDLE, &none) == 0;
}

CpuFollower::View CpuFollower::Follow(pid_t client) {
  if (client == 0) return View::kClear;
  if (++requests_ < (client == client_ ? kLookEvery : kLookAtNewEvery)) return View::kClear;
  requests_ = 0;
  return Look(client);
}

void CpuFollower::OpenClient(pid_t client) {
  client_ = client;
  char path[64];
  snprintf(path, sizeof(path), "/proc/%d/task/%d/stat", client, client);
  client_stat_.Open(path);
  snprintf(path, sizeof(path), "/proc/%d/schedstat", client);
  client_times_.Open(path);
  looked_at_ns_ = 0;
}

CpuFollower::View CpuFollower::Look(pid_t client) {
  if (loosened_.exchange(false)) {
    const sched_param none = {};
    sched_setscheduler(0, SCHED_IDLE, &none);
    cpu_ = -1;
    looked_at_ns_ = 0;
  }
  if (client != client_) OpenClient(client);
  const int cpu = ParseLastCpu(client_stat_.Read());
  if (cpu < 0) {
    client_ = 0;
    return ++unseen_ >= kBlindLooks ? View::kBlind : View::kClear;
  }
  unseen_ = 0;
  const std::optional<ScheduleTimes> own = ParseScheduleTimes(own_times_.Read());
  const std::optional<ScheduleTimes> clients = ParseScheduleTimes(client_times_.Read());
  if (!own.has_value() || !clients.has_value()) return View::kBlind;
  const int64_t now = NowNs();
  const bool starved =
      looked_at_ns_ != 0 && IsStarved(own->waited - own_.waited, clients->ran - clients_.ran, now - looked_at_ns_);
  starved_ = starved ? starved_ + 1 : 0;
  looked_at_ns_ = now;
  own_ = *own;
  clients_ = *clients;
  Pin(cpu);
  return starved_ >= kStarvedLooks ? View::kStarved : View::kClear;
}

void CpuFollower::Pin(int cpu) {
  if (cpu == cpu_ || cpu >= CPU_SETSIZE || !CPU_ISSET(cpu, &allowed_)) return;
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(cpu, &one);
  if (sched_setaffinity(0, sizeof(one), &one) == 0) cpu_ = cpu;
}

void CpuFollower::Loosen() {
  if (loosened_.load()) return;
  const sched_param none = {};
  sched_setaffinity(thread_, sizeof(allowed_), &allowed_);
  sched_setscheduler(thread_, SCHED_OTHER, &none);
  loosened_ = true;
}

}  // namespace acetate::fusefs
