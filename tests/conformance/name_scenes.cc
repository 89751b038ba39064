// Names, links and extended attributes: limits, names that look like our own, and calls that mean the symlink itself.
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <climits>

#include "tests/conformance/scene.h"

namespace acetate::conformance {
namespace {

class NameScene : public SceneTest {};

TEST_F(NameScene, TheLongestNameWorksAndOneMoreDoesNot) {
  const std::string longest(NAME_MAX, 'n');
  WriteFile(Lower(longest), "lower");
  Mount();
  Append(Union(longest), " more");
  EXPECT_EQ(ReadFile(Union(longest)), "lower more");
  ASSERT_EQ(unlink(Union(longest).c_str()), 0);
  EXPECT_TRUE(IsWhiteout(Upper(longest)));
  ASSERT_EQ(mkdir(Union(longest).c_str(), 0755), 0);
  EXPECT_EQ(Names(Union("")), Strings{longest});

  const std::string longer(NAME_MAX + 1, 'n');
  EXPECT_EQ(Error(mkdir(Union(longer).c_str(), 0755)), ENAMETOOLONG);
  EXPECT_EQ(Error(open(Union(longer).c_str(), O_WRONLY | O_CREAT, 0644)), ENAMETOOLONG);
  EXPECT_EQ(Error(access(Union(longer).c_str(), F_OK)), ENAMETOOLONG);
  EXPECT_EQ(Error(rename(Union(longest).c_str(), Union(longer).c_str())), ENAMETOOLONG);
  EXPECT_EQ(Names(Union("")), Strings{longest});
}

TEST_F(NameScene, NamesThatLookLikeAufsMarksAreOrdinary) {
  WriteFile(Lower("a"), "a");
  Mount();
  WriteFile(Union(".wh.a"), "ordinary");
  WriteFile(Union(".wh..wh..opq"), "ordinary");
  Remount();
  EXPECT_EQ(Names(Union("")), (Strings{".wh..wh..opq", ".wh.a", "a"}));
  EXPECT_EQ(ReadFile(Union("a")), "a");
}

TEST_F(NameScene, ATreeDeeperThanAnyPathWorks) {
  // 40 levels of 200 bytes: twice PATH_MAX. Only relative calls reach the end of it.
  const std::string level(200, 'l');
  UniqueFd at = Open(options_.lowers[0], O_RDONLY | O_DIRECTORY);
  for (int i = 0; i < 40; ++i) {
    ASSERT_EQ(mkdirat(at.get(), level.c_str(), 0755), 0);
    at = UniqueFd(openat(at.get(), level.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  }
  UniqueFd file(openat(at.get(), "file", O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
  ASSERT_EQ(write(file.get(), "deep", 4), 4);

  Mount();
  at = Open(options_.mountpoint, O_RDONLY | O_DIRECTORY);
  for (int i = 0; i < 40; ++i) {
    at = UniqueFd(openat(at.get(), level.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    ASSERT_TRUE(at.valid()) << "level " << i;
  }
  file = UniqueFd(openat(at.get(), "file", O_RDWR | O_CLOEXEC));
  ASSERT_TRUE(file.valid());
  ASSERT_EQ(pwrite(file.get(), "D", 1, 0), 1) << "copied up with 40 parents";
  EXPECT_EQ(ReadAll(file), "Deep");
  ASSERT_EQ(mkdirat(at.get(), "new", 0755), 0);
  ASSERT_EQ(renameat(at.get(), "file", at.get(), "new/file"), 0);
  ASSERT_EQ(unlinkat(at.get(), "new/file", 0), 0);
  ASSERT_EQ(unlinkat(at.get(), "new", AT_REMOVEDIR), 0);
  at.Reset();
  file.Reset();
  Unmount();
  // TempDir removes by path; this tree has none.
  for (const std::string& top : {options_.lowers[0], options_.upper}) {
    ASSERT_EQ(system(("rm -rf '" + top + "'").c_str()), 0);
  }
}

TEST_F(NameScene, WhiteoutsAreNotMadeByHand) {
  WriteFile(Lower("a"), "a");
  Mount();
  EXPECT_EQ(Error(mknod(Union("w").c_str(), S_IFCHR | 0600, 0)), EPERM);
  EXPECT_EQ(Error(renameat2(AT_FDCWD, Union("a").c_str(), AT_FDCWD, Union("b").c_str(), RENAME_WHITEOUT)), EINVAL);
  EXPECT_EQ(Names(Union("")), Strings{"a"}) << "as kernel overlayfs; and listing goes on";
}

TEST_F(NameScene, OurOwnXattrsAreInvisibleAndFreeToUse) {
  const std::string own = IsMachineRoot() ? "trusted.overlay.opaque" : "user.overlay.opaque";
  MakeDirs(Lower("d"));
  MakeDirs(Upper("d"));
  PutOpaque(Upper("d"));
  Mount();
  char value[8];
  EXPECT_EQ(Error(getxattr(Union("d").c_str(), own.c_str(), value, sizeof(value))), ENODATA);
  EXPECT_EQ(listxattr(Union("d").c_str(), nullptr, 0), 0);
  ASSERT_EQ(Error(setxattr(Union("d").c_str(), own.c_str(), "mine", 4, 0)), 0);
  EXPECT_EQ(getxattr(Union("d").c_str(), own.c_str(), value, sizeof(value)), 4);
  EXPECT_TRUE(IsOpaque(Upper("d"))) << "an application's attribute is none of ours";
  ASSERT_EQ(Error(removexattr(Union("d").c_str(), own.c_str())), 0);
  EXPECT_TRUE(IsOpaque(Upper("d")));
}

TEST_F(NameScene, XattrCallsAnswerAsOnAnyFilesystem) {
  WriteFile(Lower("a"), "a");
  ASSERT_EQ(setxattr(Lower("a").c_str(), "user.color", "green", 5, 0), 0);
  Mount();
  const std::string a = Union("a");
  char value[64];
  EXPECT_EQ(getxattr(a.c_str(), "user.color", nullptr, 0), 5);
  EXPECT_EQ(Error(getxattr(a.c_str(), "user.color", value, 4)), ERANGE);
  EXPECT_EQ(Error(getxattr(a.c_str(), "user.none", value, 4)), ENODATA);
  EXPECT_EQ(listxattr(a.c_str(), nullptr, 0), 11);
  EXPECT_EQ(Error(listxattr(a.c_str(), value, 10)), ERANGE);
  EXPECT_EQ(Error(setxattr(a.c_str(), "user.color", "x", 1, XATTR_CREATE)), EEXIST);
  EXPECT_EQ(Error(setxattr(a.c_str(), "user.none", "x", 1, XATTR_REPLACE)), ENODATA);
  EXPECT_EQ(Error(removexattr(a.c_str(), "user.none")), ENODATA);
  EXPECT_EQ(Names(Upper("")), Strings{}) << "a call that fails copies nothing up";
  EXPECT_EQ(Error(setxattr(a.c_str(), "user.color", "", 0, 0)), 0);
  EXPECT_EQ(getxattr(a.c_str(), "user.color", value, sizeof(value)), 0);
  EXPECT_EQ(Error(setxattr(a.c_str(), ("user." + std::string(250, 'n')).c_str(), "long", 4, 0)), 0);
  EXPECT_EQ(Error(setxattr(a.c_str(), ("user." + std::string(251, 'n')).c_str(), "long", 4, 0)), ERANGE);
}

TEST_F(NameScene, CallsOnASymlinkActOnTheSymlink) {
  WriteFile(dir_ / "host", "host", 0644);
  SetMtime(dir_ / "host", 1000000000);
  for (const char* name : {"out", "dangling"}) {
    ASSERT_EQ(symlink(name == std::string("out") ? (dir_ / "host").c_str() : "nowhere", Lower(name).c_str()), 0);
  }
  ASSERT_EQ(symlink((options_.mountpoint + "/target").c_str(), Lower("into").c_str()), 0);
  WriteFile(Lower("target"), "target");
  Mount();
  for (const char* name : {"out", "dangling", "into"}) {
    const std::string link = Union(name);
    // User attributes are for files and directories only.
    EXPECT_EQ(Error(lsetxattr(link.c_str(), "user.a", "x", 1, 0)), EPERM) << name;
    if (IsMachineRoot()) {
      EXPECT_EQ(Error(lsetxattr(link.c_str(), "trusted.a", "x", 1, 0)), 0) << name;
      EXPECT_EQ(lgetxattr(Upper(name).c_str(), "trusted.a", nullptr, 0), 1) << name;
    }
    EXPECT_EQ(Error(lchown(link.c_str(), getuid(), getgid())), 0) << name;
    SetMtime(link, 1234567890);
    EXPECT_EQ(StatOf(link).st_mtime, 1234567890) << name;
    EXPECT_EQ(Error(rename(link.c_str(), Union(std::string("moved-") + name).c_str())), 0) << name;
  }
  EXPECT_EQ(StatOf(dir_ / "host").st_mtime, 1000000000);
  EXPECT_EQ(listxattr((dir_ / "host").c_str(), nullptr, 0), 0);
  EXPECT_FALSE(Exists(Upper("target"))) << "what the link points at was not touched";
}

}  // namespace
}  // namespace acetate::conformance
