// Owners that the layers do not have: shifted, squashed, and recorded in an xattr for daemons that may not give files
// away.
#include <dirent.h>
#include <fcntl.h>
#include <pwd.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <map>

#include "tests/conformance/scene.h"

namespace acetate::conformance {
namespace {

constexpr char kRecord[] = "user.containers.override_stat";

// "33:44 4755"
std::string Brief(const struct stat& st) {
  char text[64];
  snprintf(text, sizeof(text), "%u:%u %o", st.st_uid, st.st_gid, st.st_mode & 07777);
  return text;
}

std::string XattrOf(const std::string& path, const char* key) {
  char value[128];
  const ssize_t size = lgetxattr(path.c_str(), key, value, sizeof(value));
  return size < 0 ? "" : std::string(value, size);
}

unsigned char ListedType(const std::string& directory, const std::string& name) {
  unsigned char type = DT_UNKNOWN;
  DIR* entries = opendir(directory.c_str());
  while (const dirent* entry = readdir(entries)) {
    if (entry->d_name == name) type = entry->d_type;
  }
  closedir(entries);
  return type;
}

class OwnerScene : public SceneTest {
 protected:
  // Whether this process may give files away; a user without subordinate ids has nobody to give them to.
  bool MayChown() {
    WriteFile(dir_ / "probe", "");
    const bool may = chown((dir_ / "probe").c_str(), 33, 44) == 0;
    unlink((dir_ / "probe").c_str());
    return may;
  }
};

class RecordedOwnerScene : public OwnerScene {
 protected:
  RecordedOwnerScene() { options_.mount_options = {"xattr_permissions=2"}; }
  void SetUp() override {
    if (PassesThrough()) GTEST_SKIP() << "xattr_permissions and passthrough exclude each other";
  }

  static void PutRecord(const std::string& path, const std::string& record) {
    ASSERT_EQ(lsetxattr(path.c_str(), kRecord, record.data(), record.size(), 0), 0) << path;
  }

