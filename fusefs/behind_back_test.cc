// Branches that somebody else changes while they are mounted, and branches that come, go and move.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <fstream>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "common/syscalls.h"
#include "fusefs/stack_scene.h"

namespace acetate::fusefs {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Key;

UnionFs::NewBranch Opened(StackScene& scene, const std::string& name, const std::string& work, BranchId id) {
  BranchSpec spec;
  spec.path = scene / name;
  spec.mode = work.empty() ? BranchMode::kReadOnly : BranchMode::kReadWrite;
  ErrnoOr<UniqueFd> root = sys::OpenAt(AT_FDCWD, spec.path.c_str(), O_PATH | O_DIRECTORY);
  UniqueFd work_fd;
  if (!work.empty()) work_fd = *sys::OpenAt(AT_FDCWD, (scene / work).c_str(), O_RDONLY | O_DIRECTORY);
  return {std::make_unique<DirectoryBranch>(spec, id, *std::move(root)), std::move(work_fd)};
}

template <typename Condition>
bool WithinAMinute(const Condition& condition) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes(1);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    usleep(10000);
  }
  return true;
}

TEST(BehindBackTest, RevalSeesWhatOthersDo) {
  StackScene scene({"rw", "ro+wh"});
  scene.options_.udba = Udba::kReval;
  scene.Put("1/d/f", "old");
  scene.Start();
  EXPECT_EQ(scene.Contents("d/f"), "old");
  scene.Put("0/d/f", "new");
  scene.Put("1/d/g", "more");
  EXPECT_EQ(scene.Contents("d/f"), "new");
  EXPECT_EQ(scene.Contents("d/g"), "more");
  EXPECT_EQ(unlink((scene / "0/d/f").c_str()), 0);
  EXPECT_EQ(scene.Contents("d/f"), "old");
  // Another file under the name is another file.
  const NodeId before = scene.Node("d/f");
  scene.Put("1/d/f2", "other");
  EXPECT_EQ(rename((scene / "1/d/f2").c_str(), (scene / "1/d/f").c_str()), 0);
  EXPECT_NE(scene.Node("d/f"), before);
  EXPECT_EQ(scene.Contents("d/f"), "other");
  // A directory that became a file, and one made anew.
  EXPECT_EQ(rename((scene / "1/d").c_str(), (scene / "1/moved").c_str()), 0);
  EXPECT_EQ(rmdir((scene / "0/d").c_str()), 0);
  scene.Put("1/d", "a file now");
  EXPECT_EQ(scene.Contents("d"), "a file now");
  EXPECT_THAT(scene.Tree(), ElementsAre(Key("d"), Key("moved"), Key("moved/f"), Key("moved/g")));
}

TEST(BehindBackTest, WithoutRevalItIsNoWorseThanOld) {
  StackScene scene({"rw", "ro+wh"});
  scene.Put("1/f", "old");
  scene.Put("1/d/g", "");
  scene.Start();
  EXPECT_EQ(scene.Tree().size(), 3u);
  EXPECT_EQ(unlink((scene / "1/f").c_str()), 0);
  EXPECT_EQ(unlink((scene / "1/d/g").c_str()), 0);
  EXPECT_EQ(rmdir((scene / "1/d").c_str()), 0);
  scene.Tree();
  scene.Write("f", "x");
  scene.Unlink("d/g");
  scene.RmDir("d");
  scene.Create("d/new");
  scene.Rename("d", "e");
}

