#include "launcher/table.h"

#include <gtest/gtest.h>

namespace acetate::launcher {
namespace {

TEST(TableTest, ColumnsAreAsWideAsTheirWidestCell) {
  EXPECT_EQ(FormatTable({{"ID", "NAME", "X"}, {"abcdef", "", "y"}, {"a", "b", ""}}),
            "ID       NAME   X\nabcdef          y\na        b\n");
}

TEST(TableTest, TimesAreShownInTheLargestUnitThatFits) {
  const std::pair<time_t, const char*> rows[] = {{-5, "0 seconds"},     {0, "0 seconds"},   {1, "1 second"},
                                                 {59, "59 seconds"},    {60, "1 minute"},   {7200, "2 hours"},
                                                 {86400 * 3, "3 days"}, {86399, "23 hours"}};
  for (const auto& [seconds, text] : rows) EXPECT_EQ(Ago(1000, 1000 + seconds), text);
}

TEST(TableTest, StatesAreShownAsDockersAre) {
  using Status = ContainerState::Status;
  time_t now = 1764063060;
  ContainerState state{Status::kRunning, 7, "2025-11-25T09:30:00Z", "", 0, ""};
  EXPECT_EQ(DescribeState(state, now), "Up 1 minute");
  state.status = Status::kPaused;
  EXPECT_EQ(DescribeState(state, now), "Up 1 minute (paused)");
  state = {Status::kExited, 0, "2025-11-25T09:30:00Z", "2025-11-25T09:30:58Z", 137, ""};
  EXPECT_EQ(DescribeState(state, now), "Exited (137) 2 seconds ago");
  EXPECT_EQ(DescribeState({}, now), "Created");
}

TEST(TableTest, WhatIsTooLongIsCutBetweenCharacters) {
  EXPECT_EQ(Shortened("short", 5), "short");
  EXPECT_EQ(Shortened("longer", 5), "lo...");
  EXPECT_EQ(Shortened("a\xc3\xa4\xc3\xa4\xc3\xa4", 5), "a...");
}

}  // namespace
}  // namespace acetate::launcher
