#include "launcher/store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <set>

#include "common/temp_dir.h"

namespace acetate::launcher {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;

TEST(StoreTest, IdsAreRandomHexadecimal) {
  std::set<std::string> seen;
  for (int i = 0; i < 100; ++i) {
    std::string id = *NewId();
    EXPECT_THAT(id, MatchesRegex("[0-9a-f]+"));
    EXPECT_EQ(id.size(), 64u);
    EXPECT_EQ(ShortId(id), id.substr(0, 12));
    seen.insert(ShortId(id));
  }
  EXPECT_EQ(seen.size(), 100u);
}

TEST(StoreTest, LiesInTheUsersDataDirectory) {
  setenv("HOME", "/home/me", 1);
  setenv("XDG_DATA_HOME", "/data", 1);
  EXPECT_EQ(*StoreRoot(), "/data/acetate");
  setenv("XDG_DATA_HOME", "relative", 1);  // which the XDG specification has one ignore
  EXPECT_EQ(*StoreRoot(), "/home/me/.local/share/acetate");
  unsetenv("XDG_DATA_HOME");
  EXPECT_EQ(*StoreRoot(), "/home/me/.local/share/acetate");
  unsetenv("HOME");
  EXPECT_FALSE(StoreRoot().ok());
}

TEST(StoreTest, IsMadeForItsOwnerOnly) {
  TempDir dir;
  std::string root = dir / "a/b/acetate";
  ASSERT_TRUE(MakeStore(root).ok());
  ASSERT_TRUE(MakeStore(root).ok());
  struct stat st;
  ASSERT_EQ(stat(root.c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 0777, 0700u);
  chmod(root.c_str(), 0755);
  EXPECT_THAT(std::string(MakeStore(root).message()), HasSubstr("mode 0700"));
}

TEST(StoreTest, AFileOrLinkInItsPlaceIsRefused) {
  TempDir dir;
  WriteFile(dir / "file", "");
  MakeDirs(dir / "real");
  chmod((dir / "real").c_str(), 0700);
  ASSERT_EQ(symlink((dir / "real").c_str(), (dir / "link").c_str()), 0);
  EXPECT_FALSE(MakeStore(dir / "file").ok());
  EXPECT_FALSE(MakeStore(dir / "link").ok());
}

class NameTest : public ::testing::Test {
 protected:
  NameTest()
      : first_(PathsInStore(dir_ / "s", "1111111111111111", "web")), second_(PathsInStore(dir_ / "s", "2222", "web")) {
    EXPECT_TRUE(MakeStore(dir_ / "s").ok());
  }

  TempDir dir_;
  const StorePaths first_;
  const StorePaths second_;
};

TEST_F(NameTest, OfAKeptContainerIsTaken) {
  ASSERT_TRUE(TakeName(first_, "1111111111111111", "web").ok());
  MakeDirs(first_.container);
  EXPECT_THAT(std::string(TakeName(second_, "2222", "web").message()),
              HasSubstr("the name web is in use by container 111111111111"));
}

TEST_F(NameTest, OfALiveContainerIsTakenBeforeItsDirectoryIsMade) {
  ASSERT_TRUE(TakeName(first_, "1111111111111111", "web").ok());
  WriteFile(first_.record, "");
  EXPECT_FALSE(TakeName(second_, "2222", "web").ok());
}

TEST_F(NameTest, OfAContainerThatIsGoneIsFree) {
  ASSERT_TRUE(TakeName(first_, "1111111111111111", "web").ok());
  EXPECT_TRUE(TakeName(second_, "2222", "web").ok());
}

}  // namespace
}  // namespace acetate::launcher
