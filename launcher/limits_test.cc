#include "launcher/limits.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace acetate::launcher {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(LimitsTest, CpusAreMicrosecondsOfEachPeriod) {
  EXPECT_EQ(*ParseCpus("1"), 100000u);
  EXPECT_EQ(*ParseCpus("0.5"), 50000u);
  EXPECT_EQ(*ParseCpus(".25"), 25000u);
  EXPECT_EQ(*ParseCpus("1.50"), 150000u);
  EXPECT_EQ(*ParseCpus("0.01"), 1000u);
  EXPECT_EQ(*ParseCpus("2.123456789"), 212345u);
  EXPECT_EQ(*ParseCpus("0"), 0u);
  EXPECT_EQ(*ParseCpus("0.0"), 0u);
  for (const char* text : {"", ".", "1.", "x", "-1", "+1", " 1", "1e3", "1.5.0", "0,5", "1.0000000001"}) {
    EXPECT_FALSE(ParseCpus(text).ok()) << text;
  }
  EXPECT_THAT(std::string(ParseCpus("0.009").status().message()), HasSubstr("less than 0.01"));
  EXPECT_THAT(std::string(ParseCpus("0.000001").status().message()), HasSubstr("less than 0.01"));
  EXPECT_THAT(std::string(ParseCpus("99999").status().message()), HasSubstr("more CPUs"));
}

TEST(LimitsTest, SharesAndWeightsHaveTheirRanges) {
  EXPECT_EQ(*ParseCpuShares("2"), 2u);
  EXPECT_EQ(*ParseCpuShares("262144"), 262144u);
  EXPECT_EQ(*ParseCpuShares("0"), 0u);
  for (const char* text : {"", "1", "262145", "-5", "1k"}) EXPECT_FALSE(ParseCpuShares(text).ok()) << text;
  EXPECT_EQ(*ParseBlkioWeight("10"), 10u);
  EXPECT_EQ(*ParseBlkioWeight("1000"), 1000u);
  EXPECT_EQ(*ParseBlkioWeight("0"), 0u);
  for (const char* text : {"", "9", "1001", "x"}) EXPECT_FALSE(ParseBlkioWeight(text).ok()) << text;
}

TEST(LimitsTest, BothScalesHaveTheirEndsInCommon) {
  EXPECT_EQ(CpuWeight(2), 1u);
  EXPECT_EQ(CpuWeight(1024), 39u);
  EXPECT_EQ(CpuWeight(262144), 10000u);
  EXPECT_EQ(IoWeight(10), 1u);
  EXPECT_EQ(IoWeight(500), 4950u);
  EXPECT_EQ(IoWeight(1000), 10000u);
}

TEST(LimitsTest, ListsAreNumbersAndRanges) {
  EXPECT_THAT(*ParseNumberList("0"), ElementsAre(0));
  EXPECT_THAT(*ParseNumberList("4,0-2,1"), ElementsAre(0, 1, 2, 4));
  for (const char* text : {"", ",", "0,", "1-", "-1", "a", "0-2-3", "0 1", "3-1", "0-100000", "9000"}) {
    EXPECT_FALSE(ParseNumberList(text).ok()) << text;
  }
}

TEST(LimitsTest, WhatIsWantedBeyondWhatThereIsIsNamed) {
  EXPECT_THAT(MissingFrom("0-1\n", "0,1"), IsEmpty());
  EXPECT_THAT(MissingFrom("0-1\n", "1-3,7"), ElementsAre(2, 3, 7));
  EXPECT_THAT(MissingFrom("", "0"), ElementsAre(0));
}

TEST(LimitsTest, SwapIsALimitOfBothTogether) {
  ResourceLimits limits;
  EXPECT_TRUE(CheckLimits(limits).ok());
  limits.memory_swap = 100 << 20;
  EXPECT_THAT(std::string(CheckLimits(limits).message()), HasSubstr("give --memory as well"));
  limits.memory_bytes = 64 << 20;
  EXPECT_TRUE(CheckLimits(limits).ok());
  limits.memory_bytes = 101 << 20;
  EXPECT_THAT(std::string(CheckLimits(limits).message()), HasSubstr("cannot be less than --memory"));
  limits.memory_swap = kUnlimitedSwap;
  EXPECT_TRUE(CheckLimits(limits).ok());
}

}  // namespace
}  // namespace acetate::launcher
