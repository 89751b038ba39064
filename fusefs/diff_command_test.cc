#include "fusefs/diff_command.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "absl/strings/str_split.h"
#include "fusefs/layer_scene.h"

namespace acetate::fusefs {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::StartsWith;

class DiffCommandTest : public ::testing::Test {
 protected:
  std::string Output(std::vector<std::string> options) {
    options.insert(options.begin(), {"diff", scene_ / "upper"});
    absl::StatusOr<CommandLine> line = ParseCommandLine(options);
    EXPECT_TRUE(line.ok()) << line.status();
    absl::StatusOr<std::string> output = DiffOutput(*line);
    EXPECT_TRUE(output.ok()) << output.status();
    return output.ok() ? *output : "";
  }

  std::vector<std::string> Lines(const std::vector<std::string>& options = {}) {
    return absl::StrSplit(Output(options), '\n', absl::SkipEmpty());
  }

  // With the lower layers named.
  std::vector<std::string> Exact(std::vector<std::string> options = {}) {
    options.push_back("--lowerdir=" + scene_.Lowers());
    options.push_back("--userxattr");
    return Lines(options);
  }

  LayerScene scene_;
};

TEST_F(DiffCommandTest, LayersOfContainerEnginesAreKnown) {
  for (const char* layer : {"store/a", "store/b"}) {
    scene_.PutDir(std::string(layer) + "/diff");
    scene_.Put(std::string(layer) + "/link", "VV3HKDMOEHUCJGLUOYLXPRHQ3Z");
  }
  for (const char* name : {"one", "two", "three"}) scene_.Put(std::string("lower/") + name);
  scene_.Put("store/a/diff/.wh.one");
  scene_.Put("store/b/diff/.wh.two");
  const auto diff = [&](const std::vector<std::string>& options) {
    std::vector<std::string> args = {"diff", scene_ / "store/b/diff", "--userxattr",
                                     "--lowerdir=" + scene_ / "store/a/diff" + ":" + scene_ / "lower"};
    args.insert(args.end(), options.begin(), options.end());
    absl::StatusOr<std::string> output = DiffOutput(*ParseCommandLine(args));
    EXPECT_TRUE(output.ok()) << output.status();
    return output.ok() ? *output : "";
  };
  EXPECT_EQ(diff({}), "D two\n");
  EXPECT_EQ(diff({"--format=overlay"}), "A .wh.two\n");
  scene_.Put("store/b/diff/.wh.one");  // gone already
  EXPECT_EQ(diff({}), "N one\nD two\n");
}

TEST_F(DiffCommandTest, AnEmptyLayerChangesNothing) {
  scene_.Put("lower/a", "1");
  EXPECT_THAT(Lines(), IsEmpty());
  EXPECT_THAT(Exact(), IsEmpty());
}

TEST_F(DiffCommandTest, WhatTheMarksTellByThemselves) {
  scene_.Put("upper/new");
  scene_.Put("upper/changed");
  scene_.Mark("upper/changed", "origin", "x");
  scene_.PutWhiteout("upper/gone");
  scene_.PutDir("upper/opaque");
  scene_.Mark("upper/opaque", "opaque", "y");
  scene_.Put("upper/opaque/in");
  scene_.PutWhiteout("upper/opaque/needless");
  scene_.PutDir("upper/moved");
  scene_.Mark("upper/moved", "redirect", "before");
  scene_.PutWhiteout("upper/before");
  scene_.Put("upper/attributes");
  scene_.Mark("upper/attributes", "metacopy", "");
  scene_.PutDir("upper/dir");
  scene_.Mark("upper/dir", "ino", "x");
  EXPECT_THAT(Lines(), ElementsAre("M attributes", "C changed", "C dir", "D gone", "R before -> moved", "A new",
                                   "O opaque", "A opaque/in", "N opaque/needless"));
}

TEST_F(DiffCommandTest, TheLowerLayersMakeItExact) {
  for (const char* path : {"lower/contents", "lower/attributes", "lower/type", "bottom/gone", "lower/dir/kept"}) {
    scene_.Put(path, "1");
  }
  scene_.PutCopy("same", "1");
  scene_.PutCopy("size", "22");
  scene_.PutCopy("touched", "22");
  ASSERT_EQ(utimensat(AT_FDCWD, (scene_ / "upper/touched").c_str(), nullptr, 0), 0);
  scene_.Put("upper/size", "333");
  scene_.Put("upper/contents", "2");
  scene_.PutCopy("attributes", "1");
  ASSERT_EQ(chmod((scene_ / "upper/attributes").c_str(), 0600), 0);
  scene_.PutCopy("xattr", "1");
  ASSERT_EQ(setxattr((scene_ / "upper/xattr").c_str(), "user.note", "1", 1, 0), 0);
  scene_.PutSymlink("x", "upper/type");
  scene_.PutWhiteout("upper/gone");
  scene_.PutWhiteout("upper/needless");
  scene_.Put("upper/dir/new");
  EXPECT_THAT(Exact(), ElementsAre("M attributes", "C contents", "A dir/new", "D gone", "N needless", "C size",
                                   "M touched", "O type", "M xattr"));
}

TEST_F(DiffCommandTest, AFileThatIsHalfCopiedWasWrittenTo) {
  scene_.Put("lower/large", "contents");
  scene_.PutMetacopy("large");
  scene_.Mark("upper/large", "partial", "8");
  EXPECT_THAT(Lines(), ElementsAre("C large"));
  EXPECT_THAT(Exact(), ElementsAre("C large"));
}

TEST_F(DiffCommandTest, Directories) {
  for (const char* path : {"lower/merged/a", "lower/chmodded/a", "lower/replaced/a", "lower/file"}) scene_.Put(path);
  scene_.Put("upper/merged/b");
  scene_.PutDir("upper/chmodded");
  ASSERT_EQ(chmod((scene_ / "upper/chmodded").c_str(), 0700), 0);
  scene_.PutDir("upper/replaced");
  scene_.Mark("upper/replaced", "opaque", "y");
  scene_.PutDir("upper/new");
  scene_.Mark("upper/new", "opaque", "y");
  scene_.PutDir("upper/file");
  EXPECT_THAT(Exact(), ElementsAre("M chmodded", "O file", "A merged/b", "A new", "O replaced"));
}

TEST_F(DiffCommandTest, RenamesAreFollowedIntoTheLowerLayers) {
  scene_.Put("lower/a/b/f", "1");
  scene_.Put("lower/a/b/c/g", "1");
  // mv a x; mv x/b x/y; mv x/y/c z; rm x/y/f
  scene_.PutWhiteout("upper/a");
  scene_.PutDir("upper/x/y");
  scene_.Mark("upper/x", "redirect", "a");
  scene_.Mark("upper/x/y", "redirect", "b");
  scene_.PutWhiteout("upper/x/b");
  scene_.PutWhiteout("upper/x/y/c");
  scene_.PutWhiteout("upper/x/y/f");
  scene_.PutDir("upper/z");
  scene_.Mark("upper/z", "redirect", "/a/b/c");
  scene_.Put("upper/z/g", "2");
  scene_.PutWhiteout("upper/z/never");
  EXPECT_THAT(Exact(), ElementsAre("R a -> x", "R a/b -> x/y", "D x/y/f", "R a/b/c -> z", "C z/g", "N z/never"));
}

TEST_F(DiffCommandTest, ARedirectThatLeadsNowhereShowsTheUpperAlone) {
  scene_.Put("lower/here/a");
  scene_.PutDir("upper/here");
  scene_.Mark("upper/here", "redirect", "gone");
  scene_.PutDir("upper/there");
  scene_.Mark("upper/there", "redirect", "../../etc");
  EXPECT_THAT(Exact(), ElementsAre("O here", "A there"));
}

TEST_F(DiffCommandTest, WhiteoutsOfEveryEncoding) {
  for (const char* name : {"device", "xattr", "dotwh", "dir/old"}) scene_.Put(std::string("lower/") + name);
  scene_.PutWhiteout("upper/device");
  scene_.Put("upper/.wh.dotwh");
  scene_.Put("upper/.wh.never");
  scene_.Put("upper/.wh..wh.plnk");
  scene_.Put("upper/dir/.wh..wh..opq");
  scene_.Put("upper/xattr");
  scene_.Mark("upper/xattr", "whiteout", "y");
  EXPECT_THAT(Exact({"--format=dotwh"}), ElementsAre("D device", "O dir", "D dotwh", "N never", "M xattr"))
      << "the directory is not marked as one of xattr whiteouts";
  scene_.Mark("upper", "opaque", "x");
  EXPECT_THAT(Exact({"--format=dotwh"}), ElementsAre("D device", "O dir", "D dotwh", "N never", "D xattr"));
  EXPECT_THAT(Exact(),
              ElementsAre("A .wh..wh.plnk", "A .wh.dotwh", "A .wh.never", "D device", "A dir/.wh..wh..opq", "D xattr"));
}

TEST_F(DiffCommandTest, MarksOfBothPrefixes) {
  if (geteuid() != 0) GTEST_SKIP() << "trusted xattrs need root";
  scene_.PutDir("upper/t");
  scene_.Mark("upper/t", "trusted.overlay.redirect", "old");
  scene_.PutDir("upper/u");
  scene_.Mark("upper/u", "user.overlay.redirect", "old");
  EXPECT_THAT(Lines(), ElementsAre("R old -> t", "R old -> u"));
  EXPECT_THAT(Lines({"--userxattr"}), ElementsAre("A t", "R old -> u"));
  EXPECT_THAT(Lines({"--userxattr=off"}), ElementsAre("R old -> t", "A u"));
}

TEST_F(DiffCommandTest, NamesThatAreNoText) {
  scene_.Put("upper/two\nlines");
  scene_.Put("upper/\xff\xfe");
  scene_.PutDir("upper/b -> c");
  scene_.Mark("upper/b -> c", "redirect", "a\\");
  EXPECT_THAT(Lines(), ElementsAre("R a\\\\ -> b\\x20-> c", "A two\\nlines", "A \\xff\\xfe"));
  const nlohmann::json json = nlohmann::json::parse(Output({"--json"}));
  EXPECT_EQ(json["exact"], false);
  ASSERT_THAT(json["changes"], SizeIs(3));
  EXPECT_EQ(json["changes"][0],
            nlohmann::json({{"change", "renamed"}, {"from", "a\\"}, {"path", "b -> c"}, {"type", "directory"}}));
  EXPECT_EQ(json["changes"][1], nlohmann::json({{"change", "added"}, {"path", "two\nlines"}, {"type", "file"}}));
  EXPECT_EQ(json["changes"][2], nlohmann::json({{"change", "added"}, {"path_base64", "//4="}, {"type", "file"}}));
}

TEST_F(DiffCommandTest, TreesDeeperThanAnyPathWithFewFds) {
  scene_.PutDeep("upper", "leaf", /*whiteout=*/true);
  scene_.PutDeep("lower", "leaf", /*whiteout=*/false);
  struct rlimit limit;
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
  struct rlimit few = limit;
  few.rlim_cur = 32;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
  const std::vector<std::string> alone = Lines();
  const std::vector<std::string> exact = Exact();
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
  ASSERT_THAT(alone, SizeIs(61));
  EXPECT_THAT(alone.back(), AllOf(StartsWith("D ddd"), EndsWith("d/leaf")));
  EXPECT_THAT(exact, ElementsAre(alone.back()));
}

TEST_F(DiffCommandTest, SymlinksAreNotFollowed) {
  scene_.PutSymlink("/etc", "upper/etc");
  scene_.PutSymlink("..", "upper/up");
  EXPECT_THAT(Lines(), ElementsAre("A etc", "A up"));
}

TEST_F(DiffCommandTest, WhatCannotBeReadIsNamed) {
  absl::StatusOr<std::string> output = DiffOutput(*ParseCommandLine({"diff", scene_ / "none"}));
  EXPECT_THAT(std::string(output.status().message()), HasSubstr("none': No such file"));
  output = DiffOutput(*ParseCommandLine({"diff", scene_ / "upper", "--lowerdir=" + scene_ / "none"}));
  EXPECT_THAT(std::string(output.status().message()), HasSubstr("none': No such file"));
}

}  // namespace
}  // namespace acetate::fusefs
