// The daemon killed before each of its changes to the disk while a write finds its branch full and its file moves to
// another: the file is whole under its name, with its old contents or the new ones. The full branch is a small tmpfs.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "common/temp_dir.h"
#include "fusefs/crash_scene.h"
#include "fusefs/crash_stack.h"

namespace acetate::fusefs {
namespace {

[[maybe_unused]] const auto* const kOnTmpfs = ::testing::AddGlobalTestEnvironment(new OnTmpfs);

constexpr off_t kSize = 20 << 12;  // of the file: whole pages, so that there is no room behind its end

// Why no filesystem can be mounted here; empty when one can.
std::string Obstacle() { return geteuid() == 0 ? "" : "mounting a small tmpfs needs root"; }

// Branch and work directory on one small filesystem, the file and what fills all the rest of it.
void FillBranch(StackScene& scene, const std::string& branch, const std::string& path) {
  const std::string small = scene / ("small" + branch);
  MakeDirs(small);
  ASSERT_EQ(mount("tmpfs", small.c_str(), "tmpfs", 0, "size=256k"), 0);
  MakeDirs(small + "/branch");
  MakeDirs(small + "/work");
  ASSERT_EQ(mount((small + "/branch").c_str(), (scene / branch).c_str(), nullptr, MS_BIND, nullptr), 0);
  ASSERT_EQ(mount((small + "/work").c_str(), (scene / ("work" + branch)).c_str(), nullptr, MS_BIND, nullptr), 0);
  scene.Put(branch + "/" + path, std::string(kSize, 'o'), 0640);
  // Work directories are made and marked when a union starts; that must not need the room.
  scene.Start();
  scene.fs_.reset();
  const int filler = open((small + "/filler").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  const std::string page(4096, 'x');
  while (write(filler, page.data(), page.size()) > 0) {
  }
  close(filler);
}

void Empty(StackScene& scene, const std::string& branch) {
  umount2((scene / branch).c_str(), MNT_DETACH);
  umount2((scene / ("work" + branch)).c_str(), MNT_DETACH);
  umount2((scene / ("small" + branch)).c_str(), MNT_DETACH);
}

// Killed when the copy below has its name and the file above is not yet gone, the file is where it was, with a copy of
// the same below it: it cannot move there again.
TEST(MoveCrashTest, OutOfTheUpperBranch) {
  if (std::string why = Obstacle(); !why.empty()) GTEST_SKIP() << why;
  KillAtEveryStep({{"rw", "rw", "ro+wh"},
                   [](StackScene& scene) { FillBranch(scene, "0", "dir/file"); },
                   [](StackScene& u) { return u.Write("dir/file", "behind the end", kSize); },
                   [](StackScene& scene) { Empty(scene, "0"); },
                   {},
                   /*done_again=*/false});
}

TEST(MoveCrashTest, OutOfTheLowerBranch) {
  if (std::string why = Obstacle(); !why.empty()) GTEST_SKIP() << why;
  KillAtEveryStep({{"rw", "rw", "ro+wh"},
                   [](StackScene& scene) { FillBranch(scene, "1", "dir/file"); },
                   [](StackScene& u) { return u.Write("dir/file", "behind the end", kSize); },
                   [](StackScene& scene) { Empty(scene, "1"); }});
}

TEST(MoveCrashTest, OutOfTheLowerBranchWithTheNameBelowIt) {
  if (std::string why = Obstacle(); !why.empty()) GTEST_SKIP() << why;
  KillAtEveryStep({{"rw", "rw", "ro+wh"},
                   [](StackScene& scene) {
                     FillBranch(scene, "1", "dir/file");
                     scene.Put("2/dir/file", "hidden");
                   },
                   [](StackScene& u) { return u.Write("dir/file", "behind the end", kSize); },
                   [](StackScene& scene) { Empty(scene, "1"); }});
}

// The other branch keeps its marks as files.
TEST(MoveCrashTest, IntoABranchWithMarks) {
  if (std::string why = Obstacle(); !why.empty()) GTEST_SKIP() << why;
  KillAtEveryStep({{"rw+dotwh", "rw", "ro+wh"},
                   [](StackScene& scene) { FillBranch(scene, "1", "dir/file"); },
                   [](StackScene& u) { return u.Write("dir/file", "behind the end", kSize); },
                   [](StackScene& scene) { Empty(scene, "1"); }});
}

}  // namespace
}  // namespace acetate::fusefs
