#include "common/errno_or.h"

#include <gtest/gtest.h>

#include <memory>

namespace acetate {
namespace {

ErrnoOr<int> Half(int value) {
  if (value % 2 != 0) return Errno(EINVAL);
  return value / 2;
}

ErrnoOr<int> Quarter(int value) {
  ACETATE_ASSIGN_OR_RETURN(int half, Half(value));
  return Half(half);
}

Errno CheckEven(int value) {
  ACETATE_RETURN_IF_ERROR(Half(value).error());
  return kOk;
}

TEST(ErrnoOrTest, CarriesValueOrError) {
  EXPECT_EQ(*Quarter(8), 2);
  EXPECT_EQ(Quarter(6).error(), EINVAL);
  EXPECT_TRUE(CheckEven(2).ok());
  EXPECT_EQ(CheckEven(3), EINVAL);
}

TEST(ErrnoOrTest, MovesWhatCannotBeCopied) {
  ErrnoOr<std::unique_ptr<int>> owner(std::make_unique<int>(7));
  std::unique_ptr<int> taken = *std::move(owner);
  EXPECT_EQ(*taken, 7);
}

TEST(ErrnoOrTest, StatusSaysWhatWasTried) {
  absl::Status status = ErrnoToStatus(Errno(ENOENT), "open /etc/nothing");
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(status.message(), "open /etc/nothing: No such file or directory");
}

}  // namespace
}  // namespace acetate
