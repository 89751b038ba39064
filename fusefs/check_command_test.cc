#include "fusefs/check_command.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "common/syscalls.h"
#include "fusefs/layer_scene.h"

namespace acetate::fusefs {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class CheckCommandTest : public ::testing::Test {
 protected:
  absl::StatusOr<CheckResult> Run(std::vector<std::string> options) {
    options.insert(options.begin(), {"check", scene_ / "upper", "--userxattr"});
    absl::StatusOr<CommandLine> line = ParseCommandLine(options);
    EXPECT_TRUE(line.ok()) << line.status();
    return RunCheck(*line);
  }

  // The lines, without the scene's own path.
  std::vector<std::string> Lines(const std::vector<std::string>& options = {}) {
    absl::StatusOr<CheckResult> result = Run(options);
    EXPECT_TRUE(result.ok()) << result.status();
    if (!result.ok()) return {};
    EXPECT_EQ(result->exit_status, result->output.empty() ? kCheckClean : status_when_found_);
    const std::string output = absl::StrReplaceAll(result->output, {{scene_ / "", ""}});
    return absl::StrSplit(output, '\n', absl::SkipEmpty());
  }

  // With the lower layers named.
  std::vector<std::string> Exact(std::vector<std::string> options = {}) {
    options.push_back("--lowerdir=" + scene_.Lowers());
    return Lines(options);
  }

  // A layer of containers/storage: its directory `diff`, the short name beside it.
  std::string PutEngineLayer(const std::string& name) {
    scene_.PutDir(name + "/diff");
    scene_.Put(name + "/link", "VV3HKDMOEHUCJGLUOYLXPRHQ3Z");
    return scene_ / (name + "/diff");
  }

