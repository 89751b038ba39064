#include "common/mountinfo.h"

#include <gtest/gtest.h>

namespace acetate {
namespace {

TEST(MountInfoTest, ParsesOptionalFieldsAndEscapes) {
  std::vector<MountInfo> mounts = ParseMountInfo(
      "36 35 98:0 /mnt1 /mnt\\040two rw,noatime master:1 shared:2 - ext3 /dev/root rw,errors=continue\n"
      "37 36 0:53 / /m rw - fuse.fusefs fusefs rw,user_id=0\n"
      "garbage\n");
  ASSERT_EQ(mounts.size(), 2u);
  EXPECT_EQ(mounts[0].mount_point, "/mnt two");
  EXPECT_EQ(mounts[0].fs_type, "ext3");
  EXPECT_EQ(mounts[0].source, "/dev/root");
  EXPECT_EQ(mounts[1].minor, 53u);
  EXPECT_EQ(mounts[1].super_options, "rw,user_id=0");
}

TEST(MountInfoTest, ReadsOwnMounts) {
  bool root = false;
  for (const MountInfo& mount : ReadMountInfo()) root |= mount.mount_point == "/";
  EXPECT_TRUE(root);
}

}  // namespace
}  // namespace acetate
