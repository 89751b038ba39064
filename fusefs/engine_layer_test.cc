#include "fusefs/engine_layer.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "common/temp_dir.h"
#include "common/unique_fd.h"

namespace acetate::fusefs {
namespace {

constexpr char kShortName[] = "VV3HKDMOEHUCJGLUOYLXPRHQ3Z";

bool Is(const std::string& path) {
  UniqueFd root(open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  return IsEngineLayer(root.get());
}

TEST(EngineLayerTest, IsFoundByWhatIsBesideIt) {
  TempDir temp;
  MakeDirs(temp / "overlay/0123abcd/diff");
  MakeDirs(temp / "overlay/0123abcd/work");
  MakeDirs(temp / "overlay/l");
  WriteFile(temp / "overlay/0123abcd/link", kShortName);
  EXPECT_TRUE(Is(temp / "overlay/0123abcd/diff"));
  // Engines name layers by short symlinks.
  ASSERT_EQ(symlink("../0123abcd/diff", (temp / "overlay/l/VV3HKDMOEHUCJGLUOYLXPRHQ3Z").c_str()), 0);
  EXPECT_TRUE(Is(temp / "overlay/l/VV3HKDMOEHUCJGLUOYLXPRHQ3Z"));
  EXPECT_FALSE(Is(temp / "overlay/0123abcd/work"));
  EXPECT_FALSE(Is(temp / "overlay/0123abcd"));
}

TEST(EngineLayerTest, OtherDirectoriesCalledDiff) {
  TempDir temp;
  MakeDirs(temp / "diff");
  EXPECT_FALSE(Is(temp / "diff"));
  WriteFile(temp / "link", "some text of a user, as it is");
  EXPECT_FALSE(Is(temp / "diff"));
  WriteFile(temp / "link", std::string(kShortName) + "\n");
  EXPECT_FALSE(Is(temp / "diff"));
  WriteFile(temp / "link", "vv3hkdmoehucjgluoylxprhq3z");
  EXPECT_FALSE(Is(temp / "diff"));
  ASSERT_EQ(unlink((temp / "link").c_str()), 0);
  ASSERT_EQ(symlink("diff", (temp / "link").c_str()), 0);
  EXPECT_FALSE(Is(temp / "diff"));
  EXPECT_FALSE(Is("/"));
}

}  // namespace
}  // namespace acetate::fusefs