  LayerScene scene_;
  int status_when_found_ = kCheckFound;
};

TEST_F(CheckCommandTest, AGoodLayerIsClean) {
  scene_.Put("lower/dir/gone");
  scene_.Put("lower/moved/x");
  scene_.Put("lower/attributes");
  scene_.Put("upper/new");
  scene_.PutWhiteout("upper/dir/gone");
  scene_.PutWhiteout("upper/moved");
  scene_.PutDir("upper/there");
  scene_.Mark("upper/there", "redirect", "moved");
  scene_.Mark("upper/there", "origin", "x");
  scene_.PutWhiteout("upper/there/x");
  scene_.Put("upper/attributes");
  scene_.Mark("upper/attributes", "metacopy", "");
  scene_.Mark("upper/attributes", "nlink", "U+1");
  scene_.PutDir("upper/opaque");
  scene_.Mark("upper/opaque", "opaque", "y");
  scene_.PutWhiteout("work/work/whiteout");
  EXPECT_THAT(Exact({"--workdir=" + scene_ / "work"}), IsEmpty());
  EXPECT_THAT(Lines(), IsEmpty());
}

TEST_F(CheckCommandTest, WhiteoutsThatHideNothing) {
  scene_.Put("bottom/real");
  scene_.Put("lower/from/inner");
  scene_.PutWhiteout("upper/real");
  scene_.PutWhiteout("upper/needless");
  scene_.PutDir("upper/opaque");
  scene_.Mark("upper/opaque", "opaque", "y");
  scene_.PutWhiteout("upper/opaque/needless");
  scene_.PutDir("upper/to");
  scene_.Mark("upper/to", "redirect", "from");
  scene_.PutWhiteout("upper/to/inner");
  scene_.PutWhiteout("upper/to/outer");
  EXPECT_THAT(Lines(), ElementsAre("upper/opaque/needless: whiteout that hides nothing; --repair removes it"));
  EXPECT_THAT(Exact({"--repair"}), ElementsAre("upper/needless: whiteout that hides nothing; removed",
                                               "upper/opaque/needless: whiteout that hides nothing; removed",
                                               "upper/to/outer: whiteout that hides nothing; removed"));
  EXPECT_THAT(Exact(), IsEmpty());
  EXPECT_TRUE(scene_.IsWhiteout("upper/real"));
  EXPECT_TRUE(scene_.IsWhiteout("upper/to/inner"));
  EXPECT_FALSE(scene_.Exists("upper/needless"));
}

TEST_F(CheckCommandTest, MarksThatMeanNothing) {
  scene_.PutDir("upper/a");
  scene_.Mark("upper/a", "opaque", "yes");
  scene_.PutDir("upper/b");
  scene_.Mark("upper/b", "metacopy", "");
  scene_.Put("upper/c");
  scene_.Mark("upper/c", "opaque", "y");
  scene_.Put("upper/d");
  scene_.Mark("upper/d", "nlink", "many");
  EXPECT_THAT(Lines({"--repair"}), ElementsAre("upper/a: opaque mark of no meaning; mark removed",
                                               "upper/b: metacopy mark on what is no file; mark removed",
                                               "upper/c: opaque mark on what is no directory; mark removed",
                                               "upper/d: malformed link count; mark removed"));
  EXPECT_THAT(Lines(), IsEmpty());
}

TEST_F(CheckCommandTest, RedirectsThatLeadNowhere) {
  scene_.Put("lower/here/below");
  scene_.Put("lower/file");
  for (const char* name : {"climbs", "dangles", "empty", "here", "slash", "tofile"}) {
    scene_.PutDir(std::string("upper/") + name);
  }
  scene_.Mark("upper/climbs", "redirect", "../../../etc");
  scene_.Mark("upper/dangles", "redirect", "/no/such");
  scene_.Mark("upper/empty", "redirect", "");
  scene_.Mark("upper/here", "redirect", "gone");
  scene_.Mark("upper/slash", "redirect", "/here/");
  scene_.Mark("upper/tofile", "redirect", "file");
  EXPECT_THAT(Lines(), ElementsAre("upper/climbs: malformed redirect; --repair removes the mark and shows what the "
                                   "upper holds alone",
                                   HasSubstr("empty: malformed"), HasSubstr("slash: malformed")));
  const char* dangles =
      "redirect to a directory that no lower layer has; mark removed; what the upper holds is shown alone";
  EXPECT_THAT(Exact({"--repair"}), ElementsAre(HasSubstr("climbs"), "upper/dangles: " + std::string(dangles),
                                               HasSubstr("empty"), "upper/here: " + std::string(dangles),
                                               HasSubstr("slash"), "upper/tofile: " + std::string(dangles)));
  EXPECT_THAT(Exact(), IsEmpty());
  EXPECT_EQ(scene_.MarkOf("upper/here", "opaque"), "y") << "lower/here must not come back";
  EXPECT_EQ(scene_.MarkOf("upper/dangles", "opaque"), "(none)");
}

TEST_F(CheckCommandTest, ContentsThatAreLostAreNotMadeUp) {
  scene_.PutDir("lower/dir");
  scene_.Put("upper/gone");
  scene_.Mark("upper/gone", "metacopy", "");
  scene_.Put("upper/dir");
  scene_.Mark("upper/dir", "metacopy", "");
  scene_.Put("upper/malformed");
  scene_.Mark("upper/malformed", "metacopy", "\1");
  scene_.Put("upper/redirected");
  scene_.Mark("upper/redirected", "metacopy", "");
  scene_.Mark("upper/redirected", "redirect", "a/b");
  EXPECT_THAT(Exact({"--repair"}),
              ElementsAre("upper/dir: metacopy of a file that no lower layer has; no repair",
                          "upper/gone: metacopy of a file that no lower layer has; no repair",
                          "upper/malformed: malformed metacopy mark: where its contents are is lost; no repair",
                          "upper/redirected: malformed redirect: where its contents are is lost; no repair"));
  EXPECT_THAT(Exact(), SizeIs(4));
}

TEST_F(CheckCommandTest, XattrWhiteoutsThatTheirDirectoryDoesNotAllow) {
  for (const char* name : {"dir/a", "dir/b", "opaque/c"}) scene_.Put(std::string("lower/") + name);
  for (const char* name : {"upper/dir/a", "upper/dir/b", "upper/opaque/c"}) {
    scene_.Put(name);
    scene_.Mark(name, "whiteout", "y");
  }
  scene_.Put("upper/full", "contents");
  scene_.Mark("upper/full", "whiteout", "y");
  scene_.Mark("upper/opaque", "opaque", "y");
  EXPECT_THAT(
      Exact({"--repair"}),
      ElementsAre(
          "upper/dir/a: xattr whiteout in a directory that is not marked 'x', shown as a file; directory marked",
          HasSubstr("upper/dir/b"), "upper/full: whiteout mark on what is no empty file; mark removed",
          "upper/opaque/c: xattr whiteout in an opaque directory, shown as a file; removed"));
  EXPECT_THAT(Exact(), IsEmpty());
  EXPECT_EQ(scene_.MarkOf("upper/dir", "opaque"), "x");
  EXPECT_EQ(ReadFile(scene_ / "upper/full"), "contents");
}

TEST_F(CheckCommandTest, WhatAufsLeft) {
  for (const char* name : {"gone", "dir/below", "both"}) scene_.Put(std::string("lower/") + name);
  scene_.Put("upper/.wh.gone");
  scene_.Put("upper/.wh.never");
  scene_.Put("upper/.wh..wh.aufs");
  scene_.PutDir("upper/.wh..wh.plnk");
  scene_.Put("upper/dir/.wh..wh..opq");
  scene_.Put("upper/both");
  scene_.Put("upper/.wh.both");
  scene_.Put("upper/.wh.book", "contents");
  EXPECT_THAT(Exact({"--format=dotwh"}),
              ElementsAre("upper/.wh.book: whiteout that hides nothing; --repair removes it",
                          "upper/.wh.never: whiteout that hides nothing; --repair removes it"));
  EXPECT_THAT(
      Exact({"--repair"}),
      ElementsAre("upper/.wh..wh.aufs: file of AUFS's own, an ordinary one here; removed",
                  "upper/.wh..wh.plnk: directory of AUFS's own; an ordinary one here; no repair",
                  "upper/.wh.book: named as a whiteout of AUFS, but with contents; an ordinary file here; no repair",
                  "upper/.wh.both: whiteout of AUFS that hides nothing, an ordinary file here; removed",
                  "upper/.wh.gone: whiteout of AUFS, an ordinary file here; made a whiteout",
                  "upper/.wh.never: whiteout of AUFS that hides nothing, an ordinary file here; removed",
                  "upper/dir/.wh..wh..opq: opaque mark of AUFS, an ordinary file here; directory marked opaque"));
  EXPECT_TRUE(scene_.IsWhiteout("upper/gone"));
  EXPECT_EQ(scene_.MarkOf("upper/dir", "opaque"), "y");
  EXPECT_EQ(ReadFile(scene_ / "upper/.wh.book"), "contents");
  EXPECT_THAT(Exact(), SizeIs(2)) << "only what has no repair";
}

TEST_F(CheckCommandTest, LeftoversInTheWorkDirectory) {
  scene_.PutWhiteout("work/work/whiteout");
  scene_.Put("work/work/#1");
  scene_.Put("work/work/#2/deep/in/it");
  const std::string work = "--workdir=" + scene_ / "work";
  EXPECT_THAT(Lines(), IsEmpty()) << "nobody named the work directory";
  EXPECT_THAT(Lines({work}),
              ElementsAre("work/work/#1: left over from a change that did not end; --repair removes it",
                          "work/work/#2: left over from a change that did not end; --repair removes it"));
  EXPECT_THAT(Lines({work, "--repair"}), ElementsAre(EndsWith("; removed"), EndsWith("; removed")));
  EXPECT_THAT(Lines({work}), IsEmpty());
}

TEST_F(CheckCommandTest, AVolatileMarkIsToldAndLeft) {
  status_when_found_ = kCheckVolatile;
  scene_.Put("work/work/incompat/volatile/dirty");
  const std::string work = "--workdir=" + scene_ / "work";
  const auto told = AllOf(HasSubstr("work: its writable layer was mounted volatile and not unmounted cleanly"),
                          HasSubstr("remove 'work/work/incompat/volatile'"));
  EXPECT_THAT(Lines(), IsEmpty()) << "nobody named the work directory";
  EXPECT_THAT(Lines({work}), ElementsAre(told));
  scene_.Put("work/work/#1");
  EXPECT_THAT(Lines({work, "--repair"}),
              ElementsAre("work/work/#1: left over from a change that did not end; no repair", told));
  EXPECT_TRUE(scene_.Exists("work/work/incompat/volatile/dirty"));
  EXPECT_TRUE(scene_.Exists("work/work/#1"));
  absl::StatusOr<CheckResult> result = Run({work, "--json"});
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->exit_status, kCheckVolatile);
  EXPECT_EQ(nlohmann::json::parse(result->output)["volatile"], true);
}

