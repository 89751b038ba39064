#include "launcher/table.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "launcher/timestamp.h"

namespace acetate::launcher {

std::string FormatTable(const std::vector<std::vector<std::string>>& rows) {
  std::vector<size_t> widths;
  for (const std::vector<std::string>& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string text;
  for (const std::vector<std::string>& row : rows) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i)
      absl::StrAppend(&line, row[i], std::string(widths[i] - row[i].size() + 3, ' '));
    line.erase(line.find_last_not_of(' ') + 1);
    absl::StrAppend(&text, line, "\n");
  }
  return text;
}

std::string Ago(time_t then, time_t now) {
  time_t seconds = std::max<time_t>(0, now - then);
  auto count = [](time_t number, const char* unit) { return absl::StrCat(number, " ", unit, number == 1 ? "" : "s"); };
  if (seconds < 60) return count(seconds, "second");
  if (seconds < 3600) return count(seconds / 60, "minute");
  if (seconds < 86400) return count(seconds / 3600, "hour");
  return count(seconds / 86400, "day");
}

std::string DescribeState(const ContainerState& state, time_t now) {
  using Status = ContainerState::Status;
  switch (state.status) {
    case Status::kCreated:
      return "Created";
    case Status::kRunning:
    case Status::kPaused:
      return absl::StrCat("Up ", Ago(ParseTimestamp(state.started), now),
                          state.status == Status::kPaused ? " (paused)" : "");
    case Status::kExited:
      return absl::StrCat("Exited (", state.exit_status, ") ", Ago(ParseTimestamp(state.finished), now), " ago");
  }
  return "";
}

std::string Shortened(absl::string_view text, size_t bytes) {
  constexpr absl::string_view kDots = "...";
  if (text.size() <= bytes) return std::string(text);
  size_t end = bytes - kDots.size();
  // Bytes 10xxxxxx go on with a sequence.
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
  return absl::StrCat(text.substr(0, end), kDots);
}

}  // namespace acetate::launcher
