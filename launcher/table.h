// How containers are shown to people. Pure.
#pragma once

#include <ctime>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "launcher/state_file.h"

namespace acetate::launcher {

// Rows of cells as lines, each column as wide as its widest cell and three spaces.
std::string FormatTable(const std::vector<std::vector<std::string>>& rows);

// Between two times: "4 seconds", "1 minute", "3 hours", "2 days".
std::string Ago(time_t then, time_t now);

// "Up 4 seconds", "Up 4 seconds (paused)", "Exited (0) 2 minutes ago", "Created".
std::string DescribeState(const ContainerState& state, time_t now);

// `text` cut to so many bytes, with "..." for what is missing; never in the middle of a UTF-8 sequence.
std::string Shortened(absl::string_view text, size_t bytes);

}  // namespace acetate::launcher
