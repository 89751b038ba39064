#include "fusefs/mountpoint.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "common/temp_dir.h"
#include "common/unique_fd.h"

namespace acetate::fusefs {
namespace {

using ::testing::HasSubstr;

std::string Error(const std::string& mountpoint) {
  absl::StatusOr<std::string> path = ResolveMountpoint(mountpoint, "fusefs");
  EXPECT_FALSE(path.ok());
  return std::string(path.status().message());
}

TEST(MountpointTest, IsMadeAbsoluteWithoutSymlinks) {
  if (access("/dev/fuse", R_OK | W_OK) != 0) GTEST_SKIP() << "/dev/fuse cannot be opened here";
  TempDir temp;
  MakeDirs(temp / "real");
  ASSERT_EQ(symlink("real", (temp / "link").c_str()), 0);
  absl::StatusOr<std::string> path = ResolveMountpoint(temp / "link/../link", "fusefs");
  ASSERT_TRUE(path.ok()) << path.status();
  EXPECT_EQ(*path, std::filesystem::canonical(temp / "real"));
}

TEST(MountpointTest, MissingOrNoDirectory) {
  TempDir temp;
  WriteFile(temp / "file", "");
  EXPECT_EQ(Error(temp / "none"), "mountpoint '" + temp / "none" + "': No such file or directory");
  EXPECT_EQ(Error(temp / "file"), "mountpoint '" + temp / "file" + "': Not a directory");
}

TEST(MountpointTest, FdThatIsNoFuseDevice) {
  EXPECT_THAT(Error("/dev/fd/987"), HasSubstr("no such fd"));
  UniqueFd null(open("/dev/null", O_RDWR));
  EXPECT_THAT(Error("/dev/fd/" + std::to_string(null.get())), HasSubstr("is not an fd of /dev/fuse"));
}

TEST(MountpointTest, FindsTheTopmostMountOnAPath) {
  if (geteuid() != 0) GTEST_SKIP() << "mounts a tmpfs, which needs root";
  TempDir temp;
  const std::string path = std::filesystem::canonical(temp.path());
  EXPECT_FALSE(MountOn(path).has_value());
  EXPECT_THAT(std::string(MountWithRoot(path).status().message()), HasSubstr("is not a mountpoint"));
  ASSERT_EQ(mount("first", path.c_str(), "tmpfs", 0, nullptr), 0);
  ASSERT_EQ(mount("second", path.c_str(), "tmpfs", 0, nullptr), 0);
  ASSERT_TRUE(MountOn(path).has_value());
  EXPECT_EQ(MountOn(path)->source, "second");
  absl::StatusOr<MountInfo> found = MountWithRoot(temp.path());
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(found->source, "second");
  ASSERT_EQ(umount(path.c_str()), 0);
  EXPECT_EQ(MountOn(path)->source, "first");
  ASSERT_EQ(umount(path.c_str()), 0);
}

}  // namespace
}  // namespace acetate::fusefs
