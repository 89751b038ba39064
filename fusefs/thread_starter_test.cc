#include "fusefs/thread_starter.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <atomic>
#include <thread>
#include <vector>

#include "fusefs/cpu_follower.h"

namespace acetate::fusefs {
namespace {

TEST(ThreadStarterTest, WhatItStartsBeginsAsItsMakerWas) {
  cpu_set_t own;
  ASSERT_EQ(sched_getaffinity(0, sizeof(own), &own), 0);
  ThreadStarter starter;
  int policy = -1;
  cpu_set_t cpus;
  std::thread asks([&] {
    CpuFollower follower;  // nothing that this thread starts by itself leaves SCHED_IDLE again
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(sched_getcpu(), &one);
    sched_setaffinity(0, sizeof(one), &one);
    std::thread started = starter.Start([&] {
      policy = sched_getscheduler(0);
      sched_getaffinity(0, sizeof(cpus), &cpus);
    });
    started.join();
  });
  asks.join();
  EXPECT_EQ(policy, sched_getscheduler(0));
  EXPECT_TRUE(CPU_EQUAL(&cpus, &own));
}

TEST(ThreadStarterTest, ManyMayAskAtOnce) {
  ThreadStarter starter;
  std::atomic<int> ran{0};
  std::vector<std::thread> asking;
  for (int i = 0; i < 8; ++i) {
    asking.emplace_back([&] {
      for (int j = 0; j < 20; ++j) starter.Start([&] { ++ran; }).join();
    });
  }
  for (std::thread& thread : asking) thread.join();
  EXPECT_EQ(ran, 160);
}

}  // namespace
}  // namespace acetate::fusefs
