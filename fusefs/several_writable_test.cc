// Unions with several writable branches, or one that is not on top: where things go, and what is seen then.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/fs.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>

#include <chrono>
#include <thread>

#include "common/syscalls.h"
#include "fusefs/stack_scene.h"

namespace acetate::fusefs {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(SeveralWritableTest, NewFilesGoToWhereTheirDirectoryIs) {
  StackScene scene({"rw", "rw", "ro"});
  MakeDirs(scene / "1/d");
  scene.Start();
  EXPECT_EQ(scene.Create("d/new", "x"), 0);
  EXPECT_EQ(scene.Create("top"), 0);
  EXPECT_THAT(scene.Held(0), ElementsAre("top"));
  EXPECT_THAT(scene.Held(1), ElementsAre("d/", "d/new"));
  EXPECT_EQ(scene.Contents("d/new"), "x");
}

TEST(SeveralWritableTest, AFileIsWrittenInItsOwnBranch) {
  StackScene scene({"rw", "rw", "ro"});
  scene.Put("1/f", "old");
  scene.Start();
  EXPECT_EQ(scene.Write("f", "new"), 0);
  EXPECT_EQ(ReadFile(scene / "1/f"), "new");
  EXPECT_THAT(scene.Held(0), IsEmpty());
}

TEST(SeveralWritableTest, ACopyGoesUpByItsPolicy) {
  for (CopyUpPolicy policy : {CopyUpPolicy::kTopDownParent, CopyUpPolicy::kBottomUpParent, CopyUpPolicy::kBottomUp}) {
    StackScene scene({"rw", "rw", "rw", "ro"});
    scene.options_.copy_up_policy = policy;
    MakeDirs(scene / "0/d");
    MakeDirs(scene / "1/d");
    scene.Put("3/d/f", "old");
    scene.Start();
    EXPECT_EQ(scene.Write("d/f", "new"), 0);
    const int place = policy == CopyUpPolicy::kTopDownParent ? 0 : policy == CopyUpPolicy::kBottomUpParent ? 1 : 2;
    EXPECT_EQ(ReadFile(scene / (std::to_string(place) + "/d/f")), "new");
    EXPECT_EQ(scene.Contents("d/f"), "new");
    EXPECT_EQ(ReadFile(scene / "3/d/f"), "old");
  }
}

TEST(SeveralWritableTest, AWritableBranchBelowAReadOnlyOne) {
  StackScene scene({"ro+wh", "rw", "ro+wh"});
  scene.Put("0/d/top", "top");
  scene.Put("2/d/low", "low");
  scene.Put("2/gone", "");
  scene.Start();
  // What the top branch holds cannot be changed, nor hidden.
  EXPECT_EQ(scene.Write("d/top", "x"), EROFS);
  EXPECT_EQ(scene.Unlink("d/top"), EROFS);
  EXPECT_EQ(scene.Rename("d/top", "d/other"), EROFS);
  // The rest goes to the branch between, which gets the directory.
  EXPECT_EQ(scene.Write("d/low", "new"), 0);
  EXPECT_EQ(scene.Create("d/more"), 0);
  EXPECT_EQ(scene.Unlink("gone"), 0);
  EXPECT_THAT(scene.Held(1), ElementsAre("d/", "d/low", "d/more", "gone (whiteout)"));
  EXPECT_EQ(scene.Tree(), StackScene::Tree(*scene.Reader()));
}

TEST(SeveralWritableTest, NothingIsPutWhereItWouldNotBeSeen) {
  StackScene scene({"ro+wh", "rw"});
  ASSERT_EQ(mknod((scene / "0/hidden").c_str(), S_IFCHR, 0), 0);
  MakeDirs(scene / "0/opaque");
  ASSERT_EQ(setxattr((scene / "0/opaque").c_str(), "user.overlay.opaque", "y", 1, 0), 0);
  scene.Start();
  EXPECT_EQ(scene.Create("hidden"), EROFS);
  EXPECT_EQ(scene.Create("opaque/f"), EROFS);
  EXPECT_EQ(scene.MkDir("opaque/d"), EROFS);
  EXPECT_EQ(scene.Create("seen"), 0);
  EXPECT_EQ(scene.Rename("seen", "hidden"), EXDEV);
  EXPECT_THAT(scene.Held(1), ElementsAre("seen"));
}

TEST(SeveralWritableTest, RemovalLeavesAWhiteoutWhereSomethingIsBelow) {
  StackScene scene({"rw", "rw"});
  scene.Put("0/both", "0");
  scene.Put("1/both", "1");
  scene.Put("1/alone", "1");
  scene.Start();
  EXPECT_EQ(scene.Unlink("both"), 0);
  EXPECT_EQ(scene.Unlink("alone"), 0);
  EXPECT_THAT(scene.Held(0), ElementsAre("both (whiteout)"));
  EXPECT_THAT(scene.Held(1), ElementsAre("both"));
  EXPECT_THAT(scene.Tree(), IsEmpty());
  // And again a file under the name: the whiteout goes.
  EXPECT_EQ(scene.Create("both", "new"), 0);
  EXPECT_EQ(scene.Unlink("both"), 0);
  EXPECT_THAT(scene.Tree(), IsEmpty());
  EXPECT_THAT(StackScene::Tree(*scene.Reader()), IsEmpty());
}

TEST(SeveralWritableTest, ARenameIsDoneInTheBranchOfItsSource) {
  StackScene scene({"rw", "rw", "ro"});
  scene.Put("1/d/a", "data");
  scene.Start();
  EXPECT_EQ(scene.Rename("d/a", "d/b"), 0);
  EXPECT_THAT(scene.Held(0), IsEmpty());
  EXPECT_THAT(scene.Held(1), ElementsAre("d/", "d/b"));
}

TEST(SeveralWritableTest, ARenameOverSomethingHigherLiftsItsSource) {
  StackScene scene({"rw", "rw", "ro"});
  scene.Put("0/target", "old");
  scene.Put("1/source", "new");
  scene.Start();
  EXPECT_EQ(scene.Rename("source", "target"), 0);
  EXPECT_EQ(scene.Contents("target"), "new");
  EXPECT_EQ(scene.Tree().count("source"), 0u);
  EXPECT_EQ(scene.Tree(), StackScene::Tree(*scene.Reader()));
}

TEST(SeveralWritableTest, AWriteThatIsUnderWayWhenAFileMovesIsNotLost) {
  constexpr size_t kSize = 32 << 20;
  constexpr int kRounds = 5;
  StackScene scene({"rw", "rw", "ro"});
  for (int i = 0; i < kRounds; ++i) {
    scene.Put("0/target" + std::to_string(i), "old");
    scene.Put("1/source" + std::to_string(i), std::string(kSize, '-'));
  }
  scene.Start();
  const std::string data(kSize, 'w');
  for (int i = 0; i < kRounds; ++i) {
    const NodeId node = scene.Node("source" + std::to_string(i));
    std::thread writer([&] {
      ErrnoOr<Written> written = scene.fs_->Write(node, data.data(), kSize, 0);
      ASSERT_TRUE(written.ok());
      ASSERT_EQ(written->size, kSize);
    });
    std::this_thread::sleep_for(std::chrono::milliseconds(i));
    EXPECT_EQ(scene.Rename("source" + std::to_string(i), "target" + std::to_string(i)), 0);
    writer.join();
    EXPECT_TRUE(ReadFile(scene / ("0/target" + std::to_string(i))) == data) << i;
  }
}

TEST(SeveralWritableTest, AttributesSetWhileAFileMovesAreNotLost) {
  StackScene scene({"rw", "rw", "ro"});
  constexpr int kRounds = 10;
  for (int i = 0; i < kRounds; ++i) {
    scene.Put("0/target" + std::to_string(i), "old");
    scene.Put("1/source" + std::to_string(i), std::string(16 << 20, '-'), 0600);
  }
  scene.Start();
  for (int i = 0; i < kRounds; ++i) {
    const std::string target = "target" + std::to_string(i);
    const NodeId node = scene.Node("source" + std::to_string(i));
    std::thread mover([&] { EXPECT_EQ(scene.Rename("source" + std::to_string(i), target), 0); });
    std::this_thread::sleep_for(std::chrono::milliseconds(i));
    AttrChange change;
    change.set_mode = true;
    change.mode = 0644;
    EXPECT_TRUE(scene.fs_->SetAttr(node, change).ok());
    mover.join();
    struct stat st;
    ASSERT_EQ(stat((scene / ("0/" + target)).c_str(), &st), 0);
    EXPECT_EQ(st.st_mode & 07777, 0644u) << i;
  }
}

TEST(SeveralWritableTest, ADirectoryInSeveralBranchesIsRenamedWithAllItHolds) {
  StackScene scene({"rw", "rw", "ro+wh"});
  scene.Put("0/d/zero", "0");
  scene.Put("1/d/one", "1");
  scene.Put("2/d/two", "2");
  scene.Start();
  EXPECT_EQ(scene.Rename("d", "e"), 0);
  EXPECT_EQ(scene.Contents("e/zero") + scene.Contents("e/one") + scene.Contents("e/two"), "012");
  EXPECT_EQ(scene.Create("e/new", "n"), 0);
  EXPECT_EQ(scene.Write("e/one", "I"), 0);
  EXPECT_EQ(scene.MkDir("d"), 0);
  EXPECT_EQ(scene.Tree(), StackScene::Tree(*scene.Reader()));
  EXPECT_EQ(scene.Tree().count("d/one"), 0u);
}

TEST(SeveralWritableTest, ADirectoryThatWasMadeBelowItsTopIsHiddenWithIt) {
  StackScene scene({"rw", "rw"});
  scene.options_.create_policy = CreatePolicy::kRoundRobin;
  MakeDirs(scene / "0/d");
  MakeDirs(scene / "0/e");
  scene.Start();
  for (const char* dir : {"d", "e"}) {
    for (const char* name : {"/a", "/b"}) EXPECT_EQ(scene.Create(std::string(dir) + name), 0);
  }
  EXPECT_EQ(scene.Rename("d", "moved"), 0);
  EXPECT_EQ(scene.Unlink("e/a"), 0);
  EXPECT_EQ(scene.Unlink("e/b"), 0);
  EXPECT_EQ(scene.RmDir("e"), 0);
  scene.Start();
  EXPECT_EQ(scene.Tree().count("d"), 0u);
  EXPECT_EQ(scene.Tree().count("e"), 0u);
  EXPECT_EQ(scene.Tree().count("moved/a") + scene.Tree().count("moved/b"), 2u);
}

TEST(SeveralWritableTest, HardLinksStayInTheirBranch) {
  StackScene scene({"rw", "rw"});
  scene.Put("1/d/f", "data");
  MakeDirs(scene / "0/only");
  scene.Start();
  const NodeId file = scene.Node("d/f");
  EXPECT_TRUE(scene.fs_->Link(file, scene.Node("d"), "g").ok());
  EXPECT_TRUE(scene.fs_->Link(file, scene.Node("only"), "g").ok());
  EXPECT_EQ(scene.fs_->GetAttr(file)->st_nlink, 3u);
  EXPECT_THAT(scene.Held(1), ElementsAre("d/", "d/f", "d/g", "only/", "only/g"));
  // A name above which only the other branch could take is another filesystem's.
  EXPECT_EQ(scene.MkDir("made"), 0);
  ASSERT_EQ(setxattr((scene / "0/made").c_str(), "user.overlay.opaque", "y", 1, 0), 0);
  scene.Start();
  EXPECT_EQ(scene.fs_->Link(scene.Node("d/f"), scene.Node("made"), "g").error(), EXDEV);
}

TEST(SeveralWritableTest, RoundRobinTakesTurns) {
  StackScene scene({"rw", "rw"});
  scene.options_.create_policy = CreatePolicy::kRoundRobin;
  scene.Start();
  for (const char* name : {"a", "b", "c", "d"}) EXPECT_EQ(scene.Create(name), 0);
  EXPECT_EQ(scene.Held(0).size(), 2u);
  EXPECT_EQ(scene.Held(1).size(), 2u);
}

// A branch that tells how much is free in it, and has no room when that is nothing.
class SizedBranch : public DirectoryBranch {
 public:
  SizedBranch(BranchSpec spec, BranchId id, UniqueFd root, fsblkcnt_t free)
      : DirectoryBranch(std::move(spec), id, std::move(root)), free_(free) {}

