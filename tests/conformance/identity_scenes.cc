// st_ino and st_dev: what programs tell objects apart by, within one mount.
#include <dirent.h>
#include <sys/mount.h>
#include <unistd.h>

#include <filesystem>
#include <map>
#include <set>

#include "tests/conformance/scene.h"

namespace acetate::conformance {
namespace {

class IdentityScene : public SceneTest {};

TEST_F(IdentityScene, TheNumberStaysOverCopyUpRenameAndRemount) {
  WriteFile(Lower("file"), "f");
  MakeDirs(Lower("dir"));
  ASSERT_EQ(symlink("file", Lower("link").c_str()), 0);
  Mount();
  const std::map<std::string, ino_t> before = {{"file", StatOf(Union("file")).st_ino},
                                               {"dir", StatOf(Union("dir")).st_ino},
                                               {"link", StatOf(Union("link")).st_ino}};
  Append(Union("file"), "more");
  ASSERT_EQ(chmod(Union("dir").c_str(), 0700), 0);
  SetMtime(Union("link"), 1000000000);
  for (const auto& [name, inode] : before) EXPECT_EQ(StatOf(Union(name)).st_ino, inode) << name;
  for (const char* name : {"file", "link"}) {
    ASSERT_EQ(rename(Union(name).c_str(), Union("dir/" + std::string(name)).c_str()), 0);
    EXPECT_EQ(StatOf(Union("dir/" + std::string(name))).st_ino, before.at(name)) << name;
  }
  Remount();
  for (const char* name : {"dir", "dir/file", "dir/link"}) {
    // Nobody else can mark a symlink.
    if (name == std::string("dir/link") && !IsMachineRoot()) continue;
    EXPECT_EQ(StatOf(Union(name)).st_ino, before.at(std::filesystem::path(name).filename())) << name;
  }
}

TEST_F(IdentityScene, AnOpenFileIsTheOneItsNameNames) {
  WriteFile(Lower("a"), "a");
  Mount();
  UniqueFd reader = Open(Union("a"), O_RDONLY);
  Append(Union("a"), "more");
  struct stat st;
  ASSERT_EQ(fstat(reader.get(), &st), 0);
  EXPECT_EQ(st.st_ino, StatOf(Union("a")).st_ino);
  EXPECT_EQ(st.st_size, 5);
}

TEST_F(IdentityScene, ListingsTellTheSameNumbersAsStat) {
  WriteFile(Lower("a"), "a");
  WriteFile(Lower("b", 1), "b");
  WriteFile(Upper("c"), "c");
  MakeDirs(Lower("d"));
  MakeDirs(Lower("d", 1));
  Mount();
  Append(Union("b"), "copied up");
  WriteFile(Union("e"), "new");
  DIR* directory = opendir(Union("").c_str());
  ASSERT_NE(directory, nullptr);
  int entries = 0;
  while (const dirent* entry = readdir(directory)) {
    const std::string name = entry->d_name;
    if (name == "..") continue;
    EXPECT_EQ(entry->d_ino, StatOf(Union(name)).st_ino) << name;
    ++entries;
  }
  closedir(directory);
  EXPECT_EQ(entries, 6);
}

TEST_F(IdentityScene, HardLinksOfTheUpperAreOneInode) {
  WriteFile(Upper("a"), "a");
  ASSERT_EQ(link(Upper("a").c_str(), Upper("b").c_str()), 0);
  Mount();
  EXPECT_EQ(StatOf(Union("a")).st_ino, StatOf(Union("b")).st_ino);
  Append(Union("a"), "more");
  EXPECT_EQ(ReadFile(Union("b")), "amore");
  EXPECT_EQ(StatOf(Union("b")).st_nlink, 2u);
  ASSERT_EQ(unlink(Union("a").c_str()), 0);
  EXPECT_EQ(StatOf(Union("b")).st_nlink, 1u);
}

TEST_F(IdentityScene, LayersOnSeveralFilesystemsDoNotCollide) {
  // Two fresh filesystems give the same inode numbers; the union must not.
  for (int layer = 0; layer < 2; ++layer) {
    if (mount("tmpfs", options_.lowers[layer].c_str(), "tmpfs", 0, "") != 0) {
      GTEST_SKIP() << "mounting a second filesystem needs root or a user namespace";
    }
    for (int i = 0; i < 20; ++i) WriteFile(Lower(std::to_string(layer) + "-" + std::to_string(i), layer), "x");
  }
  EXPECT_EQ(StatOf(Lower("0-0", 0)).st_ino, StatOf(Lower("1-0", 1)).st_ino) << "the scene is not what it should be";
  Mount();
  std::set<ino_t> inodes;
  for (const std::string& name : Names(Union(""))) {
    inodes.insert(StatOf(Union(name)).st_ino);
    EXPECT_EQ(StatOf(Union(name)).st_dev, StatOf(Union("")).st_dev) << name;
  }
  EXPECT_EQ(inodes.size(), 40u);
  Unmount();
  for (const std::string& lower : options_.lowers) umount(lower.c_str());
}

}  // namespace
}  // namespace acetate::conformance
