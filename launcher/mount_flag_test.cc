// --mount.
#include "launcher/mount_flag.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace acetate::launcher {
namespace {

using ::testing::HasSubstr;

Volume BindOf(const std::string& text) {
  absl::StatusOr<std::variant<Volume, Tmpfs>> mount = ParseMount(text);
  EXPECT_TRUE(mount.ok()) << mount.status();
  if (!mount.ok() || !std::holds_alternative<Volume>(*mount)) return {};
  return std::get<Volume>(*mount);
}

std::string TmpfsOf(const std::string& text) {
  absl::StatusOr<std::variant<Volume, Tmpfs>> mount = ParseMount(text);
  EXPECT_TRUE(mount.ok()) << mount.status();
  if (!mount.ok() || !std::holds_alternative<Tmpfs>(*mount)) return "";
  return FormatTmpfs(std::get<Tmpfs>(*mount));
}

std::string ErrorOf(const std::string& text) { return std::string(ParseMount(text).status().message()); }

TEST(MountFlagTest, Bind) {
  for (const char* text : {"type=bind,source=/a:b,target=/c/../d", "dst=/d,type=bind,src=/a:b,readonly=false",
                           "destination=/d/,source=/a:b,type=bind"}) {
    const Volume volume = BindOf(text);
    EXPECT_EQ(volume.source, "/a:b") << text;
    EXPECT_EQ(volume.target, "/d") << text;
    EXPECT_FALSE(volume.read_only) << text;
  }
  EXPECT_TRUE(BindOf("type=bind,source=.,target=/d,readonly").read_only);
  EXPECT_TRUE(BindOf("type=bind,source=.,target=/d,ro=true").read_only);
}

TEST(MountFlagTest, Tmpfs) {
  EXPECT_EQ(TmpfsOf("type=tmpfs,target=/t"), "/t:mode=1777");
  EXPECT_EQ(TmpfsOf("type=tmpfs,dst=/t,tmpfs-size=64m,tmpfs-mode=0700,ro"), "/t:mode=0700,size=64m,ro");
}

TEST(MountFlagTest, Errors) {
  EXPECT_THAT(ErrorOf("source=/a,target=/b"), HasSubstr("write type=bind or type=tmpfs"));
  EXPECT_THAT(ErrorOf("type=volume,source=a,target=/b"), HasSubstr("write type=bind or type=tmpfs"));
  EXPECT_THAT(ErrorOf("type=bind,source=/a,target=/b,bind-propagation=shared"), HasSubstr("\"bind-propagation\""));
  EXPECT_EQ(ErrorOf("type=bind,source=/a"), "has no target");
  EXPECT_EQ(ErrorOf("type=bind,target=/a"), "has no source");
  EXPECT_EQ(ErrorOf("type=bind,source=,target=/a"), "has a source without a value");
  EXPECT_EQ(ErrorOf("type=bind,source=/a,target=b"), "has a target that is not absolute");
  EXPECT_EQ(ErrorOf("type=bind,source=/a,target=/b/.."), "would cover the container's root");
  EXPECT_EQ(ErrorOf("type=bind,source=/a,target=/b,readonly=yes"), "has a readonly that is neither true nor false");
  EXPECT_EQ(ErrorOf("type=bind,source=/a,target=/b,tmpfs-size=1m"), "has options of a tmpfs, and is none");
  EXPECT_EQ(ErrorOf("type=tmpfs,source=/a,target=/b"), "has a source, which a tmpfs has not");
  EXPECT_EQ(ErrorOf("type=tmpfs,target=/a:b"), "has a target with a colon in it");
  EXPECT_THAT(ErrorOf("type=tmpfs,target=/b,tmpfs-size=big"), HasSubstr("has a size that is not one such as 64m"));
}

}  // namespace
}  // namespace acetate::launcher
