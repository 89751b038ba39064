#include "fusefs/id_mapping.h"

#include <gtest/gtest.h>

namespace acetate::fusefs {
namespace {

std::string Error(absl::string_view text) {
  IdMapping mapping;
  const absl::Status status = mapping.Add(text);
  EXPECT_FALSE(status.ok()) << text;
  return std::string(status.message());
}

TEST(IdMappingTest, WithoutRangesEveryIdIsItself) {
  const IdMapping mapping;
  EXPECT_TRUE(mapping.empty());
  EXPECT_EQ(mapping.ToShown(7), 7u);
  EXPECT_EQ(mapping.ToStored(4294967294), 4294967294u);
}

TEST(IdMappingTest, RangesAreShiftedBothWays) {
  IdMapping mapping;
  ASSERT_TRUE(mapping.Add("0:1000:1:1:110000:65536").ok());
  EXPECT_EQ(mapping.ToShown(0), 1000u);
  EXPECT_EQ(mapping.ToShown(1), 110000u);
  EXPECT_EQ(mapping.ToShown(65536), 175535u);
  EXPECT_EQ(mapping.ToShown(65537), std::nullopt);
  EXPECT_EQ(mapping.ToStored(1000), 0u);
  EXPECT_EQ(mapping.ToStored(110033), 34u);
  EXPECT_EQ(mapping.ToStored(0), std::nullopt);
}

TEST(IdMappingTest, TheLastIdMayBeMapped) {
  IdMapping mapping;
  ASSERT_TRUE(mapping.Add("0:4294967294:1").ok());
  EXPECT_EQ(mapping.ToShown(0), 4294967294u);
}

TEST(IdMappingTest, GivenTwiceBothCount) {
  IdMapping mapping;
  ASSERT_TRUE(mapping.Add("0:1000:1").ok());
  ASSERT_TRUE(mapping.Add("1:110000:10").ok());
  EXPECT_EQ(mapping.ToShown(0), 1000u);
  EXPECT_EQ(mapping.ToShown(10), 110009u);
}

TEST(IdMappingTest, AColonInFrontMeansNothing) {
  IdMapping mapping;
  ASSERT_TRUE(mapping.Add(":0:1000:1").ok());
  EXPECT_EQ(mapping.ToShown(0), 1000u);
}

TEST(IdMappingTest, WhatIsNoMapping) {
  EXPECT_EQ(Error(""), "STORED:SHOWN:COUNT, or several of these in a row");
  EXPECT_EQ(Error("0:1000"), "STORED:SHOWN:COUNT, or several of these in a row");
  EXPECT_EQ(Error("0:1000:1:"), "STORED:SHOWN:COUNT, or several of these in a row");
  EXPECT_EQ(Error("0:root:1"), "made of numbers, and 'root' is none");
  EXPECT_EQ(Error("-1:0:1"), "made of numbers, and '-1' is none");
  EXPECT_EQ(Error("0:0:4294967296"), "made of numbers, and '4294967296' is none");
  EXPECT_EQ(Error("0:1000:0"), "made of ranges of at least one id");
  EXPECT_EQ(Error("4294967295:0:1"), "made of ids up to 4294967294");
  EXPECT_EQ(Error("1:0:4294967295"), "made of ids up to 4294967294");
  EXPECT_EQ(Error("0:1000:2:1:2000:1"), "made of ranges that do not overlap");
  EXPECT_EQ(Error("0:1000:2:5:1001:1"), "made of ranges that do not overlap");
}

}  // namespace
}  // namespace acetate::fusefs
