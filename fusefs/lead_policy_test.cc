#include "fusefs/lead_policy.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace acetate::fusefs {
namespace {

constexpr int kCpus = 2;

Moment Quiet() { return {.requests = 500, .runnable = 1}; }
Moment Idle() { return {.runnable = 0}; }
Moment Busy() { return {.requests = 100, .runnable = kCpus + 1}; }
Moment Crowded() { return {.requests = 500, .switches = 200, .runnable = 2}; }
Moment Bulk() { return {.requests = 100, .bulk = 90, .runnable = 2}; }
Moment Sparse() { return {.requests = 10, .runnable = 1}; }
Moment Stuck() { return {.runnable = 1, .stuck = true}; }
Moment Starved() { return {.requests = 100, .runnable = 2, .starved = true}; }
Moment Background() { return {.requests = 10, .runnable = 1, .background = true}; }
Moment Blind() { return {.requests = 500, .runnable = 1, .blind = true}; }

// A policy and its clock: a moment is 10 ms.
class LeadPolicyTest : public ::testing::Test {
 protected:
  Lead After(Moment moment, int times = 1) {
    for (int i = 0; i < times; ++i) {
      now_ += 10;
      moment.now_ms = now_;
      policy_.Next(moment);
    }
    return policy_.lead();
  }
  // How many quiet moments it takes until the client is followed again; at most `most`.
  int MomentsUntilItFollows(int most = 10000) {
    for (int i = 1; i <= most; ++i) {
      if (After(Quiet()) == Lead::kFollow) return i;
    }
    return -1;
  }

  LeadPolicy policy_{kCpus};
  int64_t now_ = 1000000;
};

TEST_F(LeadPolicyTest, WhatEachMomentLeadsTo) {
  struct Row {
    const char* what;
    std::vector<Moment> moments;
    Lead lead;
  };
  const Row rows[] = {
      {"nothing yet", {}, Lead::kFollow},
      {"one client", {Quiet(), Quiet(), Quiet()}, Lead::kFollow},
      {"nobody", {Idle(), Idle(), Idle()}, Lead::kFollow},
      {"busy for some moments", {Busy(), Busy(), Quiet(), Busy()}, Lead::kFollow},
      {"busy", {Busy(), Busy(), Busy(), Busy(), Busy()}, Lead::kSeveral},
      {"stuck", {Stuck()}, Lead::kSeveral},
      {"large reads", {Quiet(), Bulk()}, Lead::kSeveral},
      {"large reads are over", {Bulk(), Quiet()}, Lead::kFollow},
      {"starved", {Starved()}, Lead::kSeveral},
      {"copying in the background", {Quiet(), Background()}, Lead::kSeveral},
      {"a client that cannot be seen", {Blind()}, Lead::kSeveral},
      {"several for a moment", {Crowded(), Quiet()}, Lead::kFollow},
      {"several", {Crowded(), Crowded()}, Lead::kFollowEach},
      {"several, and nobody for a while", {Crowded(), Crowded(), Idle(), Idle()}, Lead::kFollowEach},
      {"several, one of them starved", {Crowded(), Crowded(), Starved()}, Lead::kSeveral},
      {"several that cannot be seen", {Crowded(), Crowded(), Blind()}, Lead::kSeveral},
      {"several on a busy machine", {Busy(), Busy(), Busy(), Busy(), Busy(), Crowded(), Crowded()}, Lead::kSeveral},
      {"too few requests to tell", {{.requests = 4, .switches = 4}, {.requests = 4, .switches = 4}}, Lead::kFollow},
      {"few, and others compute", {Sparse()}, Lead::kSeveral},
      {"none, and others compute", {{.runnable = 1}}, Lead::kSeveral},
      {"few, and then many", {Sparse(), Quiet()}, Lead::kFollow},
      {"few, and then some", {Sparse(), {.requests = 20, .runnable = 1}}, Lead::kSeveral},
      {"many, and then some", {Quiet(), {.requests = 20, .runnable = 1}}, Lead::kFollow},
      {"few, and then nobody", {Sparse(), Idle()}, Lead::kFollow},
  };
  for (const Row& row : rows) {
    policy_ = LeadPolicy(kCpus);
    for (const Moment& moment : row.moments) After(moment);
    EXPECT_EQ(policy_.lead(), row.lead) << row.what;
  }
}

TEST_F(LeadPolicyTest, OneOfSeveralClientsThatIsLeftIsFollowed) {
  ASSERT_EQ(After(Crowded(), 2), Lead::kFollowEach);
  EXPECT_EQ(After(Quiet(), LeadPolicy::kLonelyMoments - 1), Lead::kFollowEach);
  EXPECT_EQ(After(Quiet()), Lead::kFollow);
}

TEST_F(LeadPolicyTest, SeveralClientsAreFollowedAgainWhenTheMachineIsQuiet) {
  ASSERT_EQ(After(Crowded(), 2), Lead::kFollowEach);
  ASSERT_EQ(After(Busy(), LeadPolicy::kBusyMoments), Lead::kSeveral);
  EXPECT_EQ(After(Crowded(), LeadPolicy::kShortestPause / 10 - 1), Lead::kSeveral);
  EXPECT_EQ(After(Crowded()), Lead::kFollowEach);
}

TEST_F(LeadPolicyTest, WhileTheMachineIsBusyNobodyIsFollowed) {
  ASSERT_EQ(After(Busy(), LeadPolicy::kBusyMoments), Lead::kSeveral);
  EXPECT_EQ(After(Busy(), 5000), Lead::kSeveral);
  const int moments = MomentsUntilItFollows();
  EXPECT_GE(moments, LeadPolicy::kShortestPause / 10);
  EXPECT_LE(moments, 3 * LeadPolicy::kShortestPause / 10);
}

// Two programs that compute take two CPUs, though between requests no more than two threads may be seen.
TEST_F(LeadPolicyTest, AMachineWithoutRoomIsBusy) {
  EXPECT_EQ(After({.requests = 100, .runnable = kCpus}, 1000), Lead::kSeveral);
  EXPECT_EQ(After({.requests = 3, .runnable = kCpus}, 1000), Lead::kSeveral);
}

TEST_F(LeadPolicyTest, OneProgramThatComputesLeavesRoom) {
  for (int i = 0; i < 1000; ++i) {
    EXPECT_EQ(After({.requests = 500, .runnable = 1 + i % 2}), Lead::kFollow);
  }
}

TEST_F(LeadPolicyTest, EachFailureDoublesThePauseUntilItIsForgiven) {
  int64_t pause = LeadPolicy::kShortestPause;
  for (int i = 0; i < 10; ++i) {
    ASSERT_EQ(After(Starved()), Lead::kSeveral);
    EXPECT_EQ(MomentsUntilItFollows(), pause / 10);
    pause = std::min(2 * pause, LeadPolicy::kLongestPause);
  }
  EXPECT_EQ(After(Quiet(), LeadPolicy::kForgiven / 10), Lead::kFollow);
  ASSERT_EQ(After(Starved()), Lead::kSeveral);
  EXPECT_EQ(MomentsUntilItFollows(), LeadPolicy::kShortestPause / 10);
}

TEST_F(LeadPolicyTest, ALongSleepEndsThePauseAtOnce) {
  ASSERT_EQ(After(Stuck()), Lead::kSeveral);
  now_ += LeadPolicy::kShortestPause;
  EXPECT_EQ(After(Quiet()), Lead::kFollow);
}

}  // namespace
}  // namespace acetate::fusefs
