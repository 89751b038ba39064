#include "launcher/cgroup_stats.h"

#include <gtest/gtest.h>

#include "common/temp_dir.h"

namespace acetate::launcher {
namespace {

TEST(CgroupStatsTest, V2) {
  TempDir dir;
  WriteFile(dir / "cpu.stat", "usage_usec 1500\nuser_usec 1000\nsystem_usec 500\n");
  WriteFile(dir / "memory.current", "4096\n");
  WriteFile(dir / "memory.peak", "8192\n");
  WriteFile(dir / "memory.events", "low 0\noom 2\noom_kill 1\noom_group_kill 7\n");
  WriteFile(dir / "pids.current", "3\n");
  WriteFile(dir / "io.stat", "8:0 rbytes=100 wbytes=20 rios=1 wios=1 dbytes=5 dios=0\n8:16 rbytes=1 wbytes=2 rios=1\n");
  CgroupStatistics statistics = ReadCgroupStatistics({dir.path()});
  EXPECT_EQ(statistics.cpu_us, 1500u);
  EXPECT_EQ(statistics.memory_bytes, 4096u);
  EXPECT_EQ(statistics.memory_peak_bytes, 8192u);
  EXPECT_EQ(statistics.processes, 3u);
  EXPECT_EQ(statistics.io_read_bytes, 101u);
  EXPECT_EQ(statistics.io_written_bytes, 22u);
  EXPECT_EQ(statistics.oom_kills, 1u);
}

TEST(CgroupStatsTest, V1IsSpreadOverItsHierarchies) {
  TempDir dir;
  for (const char* name : {"memory", "pids", "cpu", "blkio"}) MakeDirs(dir / name);
  WriteFile(dir / "cpu/cpuacct.usage", "2500999\n");
  WriteFile(dir / "cpu/cpu.stat", "nr_periods 4\nnr_throttled 1\nthrottled_time 5\n");
  WriteFile(dir / "memory/memory.usage_in_bytes", "10\n");
  WriteFile(dir / "memory/memory.max_usage_in_bytes", "20\n");
  WriteFile(dir / "memory/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n");
  WriteFile(dir / "pids/pids.current", "1\n");
  WriteFile(dir / "blkio/blkio.throttle.io_service_bytes_recursive",
            "8:0 Read 7\n8:0 Write 8\n8:0 Sync 15\n8:0 Total 15\n8:16 Read 1\nTotal 16\n");
  CgroupStatistics statistics = ReadCgroupStatistics({dir / "memory", dir / "pids", dir / "cpu", dir / "blkio"});
  EXPECT_EQ(statistics.cpu_us, 2500u);
  EXPECT_EQ(statistics.memory_bytes, 10u);
  EXPECT_EQ(statistics.memory_peak_bytes, 20u);
  EXPECT_EQ(statistics.processes, 1u);
  EXPECT_EQ(statistics.io_read_bytes, 8u);
  EXPECT_EQ(statistics.io_written_bytes, 8u);
  EXPECT_EQ(statistics.oom_kills, 2u);
}

TEST(CgroupStatsTest, WhatIsNotCountedIsNotKnown) {
  TempDir dir;
  WriteFile(dir / "cpu.stat", "usage_usec 1\n");
  CgroupStatistics statistics = ReadCgroupStatistics({dir.path(), "/no/such/cgroup"});
  EXPECT_EQ(statistics.cpu_us, 1u);
  EXPECT_EQ(statistics.memory_bytes, std::nullopt);
  EXPECT_EQ(statistics.io_read_bytes, std::nullopt);
  EXPECT_EQ(statistics.oom_kills, std::nullopt);
}

}  // namespace
}  // namespace acetate::launcher