TEST(BehindBackTest, ABranchOnTopHidesAndComingOffShowsAgain) {
  StackScene scene({"rw", "ro+wh"});
  scene.Put("0/up", "0");
  scene.Put("1/d/f", "1");
  MakeDirs(scene / "2");
  scene.Put("2/d/f", "2");
  scene.Put("2/d/only", "2");
  scene.Start();
  std::vector<KernelNote> notes;
  const NodeId held = scene.Node("d/f");
  const NodeId up = scene.Node("up");
  EXPECT_EQ(scene.Tree().size(), 3u);

  ASSERT_TRUE(scene.fs_->AddBranch(0, Opened(scene, "2", "", scene.fs_->FreeBranchId()), &notes).ok());
  EXPECT_EQ(scene.Contents("d/f"), "2");
  EXPECT_EQ(scene.Contents("d/only"), "2");
  // Who has them open keeps them.
  char byte = 0;
  EXPECT_EQ(*scene.fs_->Read(held, &byte, 1, 0), 1u);
  EXPECT_EQ(byte, '1');
  EXPECT_EQ(scene.Node("up"), up);
  EXPECT_EQ(scene.Write("up", "x"), 0);

  // Now its file is in use.
  std::string in_use;
  const BranchId id = scene.fs_->Branches().front().id;
  EXPECT_EQ(scene.fs_->RemoveBranch(id, &in_use, &notes), EBUSY);
  EXPECT_THAT(in_use, testing::AnyOf("/d/f", "/d/only"));
  scene.fs_->MoveBranch(id, 2, &notes);
  EXPECT_EQ(scene.Contents("d/f"), "1");
}

TEST(BehindBackTest, ABranchThatNobodyUsesGoes) {
  StackScene scene({"rw", "ro+wh", "ro+wh"});
  scene.Put("1/d/f", "1");
  scene.Put("2/e/g", "2");
  scene.Start();
  std::string in_use;
  std::vector<KernelNote> notes;
  EXPECT_EQ(scene.Tree().size(), 4u);  // and forgotten again
  EXPECT_TRUE(scene.fs_->RemoveBranch(2, &in_use, &notes).ok()) << in_use;
  EXPECT_THAT(scene.Tree(), ElementsAre(Key("d"), Key("d/f")));
  // A file copied without its contents needs the branch that has them.
  EXPECT_EQ(scene.Chmod("d/f", 0600), 0);
  EXPECT_EQ(scene.fs_->RemoveBranch(1, &in_use, &notes), EBUSY);
  EXPECT_EQ(in_use, "/d/f");
  // Its id is free for another.
  EXPECT_EQ(scene.fs_->FreeBranchId(), 2);
  ASSERT_TRUE(scene.fs_->AddBranch(9, Opened(scene, "2", "", 2), &notes).ok());
  EXPECT_EQ(scene.Contents("e/g"), "2");
  EXPECT_EQ(scene.Contents("d/f"), "1");
}

TEST(BehindBackTest, AModeChangesWhatCanBeWritten) {
  StackScene scene({"rw", "ro"});
  scene.Put("1/f", "old");
  scene.Start();
  EXPECT_EQ(scene.Tree().size(), 1u);
  std::string in_use;
  std::vector<KernelNote> notes;
  UnionFs::NewBranch writable = Opened(scene, "1", "work1", 1);
  ASSERT_TRUE(scene.fs_->ReplaceBranch(1, &writable, &in_use, &notes).ok()) << in_use;
  EXPECT_EQ(scene.Write("f", "new"), 0);
  EXPECT_EQ(ReadFile(scene / "1/f"), "new");
  UnionFs::NewBranch read_only = Opened(scene, "0", "", 0);
  ASSERT_TRUE(scene.fs_->ReplaceBranch(0, &read_only, &in_use, &notes).ok()) << in_use;
  EXPECT_EQ(scene.Create("g"), 0);
  EXPECT_THAT(scene.Held(0), IsEmpty());
}

TEST(BehindBackTest, ABranchInUseKeepsItsMode) {
  StackScene scene({"rw", "ro"});
  scene.Put("1/d/f", "old");
  scene.Start();
  const NodeId held = scene.Node("d/f");
  std::string in_use;
  std::vector<KernelNote> notes;
  UnionFs::NewBranch writable = Opened(scene, "1", "work1", 1);
  EXPECT_EQ(scene.fs_->ReplaceBranch(1, &writable, &in_use, &notes), EBUSY);
  EXPECT_EQ(in_use, "/d/f");
  scene.fs_->Forget(held, 1);
  EXPECT_TRUE(scene.fs_->ReplaceBranch(1, &writable, &in_use, &notes).ok()) << in_use;
}

