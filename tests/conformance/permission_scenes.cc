// Modes, owners and what they forbid or allow.
#include <fcntl.h>
#include <grp.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <functional>

#include "fusefs/libfuse.h"
#include "tests/conformance/scene.h"

namespace acetate::conformance {
namespace {

constexpr uid_t kAlice = 2001;
constexpr uid_t kBob = 2002;

class PermissionScene : public SceneTest {
 protected:
  void TearDown() override {
    umask(022);
    SceneTest::TearDown();
  }

  // Mounts for all users; only root of the machine can be others, so others skip the scene.
  void MountForAll() {
    options_.mount_options = {"allow_other"};
    ASSERT_EQ(chmod(dir_.path().c_str(), 0755), 0);
    Mount();
    ASSERT_EQ(chdir(options_.mountpoint.c_str()), 0);
  }

  // What `act` returns (an errno) when a process of `uid` does it; its working directory is the mount.
  int As(uid_t uid, const std::function<int()>& act) {
    const pid_t child = fork();
    if (child == 0) {
      if (setgroups(0, nullptr) != 0 || setgid(uid) != 0 || setuid(uid) != 0) _exit(255);
      _exit(act());
    }
    int status = 0;
    waitpid(child, &status, 0);
    return WEXITSTATUS(status);
  }

