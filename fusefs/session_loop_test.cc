#include "fusefs/session_loop.h"

#include <gtest/gtest.h>

#include <string>

namespace acetate::fusefs {
namespace {

constexpr UringSupport kThere = {true, true, true};
constexpr UringSupport kForbidden = {true, true, false};
constexpr UringSupport kOldKernel = {true, false, false};
constexpr UringSupport kOldLibfuse = {false, true, true};

TEST(SessionLoopTest, RingsAreTakenWhereTheyAre) {
  for (const auto& [io, support, uring] : {std::tuple(Io::kAuto, kThere, true),
                                           {Io::kAuto, kForbidden, false},
                                           {Io::kAuto, kOldKernel, false},
                                           {Io::kAuto, kOldLibfuse, false},
                                           {Io::kThreads, kThere, false},
                                           {Io::kThreads, kOldLibfuse, false},
                                           {Io::kUring, kThere, true}}) {
    const absl::StatusOr<bool> taken = TakesUring(io, support);
    ASSERT_TRUE(taken.ok()) << taken.status();
    EXPECT_EQ(*taken, uring);
  }
}

TEST(SessionLoopTest, AskedForInVainTheyAreRefusedWithTheReason) {
  for (const auto& [support, reason] : {std::pair(kForbidden, "write Y to /sys/module/fuse/parameters/enable_uring"),
                                        {kOldKernel, "Linux 6.14"},
                                        {kOldLibfuse, "libfuse 3.18"}}) {
    const absl::StatusOr<bool> taken = TakesUring(Io::kUring, support);
    ASSERT_FALSE(taken.ok());
    const std::string message(taken.status().message());
    EXPECT_NE(message.find(reason), std::string::npos) << message;
    EXPECT_EQ(message.find('\n'), std::string::npos);
  }
}

}  // namespace
}  // namespace acetate::fusefs
