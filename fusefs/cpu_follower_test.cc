#include "fusefs/cpu_follower.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <string>
#include <thread>

#include "common/temp_dir.h"

namespace acetate::fusefs {
namespace {

std::string Stat(const std::string& name, const std::string& cpu) {
  // Fields 3 to 38, then the CPU and what follows it.
  std::string text = "4242 (" + name + ") S";
  for (int field = 4; field <= 38; ++field) text += " " + std::to_string(field);
  return text + " " + cpu + " 0 0 0 0 0\n";
}

TEST(CpuFollowerTest, FindsTheLastCpu) {
  EXPECT_EQ(ParseLastCpu(Stat("cat", "0")), 0);
  EXPECT_EQ(ParseLastCpu(Stat("cat", "117")), 117);
  EXPECT_EQ(ParseLastCpu(Stat("a) S 1 2 3 (b", "5")), 5);
  EXPECT_EQ(ParseLastCpu(Stat("cat", "x")), -1);
  EXPECT_EQ(ParseLastCpu(Stat("cat", "-1")), -1);
  EXPECT_EQ(ParseLastCpu("4242 (cat) S 1 2 3"), -1);
  EXPECT_EQ(ParseLastCpu(""), -1);
}

TEST(CpuFollowerTest, ReadsScheduleTimes) {
  const std::optional<ScheduleTimes> times = ParseScheduleTimes("338206061 545320 28\n");
  ASSERT_TRUE(times.has_value());
  EXPECT_EQ(times->ran, 338206061);
  EXPECT_EQ(times->waited, 545320);
  EXPECT_FALSE(ParseScheduleTimes("").has_value());
  EXPECT_FALSE(ParseScheduleTimes("1 2").has_value());
  EXPECT_FALSE(ParseScheduleTimes("a b c").has_value());
}

TEST(CpuFollowerTest, WaitingForTheClientIsNoStarvation) {
  constexpr int64_t kMs = 1000000;
  EXPECT_FALSE(IsStarved(0, 0, 10 * kMs));
  EXPECT_FALSE(IsStarved(8 * kMs, 8 * kMs, 10 * kMs));     // the client computes
  EXPECT_TRUE(IsStarved(8 * kMs, kMs, 10 * kMs));          // somebody else does
  EXPECT_FALSE(IsStarved(kMs / 2, 0, kMs));                // too little to matter
  EXPECT_FALSE(IsStarved(20 * kMs, 10 * kMs, 100 * kMs));  // a tenth
}

// In a thread of its own, which cannot leave SCHED_IDLE again.
template <typename Test>
void OnAThread(const Test& test) {
  std::thread thread(test);
  thread.join();
}

// A child of ours that does next to nothing, pinned to a CPU.
class Client {
 public:
  explicit Client(int cpu) : pid_(fork()) {
    if (pid_ == 0) {
      for (;;) usleep(1000);
    }
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    EXPECT_EQ(sched_setaffinity(pid_, sizeof(one), &one), 0);
    // It is not there before it has run there.
    while (ParseLastCpu(ReadFile("/proc/" + std::to_string(pid_) + "/stat")) != cpu) {
      usleep(1000);
    }
  }
  ~Client() {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  pid_t pid() const { return pid_; }

 private:
  const pid_t pid_;
};

int AllowedCpus() {
  cpu_set_t set;
  sched_getaffinity(0, sizeof(set), &set);
  return CPU_COUNT(&set);
}

TEST(CpuFollowerTest, GoesWhereItsClientIs) {
  cpu_set_t allowed;
  ASSERT_EQ(sched_getaffinity(0, sizeof(allowed), &allowed), 0);
  for (int cpu = 0, seen = 0; cpu < CPU_SETSIZE && seen < 2; ++cpu) {
    if (!CPU_ISSET(cpu, &allowed)) continue;
    ++seen;
    Client client(cpu);
    OnAThread([&] {
      CpuFollower follower;
      ASSERT_TRUE(follower.works());
      EXPECT_EQ(sched_getscheduler(0), SCHED_IDLE);
      for (int i = 0; i < 8; ++i) EXPECT_EQ(follower.Follow(client.pid()), CpuFollower::View::kClear);
      EXPECT_EQ(AllowedCpus(), 1);
      EXPECT_EQ(sched_getcpu(), cpu);
      follower.Loosen();
      EXPECT_EQ(AllowedCpus(), CPU_COUNT(&allowed));
      for (int i = 0; i < 32; ++i) follower.Follow(client.pid());
      EXPECT_EQ(AllowedCpus(), 1);
      EXPECT_EQ(sched_getscheduler(0), SCHED_IDLE);
    });
  }
}

TEST(CpuFollowerTest, SaysThatItCannotSeeItsClients) {
  OnAThread([] {
    CpuFollower follower;
    const int before = AllowedCpus();
    CpuFollower::View view = CpuFollower::View::kClear;
    for (int i = 0; i < 1000 && view == CpuFollower::View::kClear; ++i) view = follower.Follow(0x3fffffff);
    EXPECT_EQ(view, CpuFollower::View::kBlind);
    EXPECT_EQ(AllowedCpus(), before);
  });
}

TEST(CpuFollowerTest, NobodysRequestsSayNothing) {
  OnAThread([] {
    CpuFollower follower;
    for (int i = 0; i < 1000; ++i) EXPECT_EQ(follower.Follow(0), CpuFollower::View::kClear);
  });
}

}  // namespace
}  // namespace acetate::fusefs
