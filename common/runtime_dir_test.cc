#include "common/runtime_dir.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>

#include "absl/strings/str_cat.h"
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

// Runs in a process of its own: it changes its user namespace.
void PrintTheDirectoryAsRootOfANamespace() {
  unsetenv("XDG_RUNTIME_DIR");
  const uid_t uid = 12345;
  if (geteuid() == 0 && setresuid(uid, uid, uid) != 0) exit(1);
  prctl(PR_SET_DUMPABLE, 1);  // or /proc/self belongs to root
  const uid_t outside = geteuid();
  if (unshare(CLONE_NEWUSER) != 0) exit(2);
  std::ofstream("/proc/self/uid_map") << "0 " << outside << " 1\n";
  if (geteuid() != 0) exit(3);
  absl::StatusOr<std::string> path = RuntimeDir();
  std::cerr << (path.ok() ? *path : path.status().ToString()) << " for " << outside << "\n";
  if (path.ok() && outside == uid) rmdir(path->c_str());
  exit(path.ok() && *path == absl::StrCat("/tmp/acetate-", outside) ? 0 : 4);
}

TEST(RuntimeDirTest, RootOfAUserNamespaceIsTheUserWhoMadeIt) {
  EXPECT_EXIT(PrintTheDirectoryAsRootOfANamespace(), testing::ExitedWithCode(0), "/tmp/acetate-");
}

}  // namespace
}  // namespace acetate
