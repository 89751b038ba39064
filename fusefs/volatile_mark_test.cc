#include "fusefs/volatile_mark.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/temp_dir.h"

namespace acetate::fusefs {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class VolatileMarkTest : public testing::Test {
 protected:
  VolatileMarkTest() : fd_(open(temp_.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {}

  std::string CheckError() { return std::string(VolatileMark::Open(fd_.get(), "/w").status().message()); }
  bool Exists(const std::string& name) { return access((temp_ / name).c_str(), F_OK) == 0; }

  TempDir temp_;
  UniqueFd fd_;
};

TEST_F(VolatileMarkTest, AFreshWorkDirectoryHasNone) {
  EXPECT_EQ(CheckError(), "");
  MakeDirs(temp_ / "work");
  EXPECT_EQ(CheckError(), "");
}

TEST_F(VolatileMarkTest, WhoDiesLeavesIt) {
  MakeDirs(temp_ / "work");
  ASSERT_TRUE(VolatileMark::Open(fd_.get(), "/w")->Put().ok());
  EXPECT_TRUE(Exists("work/incompat/volatile/dirty"));
  EXPECT_THAT(CheckError(), AllOf(HasSubstr("not unmounted cleanly"), HasSubstr("remove '/w/work/incompat/volatile'")));
}

TEST_F(VolatileMarkTest, AnOrderlyEndTakesItAway) {
  MakeDirs(temp_ / "work");
  absl::StatusOr<VolatileMark> mark = VolatileMark::Open(fd_.get(), "/w");
  ASSERT_TRUE(mark.ok());
  ASSERT_TRUE(mark->Put().ok());
  EXPECT_TRUE(mark->Clear().ok());
  EXPECT_FALSE(Exists("work/incompat"));
  EXPECT_EQ(CheckError(), "");
  EXPECT_FALSE(mark->Clear().ok());
}

TEST_F(VolatileMarkTest, TheKernelsWorkDirectoryHasMode0) {
  MakeDirs(temp_ / "work/incompat/volatile");
  ASSERT_EQ(chmod((temp_ / "work").c_str(), 0), 0);
  EXPECT_THAT(CheckError(), HasSubstr("not unmounted cleanly"));
}

TEST_F(VolatileMarkTest, AnUnknownMarkIsRefusedToo) {
  MakeDirs(temp_ / "work/incompat/quantum");
  EXPECT_THAT(CheckError(), HasSubstr("feature 'quantum'"));
}

}  // namespace
}  // namespace acetate::fusefs
