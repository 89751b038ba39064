#include "fusefs/stats.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <thread>
#include <vector>

namespace acetate::fusefs {
namespace {

TEST(StatsTest, JsonHoldsEveryOpcodeAndGauge) {
  Stats stats;
  stats.Count(Opcode::kLookup);
  stats.Count(Opcode::kLookup);
  stats.Count(Opcode::kCopyFileRange);
  stats.Set(Gauge::kKnownInodes, 7);
  stats.Add(Gauge::kBytesCopiedUp, 4096);
  stats.Add(Gauge::kOpenFds, -1);

  const nlohmann::json json = nlohmann::json::parse(stats.Json());
  EXPECT_EQ(json["requests"].size(), kOpcodeCount);
  EXPECT_EQ(json["requests"]["LOOKUP"], 2);
  EXPECT_EQ(json["requests"]["COPY_FILE_RANGE"], 1);
  EXPECT_EQ(json["requests"]["OPEN"], 0);
  EXPECT_EQ(json["total_requests"], 3);
  EXPECT_EQ(json["known_inodes"], 7);
  EXPECT_EQ(json["bytes_copied_up"], 4096);
  EXPECT_EQ(json["open_fds"], -1);
  EXPECT_EQ(json["copy_ups"], 0);
}

TEST(StatsTest, NoCountIsLostBetweenThreads) {
  Stats stats;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&stats] {
      for (int n = 0; n < 10000; ++n) stats.Count(Opcode::kGetattr);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(stats.requests(Opcode::kGetattr), 40000u);
}

}  // namespace
}  // namespace acetate::fusefs
