#include "fusefs/strict_branch.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/fs.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <vector>

#include "common/temp_dir.h"
#include "fusefs/make_branch.h"

namespace acetate::fusefs {
namespace {

// Notes in which order things are opened, which is what a sync begins with, and renamed.
class NotingBranch : public DirectoryBranch {
 public:
  using DirectoryBranch::DirectoryBranch;
  ErrnoOr<UniqueFd> Open(int dirfd, const char* name, int flags, mode_t mode) const override {
    notes.push_back(std::string("sync ") + name);
    if (failing) return Errno(EIO);
    return DirectoryBranch::Open(dirfd, name, flags, mode);
  }
  Errno Rename(int old_dirfd, const char* old_name, int new_dirfd, const char* new_name,
               unsigned flags) const override {
    notes.push_back(std::string("rename ") + old_name);
    return DirectoryBranch::Rename(old_dirfd, old_name, new_dirfd, new_name, flags);
  }
  mutable std::vector<std::string> notes;
  bool failing = false;
};

class StrictBranchTest : public testing::Test {
 protected:
  StrictBranchTest() {
    auto inner = std::make_unique<NotingBranch>(BranchSpec(), 0,
                                                UniqueFd(open(temp_.path().c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)));
    noting_ = inner.get();
    branch_ = std::make_unique<StrictBranch>(std::move(inner));
    MakeDirs(temp_ / "dir");
    dir_ = UniqueFd(open((temp_ / "dir").c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    WriteFile(temp_ / "file", "x");
    WriteFile(temp_ / "other", "y");
  }

  TempDir temp_;
  NotingBranch* noting_;
  std::unique_ptr<StrictBranch> branch_;
  UniqueFd dir_;
};

using Notes = std::vector<std::string>;

TEST_F(StrictBranchTest, TheFileIsSyncedBeforeAndTheDirectoriesAfter) {
  ASSERT_TRUE(branch_->Rename(branch_->root_fd(), "file", dir_.get(), "moved", 0).ok());
  EXPECT_EQ(noting_->notes, (Notes{"sync file", "rename file", "sync .", "sync ."}));
  EXPECT_EQ(ReadFile(temp_ / "dir/moved"), "x");
}

TEST_F(StrictBranchTest, WithinADirectoryItIsSyncedOnce) {
  ASSERT_TRUE(branch_->Rename(branch_->root_fd(), "dir", branch_->root_fd(), "moved", 0).ok());
  EXPECT_EQ(noting_->notes, (Notes{"sync dir", "rename dir", "sync ."}));
}

TEST_F(StrictBranchTest, BothSidesOfAnExchange) {
  ASSERT_TRUE(branch_->Rename(branch_->root_fd(), "file", branch_->root_fd(), "other", RENAME_EXCHANGE).ok());
  EXPECT_EQ(noting_->notes, (Notes{"sync file", "sync other", "rename file", "sync ."}));
}

TEST_F(StrictBranchTest, AFifoIsNotOpened) {
  ASSERT_EQ(mkfifo((temp_ / "fifo").c_str(), 0600), 0);
  ASSERT_TRUE(branch_->Rename(branch_->root_fd(), "fifo", dir_.get(), "fifo", 0).ok());
  EXPECT_EQ(noting_->notes, (Notes{"rename fifo", "sync .", "sync ."}));
}

TEST_F(StrictBranchTest, WhatCannotBeSyncedIsNotPublished) {
  noting_->failing = true;
  EXPECT_EQ(branch_->Rename(branch_->root_fd(), "file", dir_.get(), "moved", 0), EIO);
  EXPECT_EQ(branch_->Rename(branch_->root_fd(), "none", dir_.get(), "moved", 0), ENOENT);
  EXPECT_EQ(access((temp_ / "file").c_str(), F_OK), 0);
}

TEST_F(StrictBranchTest, IsWhatIsWrittenWhereThatIsAskedFor) {
  auto is_strict = [&](SyncMode sync, BranchMode mode) {
    Options options;
    options.sync = sync;
    BranchSpec spec;
    spec.path = temp_.path();
    spec.mode = mode;
    UniqueFd root(open(temp_.path().c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    const std::unique_ptr<Branch> branch = *MakeBranch(options, spec, 0, std::move(root), nullptr);
    return dynamic_cast<const StrictBranch*>(branch.get()) != nullptr;
  };
  EXPECT_TRUE(is_strict(SyncMode::kStrict, BranchMode::kReadWrite));
  EXPECT_FALSE(is_strict(SyncMode::kStrict, BranchMode::kReadOnly));
  EXPECT_FALSE(is_strict(SyncMode::kAuto, BranchMode::kReadWrite));
  EXPECT_FALSE(is_strict(SyncMode::kVolatile, BranchMode::kReadWrite));
}

}  // namespace
}  // namespace acetate::fusefs
