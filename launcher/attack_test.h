// A test with a hostile program, attacker, in the image's /bin, for each kind of user who launches.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "launcher/each_user_test.h"
#include "launcher/launch_fixture.h"

namespace acetate::launcher {

class AttackTest : public EachUserTest {
 protected:
  void SetUp() override {
    EachUserTest::SetUp();
    if (host_ == nullptr) return;
    const std::string attacker = *host_ / "image/base/bin/attacker";
    std::filesystem::copy_file(std::filesystem::canonical("launcher/attacker"), attacker);
    host_->Own(attacker);
  }

  // What an attack in a container of its own prints. The attack has to come to its end.
  std::string Attack(const std::vector<std::string>& flags, const std::vector<std::string>& words) {
    std::vector<std::string> all = {"--rm"};
    all.insert(all.end(), flags.begin(), flags.end());
    std::vector<std::string> command = {"attacker"};
    command.insert(command.end(), words.begin(), words.end());
    const Result result = host_->Run(all, command);
    EXPECT_EQ(result.status, 0) << result;
    return result.out;
  }
};

}  // namespace acetate::launcher
