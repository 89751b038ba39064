// What a container may use of the machine, on the cgroups that this machine has: limits held against a hog of each
// kind, what was used, pause and kill as a whole. Where v2 rules alone, as root and as other users: tests/vm.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstring>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "launcher/files.h"
#include "launcher/launch_fixture.h"

namespace acetate::launcher {
namespace {

using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

namespace fs = std::filesystem;

class LimitTest : public ::testing::Test {
 protected:
  void SetUp() override {
    try {
      host_ = std::make_unique<LaunchFixture>(Who::kRoot);
    } catch (const std::exception& reason) {
      GTEST_SKIP() << reason.what();
    }
  }

  // Skips where root cannot set such limits, with launch's reason.
  bool CanLimit(const std::vector<std::string>& flags) {
    std::vector<std::string> all = {"--rm"};
    all.insert(all.end(), flags.begin(), flags.end());
    Result probe = host_->Run(all, {"true"});
    if (probe.status == 0) return true;
    reason_ = probe.err;
    EXPECT_EQ(probe.status, 125) << probe;
    EXPECT_THAT(probe.err, HasSubstr("cannot be enforced")) << probe;
    return false;
  }

  // Starts a container in the background.
  void StartBox(std::vector<std::string> flags, const std::string& script) {
    flags.insert(flags.end(), {"-d", "--name", "box"});
    Result result = host_->Shell(flags, script);
    ASSERT_EQ(result.status, 0) << result;
    short_id_ = result.out.substr(0, 12);
  }

  nlohmann::json Inspect() { return nlohmann::json::parse(host_->Launch({"inspect", "box"}).out).at(0); }

  // The text of a file in whichever of the container's cgroups has it.
  std::string Setting(const std::string& file) {
    const std::vector<std::string> directories = Inspect()["cgroups"];
    for (const std::string& directory : directories) {
      if (fs::exists(absl::StrCat(directory, "/", file))) {
        return std::string(absl::StripAsciiWhitespace(ReadFileOrEmpty(absl::StrCat(directory, "/", file))));
      }
    }
    return "";
  }

  std::string EitherSetting(const std::string& v2, const std::string& v1) {
    std::string text = Setting(v2);
    return text.empty() ? Setting(v1) : text;
  }

  void EndBox() {
    EXPECT_EQ(host_->Launch({"rm", "-f", "box"}).status, 0);
    EXPECT_THAT(CgroupsOf(short_id_), IsEmpty());
  }

