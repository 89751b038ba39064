#include "launcher/image.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <thread>

#include "common/temp_dir.h"
#include "launcher/capabilities.h"

namespace acetate::launcher {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string ErrorOf(const std::string& directory) { return std::string(LoadImage(directory).status().message()); }

TEST(ImageTest, APlainDirectoryIsItsOnlyLayer) {
  TempDir dir;
  MakeDirs(dir / "etc");
  absl::StatusOr<Image> image = LoadImage(dir.path());
  ASSERT_TRUE(image.ok()) << image.status();
  EXPECT_EQ(image->directory, dir.path());
  EXPECT_THAT(image->layers, ElementsAre(dir.path()));
}

TEST(ImageTest, AListNamesTheBaseFirstAndFusefsGetsTheTopFirst) {
  TempDir dir;
  for (const char* name : {"base", "mid:dle, \\x", "top"}) MakeDirs(dir / name);
  WriteFile(dir / "layers.list", "# a comment\nbase\n\nmid:dle, \\x\n./top");
  absl::StatusOr<Image> image = LoadImage(dir.path());
  ASSERT_TRUE(image.ok()) << image.status();
  EXPECT_THAT(image->layers, ElementsAre(dir / "top", dir / "mid:dle, \\x", dir / "base"));
}

TEST(ImageTest, ASymlinkInsideTheImageIsFollowed) {
  TempDir dir;
  MakeDirs(dir / "blobs/1");
  ASSERT_EQ(symlink("blobs/1", (dir / "base").c_str()), 0);
  WriteFile(dir / "layers.list", "base\n");
  EXPECT_THAT(LoadImage(dir.path())->layers, ElementsAre(dir / "blobs/1"));
}

TEST(ImageTest, LinesKeepTheirNumbers) {
  std::vector<LayerLine> lines = ParseLayerList("\n#x\na\n b \n");
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(lines[0].number, 3);
  EXPECT_EQ(lines[1].number, 4);
  EXPECT_EQ(lines[1].path, " b ");
}

TEST(ImageTest, ErrorsOfTheDirectoryNameIt) {
  TempDir dir;
  WriteFile(dir / "file", "");
  EXPECT_THAT(ErrorOf(dir / "missing"), HasSubstr("missing: No such file"));
  EXPECT_THAT(ErrorOf(dir / "file"), HasSubstr("file is not a directory"));
}

TEST(ImageTest, ErrorsOfTheListNameTheLine) {
  TempDir dir;
  MakeDirs(dir / "base");
  WriteFile(dir / "file", "");
  ASSERT_EQ(symlink("base", (dir / "alias").c_str()), 0);
  ASSERT_EQ(symlink("/etc", (dir / "out").c_str()), 0);
  const std::pair<const char*, const char*> cases[] = {
      {"", "layers.list names no layer"},
      {"# nothing\n\n", "layers.list names no layer"},
      {"base\nmissing\n", "layers.list:2: layer \"missing\" does not exist"},
      {"#\nfile\n", "layers.list:2: layer \"file\" is not a directory"},
      {"base\n./base\n", "layers.list:2: layer \"./base\" is the same directory as that of line 1"},
      {"base\nalias\n", "layers.list:2: layer \"alias\" is the same directory as that of line 1"},
      {"/etc\n", "layers.list:1: layer \"/etc\" must be relative"},
      {"../x\n", "layers.list:1: layer \"../x\" leads out of the image"},
      {"out\n", "layers.list:1: layer \"out\" leads out of the image"},
      {"base\r\n", "layers.list:1: layer \"base\\r\" does not exist"},
  };
  for (const auto& [text, error] : cases) {
    WriteFile(dir / "layers.list", text);
    EXPECT_THAT(ErrorOf(dir.path()), HasSubstr(error));
  }
}

TEST(ImageTest, AnUnreadableImageOrLayerIsAnError) {
  TempDir dir;
  MakeDirs(dir / "base");
  WriteFile(dir / "layers.list", "base\n");
  ASSERT_EQ(chmod((dir / "base").c_str(), 0), 0);
  // Root may read everything, but only as far as it has the capability.
  std::string layer_error, image_error;
  std::thread([&] {
    if (SetCapabilities(0).ok()) {
      layer_error = ErrorOf(dir.path());
      image_error = ErrorOf(dir / "base");
    }
  }).join();
  ASSERT_EQ(chmod((dir / "base").c_str(), 0755), 0);
  EXPECT_THAT(layer_error, HasSubstr("layers.list:1: layer \"base\" cannot be read: Permission denied"));
  EXPECT_THAT(image_error, HasSubstr("base cannot be read: Permission denied"));
}

}  // namespace
}  // namespace acetate::launcher
