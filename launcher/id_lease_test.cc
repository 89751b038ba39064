#include "launcher/id_lease.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "common/temp_dir.h"

namespace acetate::launcher {
namespace {

class IdLeaseTest : public ::testing::Test {
 protected:
  UniqueFd Take(uint32_t first, uint32_t count) {
    absl::StatusOr<UniqueFd> lease = TakeLease(dir_.path(), {first, count});
    EXPECT_TRUE(lease.ok()) << lease.status();
    return lease.ok() ? *std::move(lease) : UniqueFd();
  }
  bool Exists(uint32_t first, uint32_t count) {
    return access(LeasePath(dir_.path(), {first, count}).c_str(), F_OK) == 0;
  }

  TempDir dir_;
};

TEST_F(IdLeaseTest, ALeaseLastsAsLongAsItsHolder) {
  UniqueFd lease = Take(10, 5);
  UniqueFd copy(dup(lease.get()));
  ASSERT_EQ(ReadLeases(dir_.path()).size(), 1u);
  EXPECT_EQ(ReadLeases(dir_.path())[0].first, 10u);
  EXPECT_EQ(ReadLeases(dir_.path())[0].count, 5u);
  lease.Reset();
  EXPECT_EQ(ReadLeases(dir_.path()).size(), 1u);
  copy.Reset();
  EXPECT_EQ(ReadLeases(dir_.path()).size(), 0u);
}

TEST_F(IdLeaseTest, WhatIsLeftBehindGoesWithTheNext) {
  Take(0, 5).Reset();
  Take(5, 5).Reset();
  UniqueFd held = Take(10, 5);
  EXPECT_FALSE(Exists(0, 5));
  UniqueFd again = Take(0, 5);
  EXPECT_FALSE(Exists(5, 5));
  EXPECT_TRUE(Exists(10, 5));
  EXPECT_EQ(ReadLeases(dir_.path()).size(), 2u);
}

TEST_F(IdLeaseTest, WhatIsTakenCannotBeTakenAgain) {
  UniqueFd held = Take(0, 5);
  EXPECT_FALSE(TakeLease(dir_.path(), {0, 5}).ok());
}

TEST_F(IdLeaseTest, OtherFilesAreNoLeases) {
  for (const char* name : {"ids-1", "ids-x-2", "ids-1-2-3", "abc"}) WriteFile(dir_ / name, "");
  UniqueFd held = Take(0, 5);
  EXPECT_EQ(ReadLeases(dir_.path()).size(), 1u);
  EXPECT_EQ(access((dir_ / "abc").c_str(), F_OK), 0);
}

}  // namespace
}  // namespace acetate::launcher