  std::unique_ptr<LaunchFixture> host_;
  std::string short_id_;
  std::string reason_;
};

TEST_F(LimitTest, AProcessBeyondItsMemoryIsKilledAndThatIsSaid) {
  if (!CanLimit({"-m", "64m"})) GTEST_SKIP() << reason_;
  // A hog that would stop by itself at 256 MiB, for the sake of the machine if it is not held.
  Result result = host_->Shell({"--name", "box", "-m", "16m"},
                               "x=12345678; i=0; while test $i -lt 25; do x=$x$x; i=$((i + 1)); done");
  EXPECT_EQ(result.status, 137) << result;
  EXPECT_EQ(result.err, "launch: out of memory: the kernel killed 1 process at the limit of 16 MiB\n");
  nlohmann::json statistics = Inspect()["statistics"];
  EXPECT_EQ(statistics["oom_kills"], 1);
  EXPECT_LE(statistics["memory_peak_bytes"], 16 << 20);
  EXPECT_GE(statistics["memory_peak_bytes"], 8 << 20);
}

// One that would end at 200 processes.
TEST_F(LimitTest, AForkBombIsHeld) {
  if (!CanLimit({"--pids-limit", "20"})) GTEST_SKIP() << reason_;
  StartBox({"--pids-limit", "20"},
           "(i=0; while test $i -lt 200; do sleep 1000 & i=$((i + 1)); done) 2>/dev/null & exec sleep 1000");
  EXPECT_TRUE(Eventually([&] {
    const std::string events = Setting("pids.events");
    return events.starts_with("max ") && events != "max 0";
  }));
  int processes = 0;
  ASSERT_TRUE(absl::SimpleAtoi(Setting("pids.current"), &processes));
  EXPECT_LE(processes, 20);
  EndBox();
}

TEST_F(LimitTest, ABusyLoopGetsItsShareOfTheTime) {
  if (!CanLimit({"--cpus", "0.2"})) GTEST_SKIP() << reason_;
  StartBox({"--cpus", "0.2"}, "while :; do :; done & while :; do :; done");
  using Clock = std::chrono::steady_clock;
  const Clock::time_point start = Clock::now();
  const uint64_t from = Inspect()["statistics"]["cpu_us"];
  usleep(2000000);
  const uint64_t used = Inspect()["statistics"]["cpu_us"].get<uint64_t>() - from;
  const auto passed = std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - start).count();
  // Two loops would have up to two CPUs.
  EXPECT_LE(static_cast<double>(used) / static_cast<double>(passed), 0.26);
  EXPECT_GE(used, 1000u);
  // On a machine that is busy otherwise they might have as little without a limit; then nobody would have held them.
  uint64_t held = 0;
  const std::vector<std::string> directories = Inspect()["cgroups"];
  for (const std::string& directory : directories) {
    for (absl::string_view line : absl::StrSplit(ReadFileOrEmpty(directory + "/cpu.stat"), '\n')) {
      if (absl::ConsumePrefix(&line, "nr_throttled ") && !absl::SimpleAtoi(line, &held)) ADD_FAILURE() << line;
    }
  }
  EXPECT_GT(held, 0u);
  EndBox();
}

TEST_F(LimitTest, OnlyTheCpusThatWereGivenAreUsed) {
  if (!CanLimit({"--cpuset-cpus", "0"})) GTEST_SKIP() << reason_;
  Result result = host_->Shell({"--rm", "--cpuset-cpus", "0"}, "grep Cpus_allowed_list /proc/self/status");
  EXPECT_EQ(result.out, "Cpus_allowed_list:\t0\n") << result;
  result = host_->Run({"--rm", "--cpuset-mems", "0"}, {"true"});
  EXPECT_EQ(result.status, 0) << result;
  result = host_->Run({"--rm", "--cpuset-cpus", "0,8000"}, {"true"});
  EXPECT_EQ(result.status, 125);
  EXPECT_THAT(result.err, HasSubstr("--cpuset-cpus cannot be enforced: 8000 of 0,8000 cannot be had here"));
}

TEST_F(LimitTest, SharesWeightsAndReservationsAreWritten) {
  const std::vector<std::string> flags = {"-m", "64m", "--memory-swap", "96m", "--memory-reservation", "32m"};
  if (!CanLimit(flags)) GTEST_SKIP() << reason_;
  StartBox(flags, "exec sleep 1000");
  EXPECT_EQ(EitherSetting("memory.max", "memory.limit_in_bytes"), "67108864");
  EXPECT_THAT(EitherSetting("memory.swap.max", "memory.memsw.limit_in_bytes"), AnyOf("33554432", "100663296"));
  EXPECT_EQ(EitherSetting("memory.low", "memory.soft_limit_in_bytes"), "33554432");
  EndBox();
  if (!CanLimit({"--cpu-shares", "512", "--blkio-weight", "300"})) GTEST_SKIP() << reason_;
  StartBox({"--cpu-shares", "512", "--blkio-weight", "300"}, "exec sleep 1000");
  EXPECT_THAT(EitherSetting("cpu.weight", "cpu.shares"), AnyOf("20", "512"));
  EXPECT_THAT(EitherSetting("io.bfq.weight", "blkio.bfq.weight"), AnyOf("default 300", "300"));
  EndBox();
}

TEST_F(LimitTest, TheContainerIsItsOwnCgroupsRoot) {
  if (!CanLimit({"-m", "64m"})) GTEST_SKIP() << reason_;
  Result result = host_->Shell({"--rm", "-m", "64m"}, "grep -E ':memory:|^0:' /proc/self/cgroup");
  EXPECT_EQ(result.status, 0) << result;
  EXPECT_THAT(result.out, AnyOf(HasSubstr(":memory:/\n"), HasSubstr("0::/\n")));
  EXPECT_THAT(result.out, Not(HasSubstr("acetate")));
}

TEST_F(LimitTest, NoCgroupStays) {
  const std::vector<std::string> flags = {"--rm",          "-m", "64m", "--pids-limit", "20", "--cpus", "1",
                                          "--cpuset-cpus", "0"};
  if (!CanLimit({flags.begin() + 1, flags.end()})) GTEST_SKIP() << reason_;
  Result result = host_->Shell(flags, "hostname; (sleep 100 &)");
  EXPECT_EQ(result.status, 0) << result;
  EXPECT_THAT(CgroupsOf(result.out.substr(0, 12)), IsEmpty());
}

TEST_F(LimitTest, WhatWasUsedIsTold) {
  if (!CanLimit({"-m", "64m", "--pids-limit", "20"})) GTEST_SKIP() << reason_;
  StartBox({"-m", "64m", "--pids-limit", "20"},
           "i=0; while test $i -lt 20000; do i=$((i + 1)); done; sleep 1000 & touch /ready; exec sleep 1001");
  ASSERT_TRUE(Eventually([&] { return fs::exists(host_->OnlyContainer() + "/upper/ready"); }));
  ASSERT_TRUE(Eventually([&] { return Inspect()["statistics"]["processes"] == 2; }));
  nlohmann::json running = Inspect()["statistics"];
  EXPECT_GT(running["cpu_us"], 1000) << running;
  EXPECT_GT(running["memory_bytes"], 50000) << running;
  EXPECT_GE(running["memory_peak_bytes"], running["memory_bytes"]) << running;
  EXPECT_EQ(running["oom_kills"], 0) << running;
  EXPECT_EQ(host_->Launch({"kill", "box"}).status, 0);
  EXPECT_EQ(host_->Launch({"wait", "box"}).out, "137\n");
  nlohmann::json ended = Inspect()["statistics"];
  EXPECT_GE(ended["cpu_us"], running["cpu_us"]) << ended;
  EXPECT_GE(ended["memory_peak_bytes"], running["memory_bytes"]) << ended;
  EXPECT_TRUE(ended["memory_bytes"].is_null()) << ended;
  EXPECT_TRUE(ended["processes"].is_null()) << ended;
}

TEST_F(LimitTest, DaemonsThatForkedTwiceDieWithTheContainer) {
  StartBox({}, "sh -c '(sleep 44441 &) & (sleep 44442 &)'; touch /ready; exec sleep 1000");
  auto running = [](const std::string& seconds) {
    for (const auto& entry : fs::directory_iterator("/proc")) {
      std::string command = ReadFileOrEmpty(entry.path().string() + "/cmdline");
      if (command.find(std::string("sleep\0", 6) + seconds) != std::string::npos) return true;
    }
    return false;
  };
  ASSERT_TRUE(Eventually([&] { return running("44441") && running("44442"); }));
  EXPECT_EQ(host_->Launch({"kill", "box"}).status, 0);
  EXPECT_EQ(host_->Launch({"wait", "box"}).out, "137\n");
  EXPECT_FALSE(running("44441") || running("44442"));
  EndBox();
}

class UnprivilegedLimitTest : public ::testing::Test {
 protected:
  void SetUp() override {
    try {
      host_ = std::make_unique<LaunchFixture>(Who::kPlain);
    } catch (const std::exception& reason) {
      GTEST_SKIP() << reason.what();
    }
    Result probe = host_->Run({"--rm", "-m", "64m", "--cpus", "1"}, {"true"});
    if (probe.status == 0) GTEST_SKIP() << "this user has a part of the cgroup tree";
    ASSERT_EQ(probe.status, 125) << probe;
  }