TEST_F(CheckCommandTest, AnOpaqueMarkOfFuseOverlayfsIsNoFault) {
  scene_.Put("lower/dir/below");
  scene_.Put("upper/dir/.wh..wh..opq");
  scene_.PutWhiteout("upper/dir/.wh..opq");
  scene_.Mark("upper/dir", "user.fuseoverlayfs.opaque", "y");
  scene_.PutWhiteout("upper/dir/below");
  EXPECT_THAT(Exact({"--repair"}), ElementsAre("upper/dir/below: whiteout that hides nothing; removed"));
  EXPECT_TRUE(scene_.IsWhiteout("upper/dir/.wh..opq"));
}

TEST_F(CheckCommandTest, AnUnknownMarkOfTheWorkDirectoryIsAnError) {
  scene_.PutDir("work/work/incompat/quantum");
  EXPECT_THAT(std::string(Run({"--workdir=" + scene_ / "work"}).status().message()), HasSubstr("feature 'quantum'"));
}

TEST_F(CheckCommandTest, LayersOfContainerEnginesAreKnown) {
  const std::string lower = PutEngineLayer("store/a");
  scene_.Put("lower/gone");
  scene_.Put("store/a/diff/.wh.gone");
  scene_.PutWhiteout("upper/gone");
  EXPECT_THAT(Lines({"--lowerdir=" + lower + ":" + scene_ / "lower"}),
              ElementsAre("upper/gone: whiteout that hides nothing; --repair removes it"));

  const std::string upper = PutEngineLayer("store/b");
  scene_.Put("store/b/diff/.wh.gone");
  const auto check = [&](const std::vector<std::string>& options) {
    std::vector<std::string> args = {"check", upper, "--lowerdir=" + scene_ / "lower"};
    args.insert(args.end(), options.begin(), options.end());
    absl::StatusOr<CheckResult> result = RunCheck(*ParseCommandLine(args));
    EXPECT_TRUE(result.ok()) << result.status();
    return result.ok() ? result->output : "";
  };
  EXPECT_EQ(check({}), "");
  EXPECT_THAT(check({"--format=overlay"}), HasSubstr("whiteout of AUFS, an ordinary file here"));
}

