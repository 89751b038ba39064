#include "fusefs/mount.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fusefs/libfuse.h"

namespace acetate::fusefs {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(MountTest, ArgumentsOfAUsersMount) {
  Options options;
  options.fsname = R"(a,b\c)";
  options.mount_options = {"noatime"};
  options.max_read = 4096;
  const std::vector<std::string> args = SessionArguments(options, /*privileged=*/false);
  EXPECT_THAT(args, Contains("-odefault_permissions"));
  EXPECT_THAT(args, Contains(R"(-ofsname=a\,b\\c)"));
  EXPECT_THAT(args, Contains("-osubtype=fusefs"));
  EXPECT_THAT(args, Contains("-onoatime"));
  EXPECT_THAT(args, Contains("-omax_read=4096"));
  EXPECT_THAT(args, Not(Contains("-oallow_other")));
  EXPECT_THAT(args, Not(Contains("-osuid")));
  options.allow_other = true;
  EXPECT_THAT(SessionArguments(options, false), Contains("-oallow_other"));
}

TEST(MountTest, UnionThatNothingCanChangeIsMountedReadOnly) {
  Options options;
  EXPECT_THAT(SessionArguments(options, false), Contains("-oro"));
  options.branches.resize(1);
  options.branches[0].mode = BranchMode::kReadWrite;
  EXPECT_THAT(SessionArguments(options, false), Not(Contains("-oro")));
  options.read_only = true;
  EXPECT_THAT(SessionArguments(options, false), Contains("-oro"));
}

TEST(MountTest, RootsMountIsOpenToAllUnlessToldOtherwise) {
  Options options;
  options.mount_options = {"nodev"};
  std::vector<std::string> args = SessionArguments(options, /*privileged=*/true);
  EXPECT_THAT(args, Contains("-oallow_other"));
  EXPECT_THAT(args, Contains("-osuid"));
  EXPECT_THAT(args, Contains("-onodev"));
  EXPECT_THAT(args, Not(Contains("-odev")));
  options.allow_root = true;
  args = SessionArguments(options, true);
  EXPECT_THAT(args, Contains("-oallow_root"));
  EXPECT_THAT(args, Not(Contains("-oallow_other")));
}

TEST(MountTest, WhatLibfusePrintsBecomesTheStatus) {
  std::vector<std::string> strings = SessionArguments(Options(), true);
  std::vector<char*> argv;
  for (std::string& s : strings) argv.push_back(s.data());
  fuse_args args = FUSE_ARGS_INIT(static_cast<int>(argv.size()), argv.data());
  fuse_lowlevel_ops operations = {};
  fuse_session* session = fuse_session_new(&args, &operations, sizeof(operations), nullptr);
  ASSERT_NE(session, nullptr);
  ::testing::internal::CaptureStderr();
  absl::Status status = MountSession(session, "/nonexistent/mountpoint");
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");
  EXPECT_THAT(std::string(status.message()), HasSubstr("mount on '/nonexistent/mountpoint': "));
  EXPECT_THAT(std::string(status.message()), HasSubstr("No such file or directory"));
  EXPECT_THAT(std::string(status.message()), Not(HasSubstr("\n")));
  fuse_session_destroy(session);
  fuse_opt_free_args(&args);
}

}  // namespace
}  // namespace acetate::fusefs
