// A test with launch as each kind of user starts it; skipped, with the reason, where the machine has no such user.
#pragma once

#include <gtest/gtest.h>

#include <exception>
#include <memory>
#include <string>
#include <vector>

#include "launcher/launch_fixture.h"

namespace acetate::launcher {

class EachUserTest : public ::testing::TestWithParam<Who> {
 protected:
  void SetUp() override {
    try {
      host_ = std::make_unique<LaunchFixture>(GetParam());
    } catch (const std::exception& reason) {
      GTEST_SKIP() << reason.what();
    }
  }

  bool HasOneId() const { return GetParam() == Who::kLone; }

  // Starts a container called box, in the background.
  void StartBox(const std::vector<std::string>& flags = {},
                const std::vector<std::string>& command = {"sleep", "1000"}) {
    std::vector<std::string> words = {"-d", "--name", "box"};
    words.insert(words.end(), flags.begin(), flags.end());
    const Result result = host_->Run(words, command);
    ASSERT_EQ(result.status, 0) << result;
  }

  // launch exec FLAGS... box COMMAND...
  Result Exec(const std::vector<std::string>& flags, const std::vector<std::string>& command) {
    std::vector<std::string> words = {"exec"};
    words.insert(words.end(), flags.begin(), flags.end());
    words.push_back("box");
    words.insert(words.end(), command.begin(), command.end());
    return host_->Launch(words);
  }

  std::unique_ptr<LaunchFixture> host_;
};

// Instantiates it with every kind of user.
#define ACETATE_FOR_EACH_USER(suite)                                                             \
  INSTANTIATE_TEST_SUITE_P(Users, suite, ::testing::Values(Who::kRoot, Who::kPlain, Who::kLone), \
                           [](const auto& test) { return NameOf(test.param); })

}  // namespace acetate::launcher