TEST_F(CheckCommandTest, IndexEntriesThatNoNameLeadsTo) {
  for (const char* entry : {"work/index/00aa", "work/index/00bb", "work/index/00cc"}) scene_.Put(entry);
  scene_.Mark("work/index/00aa", "nlink", "U-1");
  scene_.Mark("work/index/00bb", "nlink", "U+0");  // a name that only a lower layer holds
  scene_.PutLink("work/index/00cc", "upper/name");
  scene_.Mark("work/index/00cc", "nlink", "U-1");
  const std::string work = "--workdir=" + scene_ / "work";
  EXPECT_THAT(Lines({work, "--repair"}),
              ElementsAre("work/index/00aa: index entry of a file whose names are all gone; removed"));
  EXPECT_THAT(Lines({work}), IsEmpty());
  EXPECT_TRUE(scene_.Exists("work/index/00bb"));
}

TEST_F(CheckCommandTest, ALayerInUseIsRefused) {
  for (const char* name : {"upper", "work"}) {
    UniqueFd fd = *sys::OpenAt(AT_FDCWD, (scene_ / name).c_str(), O_RDONLY | O_DIRECTORY);
    ASSERT_EQ(flock(fd.get(), LOCK_EX | LOCK_NB), 0);
    absl::StatusOr<CheckResult> result = Run({"--workdir=" + scene_ / "work"});
    EXPECT_THAT(std::string(result.status().message()), HasSubstr(scene_ / name + "' is in use by another"));
  }
  UniqueFd fd = *sys::OpenAt(AT_FDCWD, (scene_ / "upper").c_str(), O_RDONLY | O_DIRECTORY);
  ASSERT_EQ(flock(fd.get(), LOCK_EX | LOCK_NB), 0);
  EXPECT_THAT(std::string(Run({}).status().message()), HasSubstr("is in use by another"));
}