  ErrnoOr<struct statvfs> StatFs(int dirfd) const override {
    ACETATE_ASSIGN_OR_RETURN(struct statvfs st, DirectoryBranch::StatFs(dirfd));
    st.f_bavail = free_;
    return st;
  }
  ErrnoOr<UniqueFd> Open(int dirfd, const char* name, int flags, mode_t mode) const override {
    if ((flags & O_CREAT) != 0 && free_ == 0) return Errno(ENOSPC);
    return DirectoryBranch::Open(dirfd, name, flags, mode);
  }
  Errno Link(int old_dirfd, const char* old_name, int new_dirfd, const char* new_name) const override {
    return free_ == 0 ? Errno(ENOSPC) : DirectoryBranch::Link(old_dirfd, old_name, new_dirfd, new_name);
  }

 private:
  const fsblkcnt_t free_;
};

// The branches of a scene made anew, with so much free in those that are writable.
void StartSized(StackScene& scene, const std::vector<std::string>& modes, const std::vector<fsblkcnt_t>& free) {
  std::vector<UnionFs::NewBranch> branches;
  for (size_t i = 0; i < modes.size(); ++i) {
    BranchSpec spec;
    spec.path = scene / std::to_string(i);
    spec.mode = modes[i] == "rw" ? BranchMode::kReadWrite : BranchMode::kReadOnly;
    UniqueFd root = *sys::OpenAt(AT_FDCWD, spec.path.c_str(), O_PATH | O_DIRECTORY);
    UniqueFd work;
    if (modes[i] == "rw") {
      work = *sys::OpenAt(AT_FDCWD, (scene / ("work" + std::to_string(i))).c_str(), O_RDONLY | O_DIRECTORY);
    }
    branches.push_back(
        {std::make_unique<SizedBranch>(spec, static_cast<BranchId>(i), std::move(root), free[i]), std::move(work)});
  }
  scene.fs_ = *UnionFs::Create(scene.options_, std::move(branches), Identity::OfProcess(), &scene.stats_);
}

TEST(SeveralWritableTest, TheFreestIsFoundOut) {
  const std::vector<std::string> modes = {"rw", "rw", "rw"};
  StackScene scene(modes);
  scene.options_.create_policy = CreatePolicy::kMostFreeSpace;
  MakeDirs(scene / "0/d");
  MakeDirs(scene / "2/d");
  StartSized(scene, modes, {10, 30, 20});
  EXPECT_EQ(scene.Create("d/freest"), 0);
  EXPECT_THAT(scene.Held(1), ElementsAre("d/", "d/freest"));
  scene.options_.create_policy = CreatePolicy::kParentMostFreeSpace;
  StartSized(scene, modes, {10, 30, 20});
  EXPECT_EQ(scene.Create("d/both"), 0);
  EXPECT_EQ(scene.Create("top"), 0);
  EXPECT_THAT(scene.Held(1), ElementsAre("d/", "d/both", "d/freest", "top"));
}

TEST(SeveralWritableTest, AFullBranchIsPassedOver) {
  const std::vector<std::string> modes = {"rw", "rw", "ro"};
  StackScene scene(modes);
  scene.Put("2/d/copied", "old");
  scene.Put("2/d/removed", "old");
  StartSized(scene, modes, {10, 0, 0});  // the nearest to the directory is the one that would be taken
  EXPECT_EQ(scene.Create("d/new"), 0);
  EXPECT_EQ(scene.Write("d/copied", "new"), 0);
  EXPECT_EQ(scene.Unlink("d/removed"), 0);
  EXPECT_THAT(scene.Held(0), ElementsAre("d/", "d/copied", "d/new", "d/removed (whiteout)"));
  EXPECT_THAT(scene.Held(1), ElementsAre("d/"));
  EXPECT_EQ(scene.Contents("d/copied"), "new");
  StartSized(scene, modes, {0, 0, 0});
  EXPECT_EQ(scene.Create("d/newer"), ENOSPC);
  EXPECT_TRUE(scene.WorkIsClean());
}

TEST(SeveralWritableTest, ADirectorysTimesFollowChangesInAnyBranch) {
  StackScene scene({"rw", "rw"});
  MakeDirs(scene / "0/d");
  MakeDirs(scene / "1/d");
  scene.Put("1/d/f", "");
  scene.Start();
  AttrChange old;
  old.set_times = true;
  old.times[0] = old.times[1] = {1000, 0};
  ASSERT_TRUE(scene.fs_->SetAttr(scene.Node("d"), old).ok());
  EXPECT_EQ(scene.Unlink("d/f"), 0);
  EXPECT_GT(scene.fs_->GetAttr(scene.Node("d"))->st_mtim.tv_sec, 1000);
}

}  // namespace
}  // namespace acetate::fusefs
