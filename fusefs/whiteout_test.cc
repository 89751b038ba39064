#include "fusefs/whiteout.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include <map>

#include "common/syscalls.h"
#include "common/temp_dir.h"
#include "fusefs/overlay_xattr.h"

namespace acetate::fusefs {
namespace {

class WhiteoutTest : public testing::Test {
 protected:
  std::unique_ptr<DirectoryBranch> Branch(WhiteoutFormat format) {
    BranchSpec spec;
    spec.format = format;
    return std::make_unique<DirectoryBranch>(spec, 0,
                                             *sys::OpenAt(AT_FDCWD, temp_.path().c_str(), O_RDONLY | O_DIRECTORY));
  }
  // Name to whether it is a whiteout.
  std::map<std::string, bool> Read(WhiteoutFormat format) {
    auto branch = Branch(format);
    ErrnoOr<LayerListing> listing = ReadLayer(*branch, xattrs_, branch->root_fd());
    EXPECT_TRUE(listing.ok());
    std::map<std::string, bool> names;
    for (const LayerEntry& entry : listing->entries) names[entry.name] = entry.whiteout;
    return names;
  }

  TempDir temp_;
  OverlayXattr xattrs_{/*trusted=*/false};
};

using Names = std::map<std::string, bool>;

// What fuse-overlayfs 1.10 makes of a directory without privileges, seen by itself.
TEST_F(WhiteoutTest, AForeignOpaqueMarkIsItsXattrAndItsWhiteout) {
  auto branch = Branch(WhiteoutFormat::kOverlay);
  WriteFile(temp_ / "file", "");
  WriteFile(temp_ / ".wh..wh..opq", "");
  ASSERT_EQ(setxattr(temp_.path().c_str(), "user.fuseoverlayfs.opaque", "y", 1, 0), 0);
  // As a program may make it in a union: a fuse-overlayfs whose layers lie there.
  EXPECT_FALSE(IsOpaque(*branch, xattrs_, branch->root_fd()));
  EXPECT_EQ(Read(WhiteoutFormat::kOverlay), (Names{{"file", false}, {".wh..wh..opq", false}}));

  ASSERT_EQ(mknod((temp_ / ".wh..opq").c_str(), S_IFCHR, makedev(0, 0)), 0);
  EXPECT_TRUE(IsOpaque(*branch, xattrs_, branch->root_fd()));
  EXPECT_EQ(Read(WhiteoutFormat::kOverlay), (Names{{"file", false}}));
  // With privileges it writes the kernel's mark, and the other is anybody's.
  EXPECT_FALSE(IsOpaque(*branch, OverlayXattr(/*trusted=*/true), branch->root_fd()));
  ASSERT_EQ(setxattr(temp_.path().c_str(), "user.fuseoverlayfs.opaque", "n", 1, 0), 0);
  EXPECT_FALSE(IsOpaque(*branch, xattrs_, branch->root_fd()));
}

TEST_F(WhiteoutTest, DeviceZeroIsAWhiteoutOtherDevicesAreNot) {
  ASSERT_EQ(mknod((temp_ / "gone").c_str(), S_IFCHR, makedev(0, 0)), 0);
  Names expected{{"gone", true}};
  if (mknod((temp_ / "null").c_str(), S_IFCHR | 0666, makedev(1, 3)) == 0) expected["null"] = false;
  EXPECT_EQ(Read(WhiteoutFormat::kOverlay), expected);
}

TEST_F(WhiteoutTest, DotWhFilesNameWhatTheyHide) {
  for (const char* name : {".wh.gone", ".wh..wh..opq", ".wh..wh.aufs", "kept"}) WriteFile(temp_ / name, "");
  EXPECT_EQ(Read(WhiteoutFormat::kDotWh), (Names{{"gone", true}, {"kept", false}}));
  EXPECT_EQ(Read(WhiteoutFormat::kOverlay).size(), 4u);
  auto dot_wh = Branch(WhiteoutFormat::kDotWh);
  EXPECT_TRUE(IsOpaque(*dot_wh, xattrs_, dot_wh->root_fd()));
  auto overlay = Branch(WhiteoutFormat::kOverlay);
  EXPECT_FALSE(IsOpaque(*overlay, xattrs_, overlay->root_fd()));
}

TEST_F(WhiteoutTest, WrittenInEachEncodingTheyAreReadBack) {
  for (WhiteoutEncoding encoding : {WhiteoutEncoding::kCharDevice, WhiteoutEncoding::kXattr}) {
    TempDir work;
    auto branch = Branch(WhiteoutFormat::kOverlay);
    ErrnoOr<UniqueFd> work_fd = sys::OpenAt(AT_FDCWD, work.path().c_str(), O_RDONLY | O_DIRECTORY);
    WhiteoutWriter writer(branch.get(), &xattrs_, work_fd->get(), encoding);
    std::string name = encoding == WhiteoutEncoding::kXattr ? "by xattr" : "by device";
    ASSERT_TRUE(writer.PrepareDir(branch->root_fd()).ok());
    ASSERT_TRUE(writer.Place(branch->root_fd(), name.c_str()).ok());
    EXPECT_EQ(writer.Place(branch->root_fd(), name.c_str()), EEXIST);
    EXPECT_EQ(writer.RenameLeavesWhiteout(), encoding == WhiteoutEncoding::kCharDevice);
    EXPECT_TRUE(Read(WhiteoutFormat::kOverlay)[name]);
  }
}

TEST_F(WhiteoutTest, WrittenBesideWhatTheyHide) {
  TempDir work;
  auto branch = Branch(WhiteoutFormat::kDotWh);
  ErrnoOr<UniqueFd> work_fd = sys::OpenAt(AT_FDCWD, work.path().c_str(), O_RDONLY | O_DIRECTORY);
  WhiteoutWriter writer(branch.get(), &xattrs_, work_fd->get(), WhiteoutEncoding::kAuto);
  EXPECT_TRUE(writer.beside());
  EXPECT_FALSE(writer.RenameLeavesWhiteout());
  WriteFile(temp_ / "both", "");
  for (const char* name : {"both", "alone", "alone"}) ASSERT_TRUE(writer.Place(branch->root_fd(), name).ok()) << name;
  EXPECT_EQ(ReadFile(temp_ / ".wh.alone"), "");
  EXPECT_EQ(Read(WhiteoutFormat::kDotWh)["alone"], true);
  ErrnoOr<LayerListing> both = ReadLayerName(*branch, xattrs_, branch->root_fd(), "both");
  ASSERT_TRUE(both.ok());
  ASSERT_EQ(both->entries.size(), 2u);
  EXPECT_FALSE(both->entries[0].whiteout);
  EXPECT_TRUE(both->entries[1].whiteout);
  EXPECT_TRUE(ProbeLayer(*branch, xattrs_, branch->root_fd(), "both")->ends);
  EXPECT_TRUE(writer.RemoveBeside(branch->root_fd(), "both").ok());
  EXPECT_TRUE(writer.RemoveBeside(branch->root_fd(), "both").ok());
  EXPECT_EQ(ProbeLayer(*branch, xattrs_, branch->root_fd(), "both")->held, Held::kOther);
  EXPECT_EQ(ProbeLayer(*branch, xattrs_, branch->root_fd(), "alone")->held, Held::kWhiteout);
  EXPECT_FALSE(IsOpaque(*branch, xattrs_, branch->root_fd()));
  EXPECT_TRUE(writer.MakeOpaque(branch->root_fd(), "").ok());
  EXPECT_TRUE(IsOpaque(*branch, xattrs_, branch->root_fd()));
}

TEST_F(WhiteoutTest, XattrNamesAreEscapedAndBack) {
  EXPECT_TRUE(xattrs_.IsOwn("user.overlay.opaque"));
  EXPECT_FALSE(xattrs_.IsOwn("user.overlay.overlay.opaque"));
  EXPECT_FALSE(xattrs_.IsOwn("user.overlayed"));
  EXPECT_EQ(xattrs_.Escape("user.overlay.x"), "user.overlay.overlay.x");
  EXPECT_EQ(xattrs_.Escape("user.x"), "user.x");
  std::string stored("user.overlay.opaque\0user.overlay.overlay.x\0user.y\0", 51);
  EXPECT_EQ(xattrs_.Visible(stored, true), std::string("user.overlay.x\0user.y\0", 22));
  EXPECT_EQ(xattrs_.ToCopy(stored), (std::vector<std::string>{"user.overlay.overlay.x", "user.y"}));
}

TEST_F(WhiteoutTest, TrustedNamesAreForAdministrators) {
  const std::string stored("trusted.a\0user.y\0", 17);
  EXPECT_EQ(xattrs_.Visible(stored, true), stored);
  EXPECT_EQ(xattrs_.Visible(stored, false), std::string("user.y\0", 7));
}

}  // namespace
}  // namespace acetate::fusefs
