// Removing and replacing what a lower holds: whiteouts and opaque directories, where they are needed and only there.
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <thread>

#include "tests/conformance/scene.h"

namespace acetate::conformance {
namespace {

class WhiteoutScene : public SceneTest {};

TEST_F(WhiteoutScene, RemovingALowerFileLeavesAWhiteout) {
  WriteFile(Lower("a"), "a");
  Mount();
  ASSERT_EQ(unlink(Union("a").c_str()), 0);
  EXPECT_EQ(Names(Union("")), Strings{});
  EXPECT_TRUE(IsWhiteout(Upper("a")));
  Remount();
  EXPECT_FALSE(Exists(Union("a")));
}

TEST_F(WhiteoutScene, RemovingWhatOnlyTheUpperHasLeavesNothing) {
  Mount();
  WriteFile(Union("a"), "a");
  MakeDirs(Union("d/e"));
  ASSERT_EQ(unlink(Union("a").c_str()), 0);
  ASSERT_EQ(rmdir(Union("d/e").c_str()), 0);
  ASSERT_EQ(rmdir(Union("d").c_str()), 0);
  EXPECT_EQ(Names(Upper("")), Strings{});
}

TEST_F(WhiteoutScene, InsideAnOpaqueDirectoryNoWhiteoutIsNeeded) {
  MakeDirs(Lower("d"));
  WriteFile(Lower("d/a"), "below");
  MakeDirs(Upper("d"));
  PutOpaque(Upper("d"));
  WriteFile(Upper("d/a"), "above");
  Mount();
  ASSERT_EQ(unlink(Union("d/a").c_str()), 0);
  EXPECT_EQ(Names(Union("d")), Strings{});
  EXPECT_EQ(Names(Upper("d")), Strings{});
}

TEST_F(WhiteoutScene, MovingWhatOnlyTheUpperHasLeavesNothing) {
  Mount();
  WriteFile(Union("a"), "a");
  ASSERT_EQ(rename(Union("a").c_str(), Union("b").c_str()), 0);
  EXPECT_EQ(Names(Upper("")), Strings{"b"});
}

TEST_F(WhiteoutScene, MovingALowerFileLeavesOne) {
  WriteFile(Lower("a"), "text");
  Mount();
  ASSERT_EQ(rename(Union("a").c_str(), Union("b").c_str()), 0);
  EXPECT_EQ(Names(Union("")), Strings{"b"});
  EXPECT_TRUE(IsWhiteout(Upper("a")));
  EXPECT_EQ(ReadFile(Union("b")), "text");
}

TEST_F(WhiteoutScene, MovingALowerDirectoryLeavesOneAndCopiesNothingInIt) {
  MakeDirs(Lower("d/sub"));
  WriteFile(Lower("d/sub/a"), "text");
  WriteFile(Lower("d/b"), "b");
  Mount();
  UniqueFd inside = Open(Union("d/sub"), O_RDONLY | O_DIRECTORY);
  const struct stat before = StatOf(Union("d"));
  ASSERT_EQ(rename(Union("d").c_str(), Union("e").c_str()), 0);
  ASSERT_EQ(faccessat(inside.get(), "a", R_OK, 0), 0);
  inside.Reset();
  ASSERT_EQ(mkdir(Union("d").c_str(), 0755), 0);
  ASSERT_EQ(rename(Union("e/sub").c_str(), Union("d/sub").c_str()), 0);
  for (int mounts = 0; mounts < 2; ++mounts) {
    EXPECT_EQ(Names(Union("")), (Strings{"d", "e"}));
    EXPECT_EQ(Names(Union("d")), Strings{"sub"});
    EXPECT_EQ(ReadFile(Union("d/sub/a")), "text");
    EXPECT_EQ(Names(Union("e")), Strings{"b"});
    EXPECT_EQ(StatOf(Union("e")).st_ino, before.st_ino);
    Remount();
  }
  EXPECT_EQ(Names(Upper("d/sub")), Strings{});
}

TEST_F(WhiteoutScene, AFileTakesTheNameOfAWhiteout) {
  WriteFile(Lower("a"), "lower");
  PutWhiteout(Upper("a"));
  WriteFile(Upper("b"), "b");
  Mount();
  EXPECT_EQ(Names(Union("")), Strings{"b"});
  ASSERT_EQ(rename(Union("b").c_str(), Union("a").c_str()), 0);
  EXPECT_EQ(ReadFile(Union("a")), "b");
  ASSERT_EQ(unlink(Union("a").c_str()), 0);
  EXPECT_TRUE(IsWhiteout(Upper("a"))) << "the lower's file must not come back";
  Open(Union("a"), O_WRONLY | O_CREAT | O_EXCL);
  EXPECT_EQ(ReadFile(Upper("a")), "");
}

TEST_F(WhiteoutScene, ADirectoryMadeOverAWhiteoutIsEmpty) {
  MakeDirs(Lower("d"));
  WriteFile(Lower("d/child"), "c");
  Mount();
  ASSERT_EQ(unlink(Union("d/child").c_str()), 0);
  ASSERT_EQ(rmdir(Union("d").c_str()), 0);
  ASSERT_EQ(mkdir(Union("d").c_str(), 0755), 0);
  EXPECT_EQ(Names(Union("d")), Strings{});
  EXPECT_TRUE(IsOpaque(Upper("d")));
  Remount();
  EXPECT_EQ(Names(Union("d")), Strings{});
}

TEST_F(WhiteoutScene, ADirectoryThatHoldsOnlyWhiteoutsCanBeRemoved) {
  MakeDirs(Lower("d"));
  WriteFile(Lower("d/a"), "a");
  MakeDirs(Upper("d"));
  PutWhiteout(Upper("d/a"));
  Mount();
  EXPECT_EQ(Error(rmdir(Union("d").c_str())), 0);
  EXPECT_TRUE(IsWhiteout(Upper("d")));
}

TEST_F(WhiteoutScene, ADirectoryWithALowerChildCannotBeRemoved) {
  MakeDirs(Lower("d", 1));
  WriteFile(Lower("d/a", 1), "a");
  MakeDirs(Lower("d"));
  Mount();
  EXPECT_EQ(Error(rmdir(Union("d").c_str())), ENOTEMPTY);
  EXPECT_EQ(ReadFile(Union("d/a")), "a");
  EXPECT_FALSE(Exists(Upper("d")));
}

TEST_F(WhiteoutScene, AWhiteoutInAMiddleLayerHidesTheOnesBelow) {
  WriteFile(Lower("a", 1), "bottom");
  PutWhiteout(Lower("a", 0));
  Mount();
  EXPECT_FALSE(Exists(Union("a")));
  Open(Union("a"), O_WRONLY | O_CREAT | O_EXCL);
  ASSERT_EQ(unlink(Union("a").c_str()), 0);
  EXPECT_FALSE(Exists(Upper("a"))) << "the middle layer's whiteout is enough";
}

TEST_F(WhiteoutScene, RenameNeverLeavesAMomentWithoutTheName) {
  WriteFile(Lower("name"), "lower");
  Mount();
  std::atomic<bool> done{false};
  std::atomic<int> missing{0};
  std::thread watcher([&] {
    while (!done) missing += Exists(Union("name")) ? 0 : 1;
  });
  for (int i = 0; i < 300; ++i) {
    WriteFile(Union("new"), std::to_string(i));
    ASSERT_EQ(rename(Union("new").c_str(), Union("name").c_str()), 0);
  }
  done = true;
  watcher.join();
  EXPECT_EQ(missing, 0);
}

TEST_F(WhiteoutScene, NoReplaceMeansTheNameIsFreeInTheUnion) {
  WriteFile(Lower("a"), "a");
  WriteFile(Lower("b"), "b");
  WriteFile(Lower("hidden"), "h");
  PutWhiteout(Upper("hidden"));
  Mount();
  const auto move = [&](const char* from, const char* to) {
    return Error(renameat2(AT_FDCWD, Union(from).c_str(), AT_FDCWD, Union(to).c_str(), RENAME_NOREPLACE));
  };
  EXPECT_EQ(move("a", "b"), EEXIST);
  EXPECT_EQ(move("a", "hidden"), 0);
  EXPECT_EQ(ReadFile(Union("hidden")), "a");
}

TEST_F(WhiteoutScene, ExchangeOfTwoLowerFiles) {
  WriteFile(Lower("a"), "a");
  WriteFile(Lower("b"), "b");
  Mount();
  ASSERT_EQ(renameat2(AT_FDCWD, Union("a").c_str(), AT_FDCWD, Union("b").c_str(), RENAME_EXCHANGE), 0);
  EXPECT_EQ(ReadFile(Union("a")), "b");
  EXPECT_EQ(ReadFile(Union("b")), "a");
  EXPECT_EQ(Names(Upper("")), (Strings{"a", "b"}));
}

}  // namespace
}  // namespace acetate::conformance
