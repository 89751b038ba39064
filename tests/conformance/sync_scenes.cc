// What is on the disk when: layers that are mounted without syncs, or with all of them.
#include <sys/mount.h>
#include <unistd.h>

#include <cstdlib>
#include <stdexcept>
#include <string>

#include "tests/conformance/scene.h"

namespace acetate::conformance {
namespace {

class SyncScene : public SceneTest {
 protected:
  std::string Mark() const { return options_.work + "/work/incompat/volatile"; }
};

TEST_F(SyncScene, AVolatileLayerIsMarkedAsLongAsItIsMounted) {
  options_.mount_options = {"volatile"};
  Mount();
  EXPECT_TRUE(Exists(Mark()));
  WriteFile(Union("file"), "x");
  Unmount();
  EXPECT_FALSE(Exists(Mark()));
  options_.mount_options.clear();
  Mount();
  EXPECT_EQ(ReadFile(Union("file")), "x");
  EXPECT_FALSE(Exists(Mark()));
}

TEST_F(SyncScene, AVolatileLayerThatWasNotUnmountedIsRefused) {
  for (const char* next : {"sync=volatile", "sync=auto"}) {
    options_.mount_options = {"sync=volatile"};
    Mount();
    WriteFile(Union("file"), "x");
    Crash();
    options_.mount_options = {next};
    try {
      MountedUnion refused(options_);
      FAIL() << "mounted with " << next;
    } catch (const std::runtime_error& error) {
      const std::string said = error.what();
      EXPECT_NE(said.find("was mounted volatile and not unmounted cleanly"), std::string::npos) << said;
      EXPECT_NE(said.find("remove '" + Mark() + "'"), std::string::npos) << said;
    }
    // Nothing was touched; who knows better may go on.
    EXPECT_TRUE(Exists(Mark()));
    ASSERT_EQ(unlink((Mark() + "/dirty").c_str()), 0);
    ASSERT_EQ(rmdir(Mark().c_str()), 0);
    Mount();
    EXPECT_EQ(ReadFile(Union("file")), "x");
    Unmount();
  }
}

TEST_F(SyncScene, ALayerWithoutTheMarkIsMountedAfterACrash) {
  Mount();
  WriteFile(Union("file"), "x");
  Crash();
  Mount();
  EXPECT_EQ(ReadFile(Union("file")), "x");
}

TEST_F(SyncScene, TheKernelAndWeUnderstandEachOthersMark) {
  if (!IsMachineRoot()) GTEST_SKIP() << "the kernel's volatile mounts need root";
  const std::string layers =
      "lowerdir=" + options_.lowers[0] + ",upperdir=" + options_.upper + ",workdir=" + options_.work;
  options_.mount_options = {"volatile"};
  Mount();
  Crash();
  EXPECT_EQ(Error(mount("overlay", options_.mountpoint.c_str(), "overlay", 0, layers.c_str())), EINVAL);
  const std::string remove = "rm -r '" + Mark() + "'";
  ASSERT_EQ(system(remove.c_str()), 0);
  ASSERT_EQ(mount("overlay", options_.mountpoint.c_str(), "overlay", 0, (layers + ",volatile").c_str()), 0);
  ASSERT_EQ(umount(options_.mountpoint.c_str()), 0);
  EXPECT_THROW(MountedUnion{options_}, std::runtime_error);
}

TEST_F(SyncScene, StrictSyncsChangeNothingThatIsSeen) {
  WriteFile(Lower("lower"), "lower");
  MakeDirs(Lower("dir"));
  options_.mount_options = {"sync=strict"};
  Mount();
  Append(Union("lower"), "more");
  ASSERT_EQ(rename(Union("lower").c_str(), Union("dir/moved").c_str()), 0);
  ASSERT_EQ(symlink("target", Union("link").c_str()), 0);
  ASSERT_EQ(rename(Union("link").c_str(), Union("dir/link").c_str()), 0);
  Remount();
  EXPECT_EQ(ReadFile(Union("dir/moved")), "lowermore");
  EXPECT_EQ(Names(Union("dir")), (Strings{"link", "moved"}));
}

}  // namespace
}  // namespace acetate::conformance
