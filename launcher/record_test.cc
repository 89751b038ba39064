#include "launcher/record.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/temp_dir.h"

namespace acetate::launcher {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

RunRecord Example() {
  RunRecord record;
  record.remove_container = true;
  record.container = "/s/containers/1";
  record.name_link = "/s/names/a";
  record.runtime_dir = "/run/odd \n name";
  record.cgroups = {"/c/1", "/c/2"};
  record.leaf = "/c/aside";
  return record;
}

TEST(RecordTest, ReadsWhatItWrites) {
  RunRecord record = Example();
  record.init = 42;
  record.init_start = 123456789012;
  record.end = 0;
  RunRecord read = ParseRecord(FormatRecord(record));
  EXPECT_TRUE(read.remove_container);
  EXPECT_EQ(read.container, record.container);
  EXPECT_EQ(read.name_link, record.name_link);
  EXPECT_EQ(read.runtime_dir, record.runtime_dir);
  EXPECT_THAT(read.cgroups, ElementsAre("/c/1", "/c/2"));
  EXPECT_EQ(read.leaf, "/c/aside");
  EXPECT_EQ(read.init, 42);
  EXPECT_EQ(read.init_start, 123456789012u);
  EXPECT_EQ(read.end, 0);
  EXPECT_EQ(ParseRecord(FormatRecord(Example())).end, -1);
}

TEST(RecordTest, TornTextTellsWhatItCan) {
  std::string text = FormatRecord(Example());
  for (size_t length = 0; length <= text.size(); ++length) ParseRecord(text.substr(0, length));
  EXPECT_EQ(ParseRecord("container /x\ninit 5\ninit x y\ninit").init, 0);
}

class StaleTest : public ::testing::Test {
 protected:
  StaleTest() { MakeDirs(dir_ / "running"); }
  std::string Path(const std::string& id) const { return dir_ / ("running/" + id); }
  TempDir dir_;
};

TEST_F(StaleTest, ARecordIsStaleOnceItsLockIsGone) {
  {
    absl::StatusOr<UniqueFd> lock = CreateRecord(Path("1"), Example());
    ASSERT_TRUE(lock.ok()) << lock.status();
    EXPECT_THAT(FindStale(dir_.path()), IsEmpty());
  }
  std::vector<Stale> stale = FindStale(dir_.path());
  ASSERT_THAT(stale, SizeIs(1));
  EXPECT_EQ(stale[0].path, Path("1"));
  EXPECT_EQ(stale[0].record.container, "/s/containers/1");
  // Who finds it has it: no two launches clean up the same.
  EXPECT_THAT(FindStale(dir_.path()), IsEmpty());
}

TEST_F(StaleTest, TheLockLivesInEveryProcessThatSharesIt) {
  absl::StatusOr<UniqueFd> lock = CreateRecord(Path("1"), Example());
  ASSERT_TRUE(lock.ok());
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  pid_t child = fork();
  if (child == 0) {
    close(ready[1]);
    char byte;
    _exit(read(ready[0], &byte, 1) == 0 ? 0 : 1);
  }
  lock->Reset();
  EXPECT_THAT(FindStale(dir_.path()), IsEmpty());
  close(ready[1]);
  waitpid(child, nullptr, 0);
  EXPECT_THAT(FindStale(dir_.path()), SizeIs(1));
  close(ready[0]);
}

TEST_F(StaleTest, AnEmptyRecordIsBeingMade) {
  WriteFile(Path("1"), "");
  EXPECT_THAT(FindStale(dir_.path()), IsEmpty());
  EXPECT_THAT(FindStale(dir_ / "none"), IsEmpty());
}

TEST_F(StaleTest, ARecordIsNeverTakenOver) {
  WriteFile(Path("1"), "x");
  EXPECT_FALSE(CreateRecord(Path("1"), Example()).ok());
}

TEST_F(StaleTest, KillsTheRecordedProcessAndNoOtherOfThatNumber) {
  pid_t child = fork();
  if (child == 0) {
    pause();
    _exit(0);
  }
  absl::StatusOr<UniqueFd> lock = CreateRecord(Path("1"), Example());
  ASSERT_TRUE(RecordInit(*lock, child).ok());
  RunRecord record = ParseRecord(ReadFile(Path("1")));
  EXPECT_EQ(record.init, child);

  RunRecord other = record;
  other.init_start += 1;
  KillRecordedInit(other);
  EXPECT_EQ(waitpid(child, nullptr, WNOHANG), 0);

  KillRecordedInit(record);
  int status;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFSIGNALED(status));
  KillRecordedInit(record);  // gone
}

}  // namespace
}  // namespace acetate::launcher
