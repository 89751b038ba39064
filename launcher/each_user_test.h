// A test with launch as each kind of user starts it; skipped, with the reason, where the machine has no such user.
#pragma once

#include <gtest/gtest.h>

#include <exception>
#include <memory>

#include "launcher/launch_fixture.h"

namespace acetate::launcher {

// Instantiated with the kinds of user.
class EachUserTest : public ::testing::TestWithParam<Who> {
 protected:
  void SetUp() override {
    try {
      host_ = std::make_unique<LaunchFixture>(GetParam());
    } catch (const std::exception& reason) {
      GTEST_SKIP() << reason.what();
    }
  }

  std::unique_ptr<LaunchFixture> host_;
};

}  // namespace acetate::launcher