TEST_F(CheckCommandTest, WhatCannotBeRepairedIsTold) {
  if (geteuid() != 0) GTEST_SKIP() << "an immutable directory needs root";
  scene_.PutWhiteout("upper/opaque/needless");
  scene_.Mark("upper/opaque", "opaque", "y");
  const std::string dir = scene_ / "upper/opaque";
  if (system(("chattr +i " + dir + " 2>/dev/null").c_str()) != 0) GTEST_SKIP() << "this filesystem has no chattr +i";
  const std::vector<std::string> lines = Lines({"--repair"});
  ASSERT_EQ(system(("chattr -i " + dir).c_str()), 0);
  EXPECT_THAT(lines, ElementsAre("upper/opaque/needless: whiteout that hides nothing; not repaired: Operation not "
                                 "permitted"));
}

TEST_F(CheckCommandTest, SymlinksAreNotFollowed) {
  scene_.PutSymlink("../outside", "upper/link");
  scene_.PutWhiteout("outside/needless");
  scene_.PutDir("upper/opaque");
  scene_.Mark("upper/opaque", "opaque", "y");
  scene_.PutSymlink("../../outside/needless", "upper/opaque/link");
  EXPECT_THAT(Lines({"--repair"}), IsEmpty());
  EXPECT_TRUE(scene_.IsWhiteout("outside/needless"));
}

TEST_F(CheckCommandTest, TreesDeeperThanAnyPathWithFewFds) {
  scene_.PutDeep("upper", "needless", /*whiteout=*/true);
  struct rlimit limit;
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
  struct rlimit few = limit;
  few.rlim_cur = 32;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
  const std::vector<std::string> lines = Exact({"--repair"});
  const std::vector<std::string> again = Exact();
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
  EXPECT_THAT(lines, ElementsAre(EndsWith("d/needless: whiteout that hides nothing; removed")));
  EXPECT_THAT(again, IsEmpty());
}

TEST_F(CheckCommandTest, Json) {
  scene_.PutDir("upper/\xff\n");
  scene_.Mark("upper/\xff\n", "opaque", "?");
  scene_.Put("work/work/#1");
  absl::StatusOr<CheckResult> result = Run({"--json", "--workdir=" + scene_ / "work"});
  ASSERT_TRUE(result.ok()) << result.status();
  const nlohmann::json problems = nlohmann::json::parse(result->output)["problems"];
  ASSERT_THAT(problems, SizeIs(2));
  EXPECT_EQ(problems[0], nlohmann::json({{"in", "upper"},
                                         {"path_base64", "/wo="},
                                         {"problem", "opaque mark of no meaning"},
                                         {"remedy", "removes the mark"},
                                         {"repaired", false}}));
  EXPECT_EQ(problems[1]["path"], "work/#1");
}

}  // namespace
}  // namespace acetate::fusefs
