#include "launcher/containers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace acetate::launcher {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

const std::vector<std::pair<std::string, std::string>> kContainers = {
    {"aaaa1111", "web"}, {"aaaa2222", "website"}, {"bbbb3333", ""}, {"cccc4444", "aaaa"}};

size_t IndexOf(const std::string& reference) {
  absl::StatusOr<size_t> index = MatchReference(kContainers, reference);
  return index.ok() ? *index : 99;
}
std::string ErrorOf(const std::string& reference) {
  return std::string(MatchReference(kContainers, reference).status().message());
}

TEST(ContainersTest, AreFoundByIdNameOrTheBeginningOfEither) {
  EXPECT_EQ(IndexOf("aaaa1111"), 0u);
  EXPECT_EQ(IndexOf("aaaa2"), 1u);
  EXPECT_EQ(IndexOf("b"), 2u);
  EXPECT_EQ(IndexOf("webs"), 1u);
}

TEST(ContainersTest, AWholeNameGoesBeforeTheBeginningOfOthers) {
  EXPECT_EQ(IndexOf("web"), 0u);
  EXPECT_EQ(IndexOf("aaaa"), 3u);
}

TEST(ContainersTest, WhatIsNoOnesOrSeveralsIsAnErrorThatSaysSo) {
  EXPECT_EQ(ErrorOf("zz"), "there is no container zz");
  EXPECT_EQ(ErrorOf(""), "there is no container ");
  EXPECT_THAT(ErrorOf("we"), AllOf(HasSubstr("aaaa1111 (web)"), HasSubstr("aaaa2222 (website)")));
  EXPECT_THAT(ErrorOf("aaa"), HasSubstr("more than one"));
}

}  // namespace
}  // namespace acetate::launcher
