// Points in time as text: RFC 3339, UTC. (gmtime(3) would read the host's time zone file for it.) Any thread may call.
#pragma once

#include <ctime>
#include <string>

#include "absl/strings/string_view.h"

namespace acetate::launcher {

// "2026-11-25T09:30:00Z".
std::string FormatSeconds(time_t seconds);

// "2026-11-25T09:30:00.123456789Z", of now.
std::string PreciseNow();

// Seconds since the epoch of what FormatSeconds wrote; 0 for anything else.
time_t ParseTimestamp(absl::string_view text);

}  // namespace acetate::launcher
