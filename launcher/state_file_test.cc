#include "launcher/state_file.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "common/temp_dir.h"
#include "launcher/timestamp.h"

namespace acetate::launcher {
namespace {

using Status = ContainerState::Status;

TEST(StateFileTest, WhatIsWrittenIsRead) {
  TempDir dir;
  ContainerState state{Status::kExited, 0, "2026-11-25T09:30:00Z", "2026-11-25T09:31:00Z", 137, "said \"so\"\n\xff"};
  state.statistics.cpu_us = 12;
  state.statistics.memory_peak_bytes = uint64_t{1} << 40;
  ASSERT_TRUE(WriteState(dir.path(), state).ok());
  ContainerState read = ReadState(dir.path());
  EXPECT_EQ(read.statistics.cpu_us, 12u);
  EXPECT_EQ(read.statistics.memory_peak_bytes, uint64_t{1} << 40);
  EXPECT_EQ(read.statistics.oom_kills, std::nullopt);
  EXPECT_EQ(read.status, Status::kExited);
  EXPECT_EQ(read.started, state.started);
  EXPECT_EQ(read.finished, state.finished);
  EXPECT_EQ(read.exit_status, 137);
  EXPECT_EQ(read.message, "said \"so\"\n\xef\xbf\xbd");  // no UTF-8 becomes U+FFFD
}

TEST(StateFileTest, ANewStateTakesThePlaceOfTheOldOneAndNothingElseStays) {
  TempDir dir;
  ASSERT_TRUE(WriteState(dir.path(), {Status::kRunning, 7, "", "", 0, ""}).ok());
  ASSERT_TRUE(WriteState(dir.path(), {Status::kPaused, 7, "", "", 0, ""}).ok());
  EXPECT_EQ(ReadState(dir.path()).status, Status::kPaused);
  EXPECT_EQ(ReadState(dir.path()).pid, 7);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(dir.path()), {}), 1);
}

TEST(StateFileTest, GarbageIsTheStateOfANewContainer) {
  for (const char* text : {"", "{", "[]", "7", "{\"status\":3,\"pid\":\"x\"}", "{\"statistics\":[1]}",
                           "{\"statistics\":{\"cpu_us\":-1}}", "{\"status\":\"unknown\"}"}) {
    ContainerState state = ParseState(text);
    EXPECT_EQ(state.status, Status::kCreated) << text;
    EXPECT_EQ(state.pid, 0) << text;
    EXPECT_EQ(state.statistics.cpu_us, std::nullopt) << text;
  }
}

TEST(TimestampTest, IsRfc3339InUtc) {
  EXPECT_EQ(FormatSeconds(0), "1970-01-01T00:00:00Z");
  EXPECT_EQ(FormatSeconds(1764063000), "2025-11-25T09:30:00Z");
  EXPECT_EQ(ParseTimestamp("2025-11-25T09:30:00Z"), 1764063000);
  EXPECT_EQ(ParseTimestamp("2025-11-25T09:30:00.25Z"), 1764063000);
  EXPECT_EQ(ParseTimestamp("2025-13-25T09:30:00Z"), 0);
  EXPECT_EQ(ParseTimestamp("soon"), 0);
  EXPECT_EQ(PreciseNow().size(), std::string("2025-11-25T09:30:00.123456789Z").size());
}

}  // namespace
}  // namespace acetate::launcher
