// Limits, statistics, pause and kill where cgroups of version 2 rule alone: on an older kernel in a virtual machine, as
// root, as a user to whom a part of the tree is delegated, and as one to whom none is. All cases run in one boot; what
// each does is in guest/cases.sh.
#include <gtest/gtest.h>

#include "absl/strings/str_replace.h"
#include "tests/vm/guest.h"

namespace acetate {
namespace {

const Guest& TheGuest() {
  static const auto* const guest = new Guest([](const MachineKernel& kernel) { return GuestRoot(kernel).Finish(); });
  return *guest;
}

class MachineTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!TheGuest().missing().empty()) GTEST_SKIP() << TheGuest().missing();
  }
};

class LimitsVmTest : public MachineTest, public ::testing::WithParamInterface<const char*> {};

TEST_P(LimitsVmTest, Case) { EXPECT_EQ(TheGuest().Case(GetParam()), "ok"); }

TEST_F(MachineTest, ItRanToItsEnd) { EXPECT_EQ(TheGuest().Trouble(), ""); }

std::string NameOfCase(const ::testing::TestParamInfo<const char*>& info) {
  return absl::StrReplaceAll(info.param, {{" ", "_"}});
}

INSTANTIATE_TEST_SUITE_P(Root, LimitsVmTest,
                         ::testing::Values("root pids", "root memory", "root cpus", "root cpuset", "root shares",
                                           "root io_weight", "root daemon", "root statistics", "root pause"),
                         NameOfCase);
INSTANTIATE_TEST_SUITE_P(Delegated, LimitsVmTest,
                         ::testing::Values("user pids", "user memory", "user cpus", "user cpuset", "user shares",
                                           "user io_weight", "user daemon", "user statistics", "user pause",
                                           "user solo", "user crowd"),
                         NameOfCase);
INSTANTIATE_TEST_SUITE_P(OlderKernel, LimitsVmTest, ::testing::Values("user plain_container", "user plain_union"),
                         NameOfCase);
INSTANTIATE_TEST_SUITE_P(Undelegated, LimitsVmTest,
                         ::testing::Values("other refused", "other best_effort", "other without_limits"), NameOfCase);

}  // namespace
}  // namespace acetate
