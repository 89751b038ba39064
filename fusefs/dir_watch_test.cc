#include "fusefs/dir_watch.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <thread>

#include "common/syscalls.h"
#include "common/temp_dir.h"

namespace acetate::fusefs {
namespace {

class DirWatchTest : public ::testing::Test {
 protected:
  DirWatchTest()
      : fd_(*sys::OpenAt(AT_FDCWD, temp_.path().c_str(), O_PATH | O_DIRECTORY)), watch_(*DirWatch::Start()) {}

  TempDir temp_;
  UniqueFd fd_;
  std::unique_ptr<DirWatch> watch_;
};

TEST_F(DirWatchTest, NamesThatComeAndGoAreTold) {
  const int number = *watch_->Add(fd_.get(), false);
  EXPECT_EQ(*watch_->Add(fd_.get(), false), number);
  MakeDirs(temp_ / "d");
  std::vector<DirWatch::Event> events = watch_->Wait();
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].watch, number);
  EXPECT_EQ(events[0].name, "d");
  EXPECT_TRUE(events[0].name_changed);
  EXPECT_EQ(rename((temp_ / "d").c_str(), (temp_ / "e").c_str()), 0);
  EXPECT_EQ(watch_->Wait().size(), 2u);
}

TEST_F(DirWatchTest, WritesAreToldAtOnceOrAtTheClose) {
  UniqueFd file = *sys::OpenAt(AT_FDCWD, (temp_ / "f").c_str(), O_CREAT | O_WRONLY, 0600);
  ASSERT_TRUE(watch_->Add(fd_.get(), true).ok());
  ASSERT_EQ(write(file.get(), "x", 1), 1);
  std::vector<DirWatch::Event> events = watch_->Wait();
  ASSERT_EQ(events.size(), 1u);
  EXPECT_TRUE(events[0].contents_changed);
  EXPECT_FALSE(events[0].name_changed);
  ASSERT_EQ(fchmod(file.get(), 0644), 0);
  events = watch_->Wait();
  ASSERT_EQ(events.size(), 1u);
  EXPECT_FALSE(events[0].contents_changed);
  ASSERT_TRUE(watch_->Add(fd_.get(), false).ok());
  ASSERT_EQ(write(file.get(), "x", 1), 1);
  file.Reset();
  events = watch_->Wait();
  ASSERT_EQ(events.size(), 1u);
  EXPECT_TRUE(events[0].contents_changed);
}

TEST_F(DirWatchTest, StopEndsTheWait) {
  std::thread waiting([&] { EXPECT_TRUE(watch_->Wait().empty()); });
  watch_->Stop();
  waiting.join();
}

}  // namespace
}  // namespace acetate::fusefs