  // Everything that the union shows, but for the files that stand for other types and for symlinks.
  std::map<std::string, std::string> Tree(const std::string& root) {
    std::map<std::string, std::string> tree = {{".", Brief(StatOf(root))}};
    for (const auto& entry : std::filesystem::recursive_directory_iterator(root)) {
      const struct stat st = StatOf(entry.path());
      if (entry.path().filename().string().rfind(".wh.", 0) == 0) continue;  // marks of fuse-overlayfs
      if (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode)) tree[entry.path().lexically_relative(root)] = Brief(st);
    }
    return tree;
  }
};

TEST_F(RecordedOwnerScene, SetuidIsShownAndNotOnDisk) {
  Mount();
  WriteFile(Union("file"), "#!/bin/sh\n", 0755);
  ASSERT_EQ(chmod(Union("file").c_str(), 06755), 0);
  ASSERT_EQ(mkdir(Union("dir").c_str(), 0755), 0);
  ASSERT_EQ(chmod(Union("dir").c_str(), 01777), 0);
  for (int mounts = 0; mounts < 2; ++mounts) {
    EXPECT_EQ(StatOf(Union("file")).st_mode, S_IFREG | 06755u);
    EXPECT_EQ(StatOf(Union("dir")).st_mode, S_IFDIR | 01777u);
    EXPECT_EQ(StatOf(Upper("file")).st_mode, S_IFREG | 0755u);
    EXPECT_EQ(StatOf(Upper("dir")).st_mode, S_IFDIR | 0777u);
    Remount();
  }
}

TEST_F(RecordedOwnerScene, AFifoAndASocketAreFilesOnDiskAndWork) {
  Mount();
  ASSERT_EQ(mkfifo(Union("fifo").c_str(), 0640), 0);
  UniqueFd server(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address = {AF_UNIX, "socket"};
  ASSERT_EQ(chdir(options_.mountpoint.c_str()), 0);
  ASSERT_EQ(bind(server.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  ASSERT_EQ(listen(server.get(), 1), 0);
  UniqueFd client(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  EXPECT_EQ(connect(client.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  ASSERT_EQ(chdir("/"), 0);
  for (int mounts = 0; mounts < 2; ++mounts) {
    EXPECT_EQ(StatOf(Union("fifo")).st_mode, S_IFIFO | 0640u);
    EXPECT_TRUE(S_ISSOCK(StatOf(Union("socket")).st_mode));
    EXPECT_EQ(ListedType(Union(""), "fifo"), DT_FIFO);
    EXPECT_EQ(ListedType(Union(""), "socket"), DT_SOCK);
    UniqueFd fifo = Open(Union("fifo"), O_RDWR);
    EXPECT_EQ(write(fifo.get(), "text", 4), 4);
    char text[4];
    EXPECT_EQ(read(fifo.get(), text, 4), 4);
    EXPECT_EQ(StatOf(Upper("fifo")).st_mode, S_IFREG | 0640u);
    EXPECT_EQ(StatOf(Upper("fifo")).st_size, 0);
    fifo = UniqueFd();
    client = UniqueFd();
    server = UniqueFd();
    Remount();
  }
}

TEST_F(RecordedOwnerScene, RecordsAreInvisible) {
  WriteFile(Lower("lower"), "x");
  Mount();
  WriteFile(Union("file"), "x");
  ASSERT_EQ(chmod(Union("lower").c_str(), 0600), 0);
  for (const char* name : {"", "file", "lower"}) {
    EXPECT_NE(XattrOf(Upper(name), kRecord), "") << name;
    EXPECT_EQ(Error(getxattr(Union(name).c_str(), kRecord, nullptr, 0)), ENODATA) << name;
    EXPECT_EQ(Error(setxattr(Union(name).c_str(), kRecord, "0:0:4755", 8, 0)), EPERM) << name;
    char list[256];
    const ssize_t size = listxattr(Union(name).c_str(), list, sizeof(list));
    ASSERT_GE(size, 0);
    EXPECT_EQ(std::string(list, size).find(kRecord), std::string::npos) << name;
  }
}

TEST_F(RecordedOwnerScene, CopyUpRecordsWhatIsShown) {
  // A layer that containers/storage has unpacked, and one without records.
  WriteFile(Lower("tool"), "tool", 0700);
  WriteFile(Lower("plain", 1), "plain", 0640);
  const std::string owner = std::to_string(geteuid()) + ":" + std::to_string(getegid());
  PutRecord(options_.lowers[0], owner + ":0755:dir");
  PutRecord(Lower("tool"), owner + ":4711:file");
  ASSERT_EQ(setxattr(Lower("tool").c_str(), "user.note", "n", 1, 0), 0);
  Mount();
  const std::string plain = Brief(StatOf(Union("plain")));
  EXPECT_EQ(StatOf(Union("tool")).st_mode, S_IFREG | 04711u);
  SetMtime(Union("tool"), 1000000000);
  SetMtime(Union("plain"), 1000000000);
  EXPECT_EQ(XattrOf(Upper("tool"), kRecord), owner + ":4711:file");
  EXPECT_EQ(XattrOf(Upper("tool"), "user.note"), "n");
  EXPECT_EQ(StatOf(Upper("tool")).st_mode, S_IFREG | 0711u);
  EXPECT_EQ(StatOf(Union("tool")).st_mode, S_IFREG | 04711u);
  EXPECT_EQ(Brief(StatOf(Union("plain"))), plain);
  Append(Union("tool"), "s");
  EXPECT_EQ(ReadFile(Upper("tool")), "tools");
  EXPECT_EQ(StatOf(Upper("tool")).st_mode, S_IFREG | 0711u);
}

TEST_F(RecordedOwnerScene, ChownSurvivesARemountAndTheDiskIsAllOneUsers) {
  if (!MayChown()) GTEST_SKIP() << "there is nobody to give files to";
  WriteFile(Lower("lower"), "x");
  Mount();
  WriteFile(Union("file"), "x");
  ASSERT_EQ(mkdir(Union("dir").c_str(), 0755), 0);
  ASSERT_EQ(chown(Union("file").c_str(), 33, 44), 0);
  ASSERT_EQ(chmod(Union("file").c_str(), 04755), 0);
  ASSERT_EQ(chown(Union("dir").c_str(), 65534, 65534), 0);
  ASSERT_EQ(chown(Union("lower").c_str(), 5, 6), 0);
  for (int mounts = 0; mounts < 2; ++mounts) {
    EXPECT_EQ(Brief(StatOf(Union("file"))), "33:44 4755");
    EXPECT_EQ(Brief(StatOf(Union("dir"))), "65534:65534 755");
    EXPECT_EQ(Brief(StatOf(Union("lower"))), "5:6 644");
    for (const char* name : {"file", "dir", "lower"}) EXPECT_EQ(StatOf(Upper(name)).st_uid, geteuid()) << name;
    EXPECT_EQ(XattrOf(Upper("file"), kRecord), "33:44:4755:file");
    Remount();
  }
}

TEST_F(RecordedOwnerScene, FuseOverlayfsShowsWhatWeRecorded) {
  if (!MayChown()) GTEST_SKIP() << "there is nobody to give files to";
  MakeDirs(Lower("sub"));
  WriteFile(Lower("sub/lower"), "x");
  Mount();
  WriteFile(Union("file"), "x");
  ASSERT_EQ(chown(Union("file").c_str(), 33, 44), 0);
  ASSERT_EQ(chmod(Union("file").c_str(), 06755), 0);
  ASSERT_EQ(mkdir(Union("dir").c_str(), 0750), 0);
  ASSERT_EQ(chown(Union("dir").c_str(), 5, 6), 0);
  WriteFile(Union("dir/below"), "x", 0600);
  ASSERT_EQ(chown(Union("sub/lower").c_str(), 7, 8), 0);
  const auto ours = Tree(options_.mountpoint);
  Unmount();
  UnionOptions theirs = options_;
  theirs.program = "fuse-overlayfs";
  // Told nothing it looks at the layer; told to write, version 1.10 expects the records of a name of its own.
  theirs.mount_options.clear();
  MountedUnion mount(theirs);
  EXPECT_EQ(Tree(options_.mountpoint), ours);
}

TEST_F(RecordedOwnerScene, WeShowWhatFuseOverlayfsRecorded) {
  if (!MayChown()) GTEST_SKIP() << "there is nobody to give files to";
  MakeDirs(Lower("sub"));
  WriteFile(Lower("sub/lower"), "x");
  std::map<std::string, std::string> theirs;
  {
    UnionOptions options = options_;
    options.program = "fuse-overlayfs";
    MountedUnion mount(options);
    WriteFile(Union("file"), "x");
    ASSERT_EQ(chown(Union("file").c_str(), 33, 44), 0);
    ASSERT_EQ(chmod(Union("file").c_str(), 04755), 0);
    ASSERT_EQ(mkdir(Union("dir").c_str(), 0750), 0);
    ASSERT_EQ(chown(Union("dir").c_str(), 5, 6), 0);
    ASSERT_EQ(chown(Union("sub/lower").c_str(), 7, 8), 0);
    theirs = Tree(options_.mountpoint);
  }
  Mount();
  EXPECT_EQ(Tree(options_.mountpoint), theirs);
  // And goes on in the way that they understand.
  ASSERT_EQ(chown(Union("file").c_str(), 34, 44), 0);
  const auto ours = Tree(options_.mountpoint);
  Unmount();
  UnionOptions again = options_;
  again.program = "fuse-overlayfs";
  MountedUnion mount(again);
  EXPECT_EQ(Tree(options_.mountpoint), ours);
}

// Root uses a mount that a user's daemon serves.
class UsersDaemonScene : public RecordedOwnerScene {
 protected:
  void SetUp() override {
    if (!IsMachineRoot()) GTEST_SKIP() << "makes devices, which needs root";
    if (PassesThrough()) GTEST_SKIP() << "a user's daemon has no passthrough";
    user_ = getpwnam("acetate");
    ASSERT_NE(user_, nullptr) << "no user 'acetate': tests/setup.sh makes it";
    // The user's program, and its permission to serve others, in this mount namespace only.
    EnterPrivateMountNamespace();
    std::filesystem::copy_file(FusefsProgram(), dir_ / "fusefs");
    WriteFile(dir_ / "fuse.conf", "user_allow_other\n");
    ASSERT_EQ(mount((dir_ / "fuse.conf").c_str(), "/etc/fuse.conf", nullptr, MS_BIND, nullptr), 0);
    WriteFile(dir_ / "users", "#!/bin/sh\nexec runuser -u acetate -- " + dir_ / "fusefs \"$@\"\n", 0755);
    for (const std::string& path : {dir_.path(), dir_ / "fusefs", options_.upper, options_.work, options_.mountpoint}) {
      ASSERT_EQ(chown(path.c_str(), user_->pw_uid, user_->pw_gid), 0);
      ASSERT_EQ(chmod(path.c_str(), 0755), 0);
    }
    options_.program = dir_ / "users";
    options_.mount_options.push_back("allow_other");
  }
  void TearDown() override {
    SceneTest::TearDown();
    umount2("/etc/fuse.conf", MNT_DETACH);
  }

  const passwd* user_ = nullptr;
};

TEST_F(UsersDaemonScene, OwnersAndDevicesAreRecorded) {
  WriteFile(Lower("lower"), "x");
  Mount();
  ASSERT_EQ(chown(Union("lower").c_str(), 33, 44), 0);
  ASSERT_EQ(chmod(Union("lower").c_str(), 04755), 0);
  ASSERT_EQ(chmod(options_.mountpoint.c_str(), 0755), 0);
  ASSERT_EQ(chown(options_.mountpoint.c_str(), 0, 0), 0);
  umask(0);
  ASSERT_EQ(mknod(Union("null").c_str(), S_IFCHR | 0666, makedev(1, 3)), 0);
  ASSERT_EQ(mknod(Union("disk").c_str(), S_IFBLK | 0660, makedev(8, 17)), 0);
  ASSERT_EQ(chown(Union("disk").c_str(), 0, 6), 0);
  umask(022);
  WriteFile(Union("roots"), "x");
  for (int mounts = 0; mounts < 2; ++mounts) {
    EXPECT_EQ(Brief(StatOf(Union("lower"))), "33:44 4755");
    EXPECT_EQ(Brief(StatOf(Union("roots"))), "0:0 644");
    EXPECT_EQ(Brief(StatOf(Union(""))), "0:0 755");
    EXPECT_EQ(StatOf(Union("null")).st_mode, S_IFCHR | 0666u);
    EXPECT_EQ(StatOf(Union("null")).st_rdev, makedev(1, 3));
    EXPECT_EQ(StatOf(Union("disk")).st_rdev, makedev(8, 17));
    EXPECT_EQ(Brief(StatOf(Union("disk"))), "0:6 660");
    EXPECT_EQ(ListedType(Union(""), "null"), DT_CHR);
    EXPECT_EQ(XattrOf(Upper("disk"), kRecord), "0:6:0660:block-8-17");
    for (const char* name : {"lower", "null", "disk", "roots"}) {
      EXPECT_EQ(StatOf(Upper(name)).st_uid, user_->pw_uid) << name;
      EXPECT_TRUE(S_ISREG(StatOf(Upper(name)).st_mode)) << name;
    }
    Remount();
  }
  // Removed like everything else.
  ASSERT_EQ(unlink(Union("null").c_str()), 0);
  EXPECT_FALSE(Exists(Upper("null")));
  ASSERT_EQ(unlink(Union("lower").c_str()), 0);
  EXPECT_TRUE(IsWhiteout(Upper("lower")));
}

TEST_F(OwnerScene, IdsAreShifted) {
  if (!MayChown()) GTEST_SKIP() << "there is nobody to give files to";
  WriteFile(Lower("roots"), "x");
  WriteFile(Lower("other"), "x");
  ASSERT_EQ(chown(Lower("other").c_str(), 50, 60), 0);
  options_.mount_options = {"uidmapping=0:1000:1:1:2000:100", "gidmapping=0:0:1:1:3000:100"};
  Mount();
  EXPECT_EQ(Brief(StatOf(Union("roots"))), "1000:0 644");
  EXPECT_EQ(Brief(StatOf(Union("other"))), "2049:3059 644");
  ASSERT_EQ(chown(Union("roots").c_str(), 2000, 3001), 0);
  EXPECT_EQ(Brief(StatOf(Upper("roots"))), "1:2 644");
  EXPECT_EQ(Error(chown(Union("roots").c_str(), 500, -1)), EOVERFLOW);
  // We are none of the users of this union but run its daemon: what we make is its root's.
  ASSERT_EQ(mkdir(Union("made").c_str(), 0755), 0);
  EXPECT_EQ(Brief(StatOf(Union("made"))), "1000:0 755");
  EXPECT_EQ(Brief(StatOf(Upper("made"))), "0:0 755");
}

TEST_F(OwnerScene, OwnersAreSquashed) {
  WriteFile(Lower("file"), "x");
  if (MayChown()) {
    ASSERT_EQ(chown(Lower("file").c_str(), 33, 44), 0);
  }
  options_.mount_options = {"squash_to_uid=" + std::to_string(geteuid()), "squash_to_gid=" + std::to_string(getegid())};
  Mount();
  EXPECT_EQ(StatOf(Union("file")).st_uid, geteuid());
  EXPECT_EQ(StatOf(Union("file")).st_gid, getegid());
  WriteFile(Union("new"), "x");
  EXPECT_EQ(StatOf(Union("new")).st_uid, geteuid());
  EXPECT_EQ(chown(Union("file").c_str(), geteuid(), getegid()), 0);
  if (MayChown()) {
    EXPECT_EQ(chown(Union("new").c_str(), 33, 44), 0);
    EXPECT_EQ(StatOf(Union("new")).st_uid, geteuid());
    EXPECT_EQ(StatOf(Upper("new")).st_uid, 33u);
  }
}

}  // namespace
}  // namespace acetate::conformance
