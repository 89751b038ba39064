// What the union asks to be on the disk before it goes on, and what it leaves to the kernel.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <atomic>
#include <climits>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "fusefs/blocking.h"
#include "fusefs/in_memory.h"
#include "fusefs/union_fs_fixture.h"

namespace acetate::fusefs {
namespace {

std::mutex noting;
// Each call with the file's path, and whether the file was marked as a metadata-only copy then.
std::vector<std::string> calls;
// What a call takes instead of being made; negative: it is made.
std::atomic<int> pretended_us{-1};

void Note(const char* call, int fd) {
  char path[PATH_MAX];
  const ssize_t length = readlink(absl::StrCat("/proc/self/fd/", fd).c_str(), path, sizeof(path));
  const bool marked = fgetxattr(fd, "user.overlay.metacopy", nullptr, 0) >= 0;
  const std::lock_guard<std::mutex> lock(noting);
  calls.push_back(
      absl::StrCat(call, " ", absl::string_view(path, static_cast<size_t>(length)), marked ? " marked" : ""));
}

using Strings = std::vector<std::string>;

class SyncTest : public UnionFsTest {
 protected:
  SyncTest() { Calls(); }
  void SetUp() override {
    const UniqueFd directory(open(temp_.path().c_str(), O_RDONLY | O_CLOEXEC));
    if (InMemory(directory.get())) GTEST_SKIP() << "in memory nothing is synced";
  }

  // Those since it was asked last; paths are without the scene's directory, names in the work directory without their
  // numbers.
  Strings Calls() {
    const std::lock_guard<std::mutex> lock(noting);
    Strings since;
    for (const std::string& call : calls) {
      const size_t path = call.find(temp_.path());
      std::string rest = call.substr(path + temp_.path().size() + 1);
      if (const size_t number = rest.find('#'); number != std::string::npos) rest.resize(number);
      since.push_back(call.substr(0, path) + rest);
    }
    calls.clear();
    return since;
  }
};

TEST_F(SyncTest, ContentsAreOnTheDiskBeforeTheCopyIsPublished) {
  Put("lower/a", "data");
  Start();
  WriteTo("a", "DATA");
  EXPECT_EQ(Calls(), Strings{"fdatasync work/work/"});
}

TEST_F(SyncTest, ContentsFetchedLaterAreOnTheDiskBeforeTheMarkGoes) {
  Put("lower/a", "data");
  Start();
  ASSERT_TRUE(SetMode("a", 0600).ok());
  EXPECT_EQ(Calls(), Strings{});
  WriteTo("a", "DATA");
  EXPECT_EQ(Calls(), Strings{"fdatasync upper/a marked"});
}

TEST_F(SyncTest, SoAreThoseCopiedInTheBackground) {
  options_.lazy_copy_up_min = 100000;
  Put("lower/a", std::string(700000, 'x'));
  Start();
  WriteTo("a", "DATA");
  fs_.reset();
  EXPECT_EQ(Calls(), Strings{"fdatasync upper/a marked"});
}

TEST_F(SyncTest, FsyncReachesTheUpperFile) {
  Put("upper/a", "data");
  Put("upper/d/b", "");
  Put("lower/c", "data");
  Start();
  EXPECT_TRUE(fs_->FSync(Node("a"), /*data_only=*/false).ok());
  EXPECT_TRUE(fs_->FSync(Node("a"), /*data_only=*/true).ok());
  EXPECT_EQ(Calls(), (Strings{"fsync upper/a", "fdatasync upper/a"}));
  EXPECT_TRUE(fs_->FSyncDir(Node("d"), /*data_only=*/false).ok());
  EXPECT_TRUE(fs_->FSyncDir(Node("d"), /*data_only=*/true).ok());
  EXPECT_EQ(Calls(), (Strings{"fsync upper/d", "fdatasync upper/d"}));
  EXPECT_TRUE(fs_->FSync(Node("c"), /*data_only=*/false).ok());
  EXPECT_EQ(Calls(), Strings{});
  ASSERT_TRUE(SetMode("c", 0600).ok());
  EXPECT_TRUE(fs_->FSync(Node("c"), /*data_only=*/false).ok());
  EXPECT_EQ(Calls(), Strings{"fsync upper/c marked"});
}

TEST_F(SyncTest, AVolatileUnionAsksForNothing) {
  options_.skip_sync = true;
  options_.lazy_copy_up_min = 100000;
  Put("upper/d/a", "data");
  Put("lower/small", "data");
  Put("lower/large", std::string(700000, 'x'));
  Start();
  EXPECT_TRUE(fs_->FSync(Node("d/a"), /*data_only=*/false).ok());
  EXPECT_TRUE(fs_->FSyncDir(Node("d"), /*data_only=*/false).ok());
  WriteTo("small", "DATA");
  WriteTo("large", "DATA");
  fs_.reset();
  EXPECT_EQ(Calls(), Strings{});
}

class CountingListener : public BlockingListener {
 public:
  void Run(absl::FunctionRef<void()> work) override {
    ++count;
    work();
  }
  int count = 0;
};

TEST_F(SyncTest, OnlyAfterALongOneHaveOthersToGoOn) {
  Put("upper/a", "data");
  Start();
  CountingListener listener;
  ScopedBlockingListener scope(&listener);
  const auto sync = [&](int takes_us) {
    pretended_us = takes_us;
    EXPECT_TRUE(fs_->FSync(Node("a"), /*data_only=*/true).ok());
    pretended_us = -1;
    return std::exchange(listener.count, 0);
  };
  sync(0);
  EXPECT_EQ(sync(0), 0);
  EXPECT_EQ(sync(20000), 0);
  EXPECT_EQ(sync(20000), 1);
  EXPECT_EQ(sync(0), 1);
  EXPECT_EQ(sync(0), 0);
}

int Sync(const char* name, long number, int fd) {
  Note(name, fd);
  const int pretended = pretended_us;
  if (pretended < 0) return static_cast<int>(syscall(number, fd));
  if (pretended > 0) usleep(static_cast<useconds_t>(pretended));
  return 0;
}

}  // namespace
}  // namespace acetate::fusefs

// Defined here they come before libc's.
extern "C" {

int fsync(int fd) { return acetate::fusefs::Sync("fsync", SYS_fsync, fd); }

int fdatasync(int fd) { return acetate::fusefs::Sync("fdatasync", SYS_fdatasync, fd); }

}  // extern "C"