  mode_t ModeOf(const std::string& name) { return StatOf(Union(name)).st_mode & 07777; }
};

class OtherUsersScene : public PermissionScene {
 protected:
  void SetUp() override {
    if (!IsMachineRoot()) GTEST_SKIP() << "acting as other users needs root";
  }
  void TearDown() override {
    EXPECT_EQ(chdir("/"), 0);
    PermissionScene::TearDown();
  }
};

TEST_F(PermissionScene, TheUmaskIsAppliedOnce) {
  Mount();
  umask(027);
  Open(Union("file"), O_WRONLY | O_CREAT, 0666);
  ASSERT_EQ(mkdir(Union("dir").c_str(), 0777), 0);
  ASSERT_EQ(mkfifo(Union("fifo").c_str(), 0666), 0);
  umask(0);
  Open(Union("open"), O_WRONLY | O_CREAT, 0666);
  EXPECT_EQ(ModeOf("file"), 0640u);
  EXPECT_EQ(ModeOf("dir"), 0750u);
  EXPECT_EQ(ModeOf("fifo"), 0640u);
  EXPECT_EQ(ModeOf("open"), 0666u);
}

TEST_F(PermissionScene, AFileCreatedReadOnlyIsWritableThroughTheFdThatMadeIt) {
  Mount();
  UniqueFd fd = Open(Union("a"), O_RDWR | O_CREAT | O_EXCL, 0444);
  EXPECT_EQ(write(fd.get(), "text", 4), 4);
  // Also when the daemon had to close its own fd in between.
  for (int i = 0; i < 2000; ++i) WriteFile(Union("other" + std::to_string(i)), "x");
  EXPECT_EQ(write(fd.get(), "more", 4), 4);
  EXPECT_EQ(ftruncate(fd.get(), 6), 0);
  EXPECT_EQ(ReadFile(Union("a")), "textmo");
}

TEST_F(PermissionScene, AnOpenFileStaysUsableWhenItsModeForbidsIt) {
  WriteFile(Lower("a"), "text");
  Mount();
  UniqueFd fd = Open(Union("a"), O_RDWR);
  ASSERT_EQ(fchmod(fd.get(), 0), 0);
  EXPECT_EQ(ReadAll(fd), "text");
  EXPECT_EQ(pwrite(fd.get(), "T", 1, 0), 1);
  EXPECT_EQ(ReadAll(fd), "Text");
}

TEST_F(PermissionScene, AnOwnFileThatNobodyMayReadCanBeOpenedUp) {
  WriteFile(Lower("a"), "text", 0000);
  MakeDirs(Lower("d/e"));
  ASSERT_EQ(chmod(Lower("d").c_str(), 0500), 0);
  Mount();
  ASSERT_EQ(Error(chmod(Union("a").c_str(), 0644)), 0);
  EXPECT_EQ(ReadFile(Union("a")), "text");
  ASSERT_EQ(Error(chmod(Union("d/e").c_str(), 0700)), 0) << "below a directory that its owner may not write";
  EXPECT_EQ(ModeOf("d"), 0500u);
  ASSERT_EQ(chmod(Union("d").c_str(), 0700), 0);
  ASSERT_EQ(chmod(Lower("d").c_str(), 0700), 0);
}

TEST_F(PermissionScene, SetgidDirectoriesHandTheirGroupDown) {
  MakeDirs(Lower("d"));
  if (IsMachineRoot()) {
    ASSERT_EQ(chown(Lower("d").c_str(), 0, 3000), 0);
  }
  ASSERT_EQ(chmod(Lower("d").c_str(), 02775), 0);
  WriteFile(Lower("d/gone"), "");
  const gid_t group = StatOf(Lower("d")).st_gid;
  Mount();
  ASSERT_EQ(mkdir(Union("d/sub").c_str(), 0755), 0);
  Open(Union("d/file"), O_WRONLY | O_CREAT);
  ASSERT_EQ(unlink(Union("d/gone").c_str()), 0);
  ASSERT_EQ(mkdir(Union("d/gone").c_str(), 0755), 0);
  EXPECT_EQ(StatOf(Union("d/sub")).st_gid, group);
  EXPECT_EQ(ModeOf("d/sub"), 02755u);
  EXPECT_EQ(StatOf(Union("d/file")).st_gid, group);
  EXPECT_EQ(StatOf(Union("d/gone")).st_gid, group) << "made in the work directory, over a whiteout";
  EXPECT_EQ(ModeOf("d/gone"), 02755u);
}

TEST_F(OtherUsersScene, ModesForbidAndAllow) {
  WriteFile(Lower("secret"), "s", 0600);
  WriteFile(Lower("public"), "p", 0644);
  MakeDirs(Lower("open"));
  ASSERT_EQ(chmod(Lower("open").c_str(), 0777), 0);
  MountForAll();
  EXPECT_EQ(As(kAlice, [] { return Error(open("secret", O_RDONLY)); }), EACCES);
  EXPECT_EQ(As(kAlice, [] { return Error(open("public", O_RDONLY)); }), 0);
  EXPECT_EQ(As(kAlice, [] { return Error(open("public", O_WRONLY)); }), EACCES);
  EXPECT_EQ(As(kAlice, [] { return Error(unlink("public")); }), EACCES);
  EXPECT_EQ(As(kAlice, [] { return Error(chmod("public", 0777)); }), EPERM);
  EXPECT_EQ(As(kAlice, [] { return Error(open("open/new", O_WRONLY | O_CREAT, 0600)); }), 0);
  EXPECT_EQ(StatOf(Upper("open/new")).st_uid, kAlice);
  EXPECT_EQ(StatOf(Upper("open/new")).st_gid, kAlice);
}

TEST_F(OtherUsersScene, StickyDirectoriesGuardTheirNames) {
  MakeDirs(Lower("tmp"));
  ASSERT_EQ(chmod(Lower("tmp").c_str(), 01777), 0);
  WriteFile(Lower("tmp/alices"), "a");
  ASSERT_EQ(chown(Lower("tmp/alices").c_str(), kAlice, kAlice), 0);
  MountForAll();
  EXPECT_EQ(As(kBob, [] { return Error(unlink("tmp/alices")); }), EPERM);
  EXPECT_EQ(As(kBob, [] { return Error(rename("tmp/alices", "tmp/bobs")); }), EPERM);
  EXPECT_EQ(As(kAlice, [] { return Error(unlink("tmp/alices")); }), 0);
}

TEST_F(OtherUsersScene, WritingClearsSetIdBits) {
  WriteFile(Lower("program"), "p", 06777);
  WriteFile(Lower("by-root"), "p", 06777);
  MountForAll();
  ASSERT_EQ(As(kAlice, [] { return write(open("program", O_WRONLY), "x", 1) == 1 ? 0 : errno; }), 0);
  EXPECT_EQ(ModeOf("program"), 0777u);
  ASSERT_EQ(write(Open(Union("by-root"), O_WRONLY).get(), "x", 1), 1);
  EXPECT_EQ(ModeOf("by-root"), 06777u) << "root may";
}

TEST_F(OtherUsersScene, SoDoesChangingTheContentsWithoutAWrite) {
  const std::string data(10000, 'p');
  for (const char* name : {"truncated", "punched", "copied to"}) WriteFile(Lower(name), data, 06777);
  WriteFile(Lower("source"), data, 0644);
  MountForAll();
  EXPECT_EQ(As(kAlice, [] { return Error(truncate("truncated", 1)); }), 0);
  EXPECT_EQ(As(kAlice,
               [] {
                 const int mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
                 return Error(fallocate(open("punched", O_WRONLY), mode, 0, 4096));
               }),
            0);
  EXPECT_EQ(As(kAlice,
               [] {
                 const int from = open("source", O_RDONLY);
                 return copy_file_range(from, nullptr, open("copied to", O_WRONLY), nullptr, 100, 0) == 100 ? 0 : errno;
               }),
            0);
  for (const char* name : {"truncated", "punched", "copied to"}) EXPECT_EQ(ModeOf(name), 0777u) << name;
}

TEST_F(OtherUsersScene, AStrangerToTheGroupClearsSetgidWithoutGroupExecution) {
#if !ACETATE_LIBFUSE_HAS_KILLPRIV_V2
  GTEST_SKIP() << "needs a libfuse (3.18) that passes on whose bits a write clears";
#endif
  const Strings names = {"write", "truncate", "fallocate", "chown", "member"};
  for (const std::string& name : names) {
    WriteFile(Lower(name), "text", 02666);
    ASSERT_EQ(chown(Lower(name).c_str(), kAlice, name == "member" ? kAlice : kBob), 0);
    ASSERT_EQ(chmod(Lower(name).c_str(), 02666), 0);
  }
  MountForAll();
  const auto write_one = [](const char* name) { return write(open(name, O_WRONLY), "x", 1) == 1 ? 0 : errno; };
  ASSERT_EQ(As(kAlice, [&] { return write_one("member"); }), 0);
  EXPECT_EQ(ModeOf("member"), 02666u);
  ASSERT_EQ(As(kAlice, [] { return Error(chown("chown", -1, kAlice)); }), 0);
  EXPECT_EQ(ModeOf("chown"), 0666u);
  ASSERT_EQ(As(kAlice, [&] { return write_one("write"); }), 0);
  EXPECT_EQ(ModeOf("write"), 0666u);
  ASSERT_EQ(As(kAlice, [] { return Error(truncate("truncate", 1)); }), 0);
  EXPECT_EQ(ModeOf("truncate"), 0666u);
  ASSERT_EQ(As(kAlice, [] { return Error(fallocate(open("fallocate", O_WRONLY), 0, 0, 100)); }), 0);
  EXPECT_EQ(ModeOf("fallocate"), 0666u);
}

TEST_F(OtherUsersScene, ChangingTheOwnerClearsSetIdBits) {
  WriteFile(Lower("program"), "p", 06755);
  MountForAll();
  ASSERT_EQ(chown("program", kAlice, kAlice), 0);
  EXPECT_EQ(ModeOf("program"), 0755u);
}

TEST_F(OtherUsersScene, CapabilitiesAreKeptAtCopyUpAndClearedByAWrite) {
  const unsigned char value[20] = {0x01, 0, 0, 0x02, 0, 0x20};  // cap_net_raw+ep
  WriteFile(Lower("program"), "p", 0777);
  ASSERT_EQ(setxattr(Lower("program").c_str(), "security.capability", value, sizeof(value), 0), 0);
  MountForAll();
  ASSERT_EQ(chmod("program", 0755), 0);
  char read_back[32];
  EXPECT_EQ(getxattr(Upper("program").c_str(), "security.capability", read_back, sizeof(read_back)), 20);
  ASSERT_EQ(write(Open("program", O_WRONLY).get(), "x", 1), 1);
  EXPECT_EQ(Error(getxattr("program", "security.capability", read_back, sizeof(read_back))), ENODATA);
}

TEST_F(OtherUsersScene, AccessListsForbidAndAreHandedDown) {
  // others may do all, Alice nothing; what is made inside is the group's
  const unsigned char alice[2] = {kAlice & 255, kAlice >> 8};
  const unsigned char access[] = {2, 0,        0,        0,   1,   0,   7,  0, 255, 255, 255, 255, 2,   0,  0,
                                  0, alice[0], alice[1], 0,   0,   4,   0,  7, 0,   255, 255, 255, 255, 16, 0,
                                  7, 0,        255,      255, 255, 255, 32, 0, 7,   0,   255, 255, 255, 255};
  const unsigned char inherited[] = {2, 0, 0,   0,   1,   0,   7,  0, 255, 255, 255, 255, 4,   0,
                                     7, 0, 255, 255, 255, 255, 32, 0, 0,   0,   255, 255, 255, 255};
  MakeDirs(Lower("d"));
  WriteFile(Lower("d/gone"), "");
  ASSERT_EQ(setxattr(Lower("d").c_str(), "system.posix_acl_access", access, sizeof(access), 0), 0);
  ASSERT_EQ(setxattr(Lower("d").c_str(), "system.posix_acl_default", inherited, sizeof(inherited), 0), 0);
  MountForAll();
  EXPECT_EQ(As(kAlice, [] { return Error(open("d/new", O_WRONLY | O_CREAT, 0600)); }), EACCES);
  EXPECT_EQ(As(kBob, [] { return Error(unlink("d/gone")); }), 0);
  umask(077);
  ASSERT_EQ(mkdir("d/gone", 0777), 0);
  ASSERT_EQ(mkdir("d/new", 0777), 0);
  EXPECT_EQ(ModeOf("d/gone"), 0770u) << "over a whiteout";
  EXPECT_EQ(ModeOf("d/new"), 0770u) << "the list takes the umask's place";
  char value[64];
  EXPECT_EQ(getxattr(Upper("d/gone").c_str(), "system.posix_acl_default", value, sizeof(value)), 28);
}

TEST_F(OtherUsersScene, ChangingAnAccessListOfAnotherGroupsFileClearsSetgid) {
  const unsigned char access[] = {2, 0, 0,   0,   1,   0,   7,  0, 255, 255, 255, 255, 4,   0,
                                  5, 0, 255, 255, 255, 255, 32, 0, 5,   0,   255, 255, 255, 255};
  for (const char* name : {"others", "own"}) {
    WriteFile(Lower(name), "");
    ASSERT_EQ(chown(Lower(name).c_str(), kAlice, std::string(name) == "own" ? kAlice : kBob), 0);
    ASSERT_EQ(chmod(Lower(name).c_str(), 02755), 0);
  }
  MountForAll();
  for (const char* name : {"others", "own"}) {
    EXPECT_EQ(As(kAlice, [&] { return Error(setxattr(name, "system.posix_acl_access", access, sizeof(access), 0)); }),
              0);
  }
  EXPECT_EQ(ModeOf("others"), 0755u);
  EXPECT_EQ(ModeOf("own"), 02755u);
}

TEST_F(OtherUsersScene, TrustedXattrsAreListedToRootOnly) {
  WriteFile(Lower("a"), "a");
  ASSERT_EQ(setxattr(Lower("a").c_str(), "trusted.a", "t", 1, 0), 0);
  MountForAll();
  char names[64];
  EXPECT_EQ(listxattr("a", names, sizeof(names)), 10);
  EXPECT_EQ(As(kAlice,
               [] {
                 char list[64];
                 return static_cast<int>(listxattr("a", list, sizeof(list)));
               }),
            0);
}

}  // namespace
}  // namespace acetate::conformance
