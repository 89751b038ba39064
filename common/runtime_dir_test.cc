#include "common/runtime_dir.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>

#include "common/temp_dir.h"

namespace acetate {
namespace {

TEST(RuntimeDirTest, IsMadePrivate) {
  TempDir temp;
  setenv("XDG_RUNTIME_DIR", temp.path().c_str(), 1);
  absl::StatusOr<std::string> path = RuntimeDir();
  ASSERT_TRUE(path.ok()) << path.status();
  struct stat st;
  ASSERT_EQ(stat(path->c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 07777, 0700u);
  EXPECT_TRUE(RuntimeDir().ok());
}

TEST(RuntimeDirTest, RefusesSymlinkAndOpenDirectory) {
  TempDir temp;
  setenv("XDG_RUNTIME_DIR", temp.path().c_str(), 1);
  ASSERT_EQ(symlink("/tmp", (temp / "acetate").c_str()), 0);
  EXPECT_FALSE(RuntimeDir().ok());
  ASSERT_EQ(unlink((temp / "acetate").c_str()), 0);
  ASSERT_EQ(mkdir((temp / "acetate").c_str(), 0700), 0);
  ASSERT_EQ(chmod((temp / "acetate").c_str(), 0755), 0);
  EXPECT_FALSE(RuntimeDir().ok());
}

}  // namespace
}  // namespace acetate