  std::unique_ptr<LaunchFixture> host_;
};

TEST_F(UnprivilegedLimitTest, ALimitThatCannotBeEnforcedIsAnErrorThatSaysHowItCould) {
  for (const char* flag : {"--memory=64m", "--pids-limit=9", "--cpus=1", "--cpu-shares=4", "--blkio-weight=10"}) {
    Result result = host_->Run({"--rm", flag}, {"true"});
    EXPECT_EQ(result.status, 125) << result;
    EXPECT_THAT(result.err,
                HasSubstr(absl::StrCat("launch: ", std::string(flag, strcspn(flag, "=")), " cannot be enforced: ")));
    EXPECT_THAT(result.err, AnyOf(HasSubstr("run as root, or boot with"), HasSubstr("systemd-run --user --scope")));
    EXPECT_EQ(result.err.find('\n'), result.err.size() - 1) << result;
  }
  EXPECT_FALSE(fs::exists(host_->store() + "/containers")) << "something was made";
}

TEST_F(UnprivilegedLimitTest, BestEffortGoesOnWithAWarning) {
  Result result = host_->Run({"--rm", "--best-effort", "-m", "64m", "--cpus", "1"}, {"echo", "ran"});
  EXPECT_EQ(result.status, 0) << result;
  EXPECT_EQ(result.out, "ran\n");
  EXPECT_THAT(result.err, HasSubstr("launch: warning: --memory cannot be enforced: "));
  EXPECT_THAT(result.err, HasSubstr("; --cpus cannot be enforced: "));
  EXPECT_EQ(result.err.find('\n'), result.err.size() - 1) << result;
}

}  // namespace
}  // namespace acetate::launcher