TEST(BehindBackTest, ABranchStaysForAnOpenFileWithoutAName) {
  for (const char* mode : {"rw", "ro"}) {
    StackScene scene({"rw", mode});
    scene.Put("1/f", "data");
    scene.Start();
    const NodeId open = scene.Node("f");
    EXPECT_EQ(scene.Unlink("f"), 0);
    std::string in_use;
    std::vector<KernelNote> notes;
    EXPECT_EQ(scene.fs_->RemoveBranch(1, &in_use, &notes), EBUSY);
    EXPECT_EQ(in_use, "(removed)");
    char byte = 0;
    EXPECT_EQ(*scene.fs_->Read(open, &byte, 1, 0), 1u);
    scene.fs_->Forget(open, 1);
    EXPECT_TRUE(scene.fs_->RemoveBranch(1, &in_use, &notes).ok()) << in_use;
  }
}

TEST(BehindBackTest, EventsThatWereLostAreMadeUpFor) {
  size_t most = 0;  // that the kernel keeps for who does not read them
  std::ifstream("/proc/sys/fs/inotify/max_queued_events") >> most;
  if (most > 1000000) GTEST_SKIP() << "the kernel loses no events before there are " << most;
  std::atomic<bool> stuck = false, go_on = false;
  StackScene scene({"rw", "ro+wh"});
  scene.options_.udba = Udba::kNotify;
  for (const char* file : {"1/busy/a", "1/busy/b", "1/quiet/old"}) scene.Put(file, "");
  scene.Start();
  auto release = absl::MakeCleanup([&] { go_on = true; });
  Errno started = scene.fs_->StartWatching([&](const std::vector<KernelNote>&) {
    stuck = true;
    while (!go_on) usleep(1000);
  });
  ASSERT_TRUE(started.ok()) << started.value();
  for (const char* file : {"busy/a", "quiet/old"}) EXPECT_NE(scene.Node(file), 0u);  // listed, so watched
  scene.Put("1/busy/c", "");
  ASSERT_TRUE(WithinAMinute([&] { return stuck.load(); }));
  for (size_t i = 0; i <= most; ++i) chmod((scene / (i % 2 == 0 ? "1/busy/a" : "1/busy/b")).c_str(), 0600);
  scene.Put("1/quiet/new", "");
  EXPECT_EQ(scene.Node("quiet/new"), 0u);
  std::move(release).Invoke();
  EXPECT_TRUE(WithinAMinute([&] { return scene.Node("quiet/new") != 0; }));
}

TEST(BehindBackTest, TheOnlyBranchStays) {
  StackScene scene({"ro"});
  scene.Start();
  std::string in_use;
  std::vector<KernelNote> notes;
  EXPECT_EQ(scene.fs_->RemoveBranch(0, &in_use, &notes), EINVAL);
}

TEST(BehindBackTest, WhiteoutsCanBeShown) {
  StackScene scene({"ro+wh", "ro+dotwh", "ro"});
  scene.options_.show_whiteouts = true;
  ASSERT_EQ(mknod((scene / "0/device").c_str(), S_IFCHR | 0644, 0), 0);
  scene.Put("1/.wh.file", "");
  scene.Put("2/device", "hidden");
  scene.Put("2/file", "hidden");
  scene.Put("2/plain", "");
  scene.Start();
  for (const char* name : {"device", "file"}) {
    const struct stat st = *scene.fs_->GetAttr(scene.Node(name));
    EXPECT_TRUE(S_ISCHR(st.st_mode)) << name;
    EXPECT_EQ(st.st_rdev, 0u) << name;
    EXPECT_EQ(st.st_size, 0) << name;
  }
  EXPECT_THAT(scene.Tree(), ElementsAre(Key("device"), Key("file"), Key("plain")));
}

}  // namespace
}  // namespace acetate::fusefs
