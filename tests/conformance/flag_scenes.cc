// Flags of files, as chattr sets them. What they forbid is compared with the kernel's overlayfs in
// tests/differential/flags_test.cc; here is what every user of a union meets.
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <string>

#include "tests/conformance/scene.h"

namespace acetate::conformance {
namespace {

class FlagScene : public SceneTest {
 protected:
  void SetUp() override {
    WriteFile(Lower("file"), "lower");
    MakeDirs(Lower("dir"));
    if (GetFlags(Lower("file")) < 0) GTEST_SKIP() << dir_.path() << " lies on a filesystem without flags";
  }

  // -1, with errno, where there are none.
  static int GetFlags(const std::string& path) {
    const UniqueFd fd(open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
    int flags = 0;
    return ioctl(fd.get(), FS_IOC_GETFLAGS, &flags) == 0 ? flags : -1;
  }
  static int AddFlags(const std::string& path, int flags) {
    const UniqueFd fd(open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
    int all = GetFlags(path) | flags;
    return ioctl(fd.get(), FS_IOC_SETFLAGS, &all);
  }
};

TEST_F(FlagScene, AFlagIsSetOnACopyAndStays) {
  Mount();
  for (const char* name : {"file", "dir"}) {
    EXPECT_EQ(GetFlags(Union(name)) & FS_NODUMP_FL, 0) << name;
    ASSERT_EQ(Error(AddFlags(Union(name), FS_NODUMP_FL)), 0) << name;
    EXPECT_NE(GetFlags(Union(name)) & FS_NODUMP_FL, 0) << name;
    EXPECT_EQ(GetFlags(Lower(name)) & FS_NODUMP_FL, 0) << name;
    EXPECT_NE(GetFlags(Upper(name)) & FS_NODUMP_FL, 0) << name;
  }
  Remount();
  EXPECT_NE(GetFlags(Union("file")) & FS_NODUMP_FL, 0);
  EXPECT_EQ(ReadFile(Union("file")), "lower");
}

TEST_F(FlagScene, ReadingFlagsCopiesNothing) {
  ASSERT_EQ(Error(AddFlags(Lower("file"), FS_NODUMP_FL)), 0);
  Mount();
  EXPECT_NE(GetFlags(Union("file")) & FS_NODUMP_FL, 0);
  EXPECT_EQ(Names(options_.upper), Strings{});
}

TEST_F(FlagScene, ChangingThemMovesTheChangeTimeThatIsShown) {
  Mount();
  WriteFile(Union("new"), "x");
  const timespec before = StatOf(Union("new")).st_ctim;
  usleep(20000);  // a tick of the kernel's clock
  ASSERT_EQ(Error(AddFlags(Union("new"), FS_NODUMP_FL)), 0);
  const timespec after = StatOf(Union("new")).st_ctim;
  EXPECT_TRUE(after.tv_sec > before.tv_sec || (after.tv_sec == before.tv_sec && after.tv_nsec > before.tv_nsec));
}

TEST_F(FlagScene, ImmutableIsRootsToSet) {
  Mount();
  const int error = Error(AddFlags(Union("file"), FS_IMMUTABLE_FL));
  if (!IsMachineRoot()) {
    EXPECT_EQ(error, EPERM);
    Append(Union("file"), "more");
    EXPECT_EQ(ReadFile(Union("file")), "lowermore");
    return;
  }
  ASSERT_EQ(error, 0);
  EXPECT_EQ(Error(unlink(Union("file").c_str())), EPERM);
  EXPECT_EQ(Error(truncate(Union("file").c_str(), 0)), EPERM);
  EXPECT_EQ(ReadFile(Union("file")), "lower");
  // The upper's file can be removed by whoever owns the layer.
  EXPECT_EQ(GetFlags(Upper("file")) & FS_IMMUTABLE_FL, 0);
}

TEST_F(FlagScene, OtherIoctlsAreNone) {
  Mount();
  const UniqueFd fd = Open(Union("file"), O_RDONLY);
  int version = 0;
  EXPECT_EQ(Error(ioctl(fd.get(), FS_IOC_GETVERSION, &version)), ENOTTY);
}

}  // namespace
}  // namespace acetate::conformance
