#include "common/newer_call.h"

#include "gtest/gtest.h"

namespace acetate {
namespace {

long FailWith(int error) {
  errno = error;
  return -1;
}

TEST(NewerCall, GivesWhatTheCallReturns) {
  NewerCall newer;
  EXPECT_EQ(newer.Try([] { return 7L; }), 7);
  EXPECT_EQ(newer.Try([] { return FailWith(ENODATA); }), -1);
  EXPECT_EQ(errno, ENODATA);
}

TEST(NewerCall, IsNotTriedAgainWhereItIsMissing) {
  for (const int error : {ENOSYS, EPERM}) {
    NewerCall newer;
    EXPECT_EQ(newer.Try([&] { return FailWith(error); }), std::nullopt);
    bool tried = false;
    EXPECT_EQ(newer.Try([&] {
      tried = true;
      return 0L;
    }),
              std::nullopt);
    EXPECT_FALSE(tried);
  }
}

}  // namespace
}  // namespace acetate
