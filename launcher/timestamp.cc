#include "launcher/timestamp.h"

#include <chrono>
#include <cstdio>

#include "absl/strings/str_format.h"

namespace acetate::launcher {
namespace {

// Date and time without the end.
std::string FormatDate(time_t seconds) {
  using namespace std::chrono;
  sys_seconds point{std::chrono::seconds(seconds)};
  auto today = floor<days>(point);
  year_month_day date(today);
  hh_mm_ss time(point - today);
  return absl::StrFormat("%04d-%02u-%02uT%02d:%02d:%02d", static_cast<int>(date.year()),
                         static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()), time.hours().count(),
                         time.minutes().count(), time.seconds().count());
}

}  // namespace

std::string FormatSeconds(time_t seconds) { return FormatDate(seconds) + "Z"; }

std::string PreciseNow() {
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return FormatDate(now.tv_sec) + absl::StrFormat(".%09dZ", now.tv_nsec);
}

time_t ParseTimestamp(absl::string_view text) {
  using namespace std::chrono;
  int year;
  unsigned month, day, hour, minute, second;
  std::string copy(text);
  if (sscanf(copy.c_str(), "%4d-%2u-%2uT%2u:%2u:%2u", &year, &month, &day, &hour, &minute, &second) != 6) return 0;
  year_month_day date{std::chrono::year(year), std::chrono::month(month), std::chrono::day(day)};
  if (!date.ok()) return 0;
  auto since_epoch = sys_days(date).time_since_epoch();
  return duration_cast<seconds>(since_epoch).count() + static_cast<time_t>(hour * 3600 + minute * 60 + second);
}

}  // namespace acetate::launcher
