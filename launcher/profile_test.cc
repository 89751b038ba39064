#include "launcher/profile.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"

namespace acetate::launcher {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Phase = Profile::Phase;

// The names, and the milliseconds, of the lines.
std::vector<std::pair<std::string, double>> Lines(const Profile& profile) {
  std::vector<std::pair<std::string, double>> lines;
  for (absl::string_view line : absl::StrSplit(profile.Report(), '\n', absl::SkipEmpty())) {
    std::vector<std::string> words = absl::StrSplit(line, ' ', absl::SkipEmpty());
    double time = -1;
    EXPECT_EQ(words.front(), "profile:");
    EXPECT_EQ(words.back(), "ms");
    EXPECT_TRUE(absl::SimpleAtod(words[words.size() - 2], &time));
    lines.emplace_back(words[1], time);
  }
  return lines;
}

TEST(ProfileTest, WhatIsNotAskedForSaysNothing) {
  Profile profile;
  profile.End(Phase::kPlan);
  EXPECT_THAT(profile.Report(), IsEmpty());
  EXPECT_THAT(Profile::Start().Report(), IsEmpty());
}

TEST(ProfileTest, APhaseLastsFromTheEndOfTheOneBefore) {
  const Profile profile = Profile::Start();
  profile.End(Phase::kPlan);
  usleep(20000);
  profile.End(Phase::kExec);
  usleep(5000);
  profile.End(Phase::kExec);  // has ended before
  const auto lines = Lines(profile);
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_EQ(lines[1].first, "exec");
  EXPECT_GE(lines[1].second, 20);
  EXPECT_EQ(lines[2].first, "all");
  EXPECT_NEAR(lines[2].second, lines[0].second + lines[1].second, 0.01);
}

TEST(ProfileTest, OtherProcessesNoteTheirs) {
  const Profile profile = Profile::Start();
  const Profile copy = profile;
  const pid_t child = fork();
  if (child == 0) {
    copy.End(Phase::kMount);
    _exit(0);
  }
  ASSERT_EQ(waitpid(child, nullptr, 0), child);
  profile.End(Phase::kCleanUp);
  const auto lines = Lines(profile);
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_EQ(lines[0].first, "mount");
  EXPECT_EQ(lines[1].first, "clean");
}

}  // namespace
}  // namespace acetate::launcher
