// The daemon killed before each of its changes to the disk, in stacks whose writable branch keeps ".wh." marks or that
// have two writable branches: what is left shows the tree as before the operation or as after it. A row is one
// operation. crash_test.cc does the same for one upper layer with the kernel's whiteouts.
#include <gtest/gtest.h>
#include <linux/fs.h>
#include <sys/stat.h>
#include <unistd.h>

#include <ostream>
#include <string>
#include <vector>

#include "fusefs/crash_scene.h"
#include "fusefs/crash_stack.h"

namespace acetate::fusefs {
namespace {

[[maybe_unused]] const auto* const kOnTmpfs = ::testing::AddGlobalTestEnvironment(new OnTmpfs);

struct Row {
  const char* name;
  int (*act)(StackScene&);
  std::vector<std::string> needless = {};
};

void PrintTo(const Row& row, std::ostream* out) { *out << row.name; }

int SymLink(StackScene& u, const std::string& path) {
  const ParentAndName at = Split(*u.fs_, path);
  return u.fs_->SymLink("to", at.parent, at.name, {}).error().value();
}

int Link(StackScene& u, const std::string& from, const std::string& to) {
  const ParentAndName at = Split(*u.fs_, to);
  return u.fs_->Link(u.Node(from), at.parent, at.name).error().value();
}

// Known to the kernel, so it must be kept.
int UnlinkKnown(StackScene& u, const std::string& path) { return u.Node(path) == 0 ? ENOENT : u.Unlink(path); }

int Exchange(StackScene& u, const std::string& a, const std::string& b) { return u.Rename(a, b, RENAME_EXCHANGE); }

int Truncate(StackScene& u, const std::string& path, off_t size) {
  AttrChange change;
  change.set_size = true;
  change.size = size;
  return u.fs_->SetAttr(u.Node(path), change).error().value();
}

// Below one branch with ".wh." marks, one with whiteouts.
void BuildDotWh(StackScene& scene) {
  scene.Put("1/file", "lower file", 0640);
  scene.Put("1/victim", "another");
  scene.Put("1/big", std::string(25000, 'b'));
  scene.Put("1/dir/child", "child");
  scene.Put("1/dir/sub/grandchild", "grandchild");
  MakeDirs(scene / "1/empty");
  scene.Put("0/own", "own");
  scene.Put("0/own2", "own2");
  scene.Put("0/owndir/inside", "inside");
  MakeDirs(scene / "0/ownempty");
  scene.Put("0/over", "above");
  scene.Put("1/over", "below");
  scene.Put("0/merged/f2", "f2");
  scene.Put("1/merged/f1", "f1");
  scene.Put("0/opaque/shown", "shown");
  scene.Put("0/opaque/.wh..wh..opq", "");
  scene.Put("1/opaque/hidden", "hidden");
  scene.Put("0/.wh.gone", "");
  scene.Put("1/gone", "gone");
  scene.Put("0/.wh.gonedir", "");
  scene.Put("1/gonedir/child", "child");
  scene.Put("0/emptied/.wh.a", "");
  scene.Put("1/emptied/a", "a");
  scene.Put("0/cleared/.wh.a", "");  // hides what its own branch alone has no more
  scene.Put("0/covered/in", "in");
  scene.Put("0/.wh.covered", "");  // a directory beside its mark, as a kill leaves it
  scene.Put("1/covered/out", "out");
}

const Row kDotWhRows[] = {
    {"WriteLower", [](StackScene& u) { return u.Write("big", "written", 3); }},
    {"ChmodLowerDir", [](StackScene& u) { return u.Chmod("dir", 0704); }},
    {"CreateInLowerDir", [](StackScene& u) { return u.Create("dir/sub/new"); }},
    {"CreateOverMark", [](StackScene& u) { return u.Create("gone"); }},
    {"CreateOverMarkOfDir", [](StackScene& u) { return u.Create("gonedir"); }},
    {"SymLinkOverMark", [](StackScene& u) { return SymLink(u, "gone"); }},
    {"LinkOverMark", [](StackScene& u) { return Link(u, "own", "gone"); }},
    {"LinkLowerOverMark", [](StackScene& u) { return Link(u, "file", "gone"); }},
    {"MkDir", [](StackScene& u) { return u.MkDir("new"); }},
    {"MkDirOverMark", [](StackScene& u) { return u.MkDir("gone"); }},
    {"MkDirOverMarkOfDir", [](StackScene& u) { return u.MkDir("gonedir"); }},
    {"UnlinkLower", [](StackScene& u) { return UnlinkKnown(u, "file"); }},
    {"UnlinkInLowerDir", [](StackScene& u) { return UnlinkKnown(u, "dir/sub/grandchild"); }},
    {"UnlinkInMergedDir", [](StackScene& u) { return UnlinkKnown(u, "merged/f1"); }},
    {"UnlinkOwn", [](StackScene& u) { return UnlinkKnown(u, "own"); }},
    {"UnlinkOwnOverLower", [](StackScene& u) { return UnlinkKnown(u, "over"); }},
    {"RmDirLower", [](StackScene& u) { return u.RmDir("empty"); }},
    {"RmDirOwn", [](StackScene& u) { return u.RmDir("ownempty"); }},
    {"RmDirWithMarksOverLower", [](StackScene& u) { return u.RmDir("emptied"); }},
    {"RmDirWithMarks", [](StackScene& u) { return u.RmDir("cleared"); }},
    {"RenameOwn", [](StackScene& u) { return u.Rename("own", "new"); }},
    {"RenameOwnOverOwn", [](StackScene& u) { return u.Rename("own", "own2"); }},
    {"RenameOwnOverLower", [](StackScene& u) { return u.Rename("own", "victim"); }},
    {"RenameOwnOntoMark", [](StackScene& u) { return u.Rename("own", "gone"); }},
    {"RenameOwnOntoMarkOfDir", [](StackScene& u) { return u.Rename("own", "gonedir"); }},
    {"RenameLower", [](StackScene& u) { return u.Rename("file", "dir/new"); }},
    {"RenameLowerOverOwn", [](StackScene& u) { return u.Rename("file", "own"); }},
    {"RenameLowerOverLower", [](StackScene& u) { return u.Rename("file", "victim"); }},
    {"RenameLowerOntoMark", [](StackScene& u) { return u.Rename("file", "gone"); }},
    {"RenameOwnOfLower", [](StackScene& u) { return u.Rename("over", "new"); }},
    {"RenameOwnOfLowerOverLower", [](StackScene& u) { return u.Rename("over", "file"); }},
    {"RenameOwnOfLowerOntoMark", [](StackScene& u) { return u.Rename("over", "gone"); }},
    {"RenameDir", [](StackScene& u) { return u.Rename("owndir", "new"); }},
    {"RenameDirOntoMark", [](StackScene& u) { return u.Rename("owndir", "gonedir"); }},
    {"RenameDirOntoMarkOfFile", [](StackScene& u) { return u.Rename("owndir", "gone"); }},
    {"RenameDirOverEmptyOwn", [](StackScene& u) { return u.Rename("owndir", "ownempty"); }},
    {"RenameDirOverEmptyLower", [](StackScene& u) { return u.Rename("owndir", "empty"); }},
    {"RenameDirOverDirWithMarks", [](StackScene& u) { return u.Rename("owndir", "emptied"); }},
    {"RenameDirOverDirWithMarksOfItsOwn", [](StackScene& u) { return u.Rename("owndir", "cleared"); }},
    {"RenameLowerDir", [](StackScene& u) { return u.Rename("dir", "new"); }},
    {"RenameLowerDirIntoMergedDir", [](StackScene& u) { return u.Rename("dir", "merged/new"); }},
    {"RenameLowerDirOntoMark", [](StackScene& u) { return u.Rename("dir", "gonedir"); }},
    {"RenameLowerDirOverEmptyOwn", [](StackScene& u) { return u.Rename("dir", "ownempty"); }},
    {"RenameLowerDirOverEmptyLower", [](StackScene& u) { return u.Rename("dir", "empty"); }},
    {"RenameMergedDir", [](StackScene& u) { return u.Rename("merged", "new"); }},
    {"RenameMergedDirOntoMark", [](StackScene& u) { return u.Rename("merged", "gonedir"); }},
    {"RenameMergedDirOverEmptyLower", [](StackScene& u) { return u.Rename("merged", "empty"); }},
    {"RenameMergedDirOverDirWithMarks", [](StackScene& u) { return u.Rename("merged", "emptied"); }},
    {"RenameOpaqueDir", [](StackScene& u) { return u.Rename("opaque", "new"); }},
    {"RenameOpaqueDirOntoMark", [](StackScene& u) { return u.Rename("opaque", "gonedir"); }},
    {"RenameOpaqueDirOverDirWithMarks", [](StackScene& u) { return u.Rename("opaque", "emptied"); }},
    {"RenameDirBesideItsMark", [](StackScene& u) { return u.Rename("covered", "new"); }},
    {"ExchangeOwn", [](StackScene& u) { return Exchange(u, "own", "over"); }},
    {"ExchangeWithLower", [](StackScene& u) { return Exchange(u, "own", "file"); }},
    {"ExchangeLowers", [](StackScene& u) { return Exchange(u, "file", "dir/child"); }},
    {"ExchangeFileAndDir", [](StackScene& u) { return Exchange(u, "over", "owndir"); }},
    {"ExchangeLowerDirs", [](StackScene& u) { return Exchange(u, "dir", "merged"); }},
    {"ExchangeDirs", [](StackScene& u) { return Exchange(u, "owndir", "opaque"); }},
    {"ExchangeLowerDirAndFile", [](StackScene& u) { return Exchange(u, "dir", "own"); }},
};

// Two writable branches over a lower layer.
void BuildTwoWritable(StackScene& scene) {
  scene.Put("0/top", "top");
  scene.Put("0/topdir/x", "x");
  MakeDirs(scene / "0/topempty");
  scene.Put("1/mid", "mid", 0604);
  scene.Put("1/midbig", std::string(25000, 'm'));
  scene.Put("1/middir/inner", "inner");
  scene.Put("2/middir/low", "low of middir");
  scene.Put("1/midown/inner", "inner");
  MakeDirs(scene / "1/midempty");
  scene.Put("2/low", "low");
  scene.Put("2/lowdir/in", "in");
  MakeDirs(scene / "2/lowempty");
  scene.Put("0/both", "0");
  scene.Put("1/both", "1");
  scene.Put("1/midlow", "1");
  scene.Put("2/midlow", "2");
  scene.Put("0/all", "0");
  scene.Put("1/all", "1");
  scene.Put("2/all", "2");
  scene.Put("0/dir/zero", "0");
  scene.Put("1/dir/one", "1");
  scene.Put("2/dir/two", "2");
  MakeDirs(scene / "0/hollow");
  MakeDirs(scene / "1/hollow");
  MakeDirs(scene / "2/hollow");
  MakeDirs(scene / "1/midhollow");
  MakeDirs(scene / "2/midhollow");
  mknod((scene / "1/gone").c_str(), S_IFCHR, 0);
  scene.Put("2/gone", "gone");
  mknod((scene / "0/hidden").c_str(), S_IFCHR, 0);
  scene.Put("1/hidden", "1");
  mknod((scene / "1/gonedir").c_str(), S_IFCHR, 0);
  scene.Put("2/gonedir/child", "child");
}

const Row kTwoWritableRows[] = {
    {"UnlinkTop", [](StackScene& u) { return UnlinkKnown(u, "top"); }},
    {"UnlinkMiddle", [](StackScene& u) { return UnlinkKnown(u, "mid"); }},
    {"UnlinkMiddleOverLower", [](StackScene& u) { return UnlinkKnown(u, "midlow"); }},
    {"UnlinkOfBoth", [](StackScene& u) { return UnlinkKnown(u, "both"); }},
    {"UnlinkOfAll", [](StackScene& u) { return UnlinkKnown(u, "all"); }},
    {"UnlinkLower", [](StackScene& u) { return UnlinkKnown(u, "low"); }},
    {"UnlinkLowerInMiddleDir", [](StackScene& u) { return UnlinkKnown(u, "middir/low"); }},
    {"RmDirTop", [](StackScene& u) { return u.RmDir("topempty"); }},
    {"RmDirMiddle", [](StackScene& u) { return u.RmDir("midempty"); }},
    {"RmDirMiddleOverLower", [](StackScene& u) { return u.RmDir("midhollow"); }},
    {"RmDirOfAll", [](StackScene& u) { return u.RmDir("hollow"); }},
    {"RmDirLower", [](StackScene& u) { return u.RmDir("lowempty"); }},
    {"Create", [](StackScene& u) { return u.Create("new"); }},
    {"CreateInMiddle", [](StackScene& u) { return u.Create("middir/new"); }},
    {"CreateOverWhiteoutOfMiddle", [](StackScene& u) { return u.Create("gone"); }},
    {"CreateOverWhiteoutOfTop", [](StackScene& u) { return u.Create("hidden"); }},
    {"MkDir", [](StackScene& u) { return u.MkDir("new"); }},
    {"MkDirInMiddle", [](StackScene& u) { return u.MkDir("middir/new"); }},
    {"MkDirInLowerDir", [](StackScene& u) { return u.MkDir("lowdir/new"); }},
    {"MkDirOverWhiteoutOfMiddle", [](StackScene& u) { return u.MkDir("gonedir"); }},
    {"MkDirOverWhiteoutOfTop", [](StackScene& u) { return u.MkDir("hidden"); }},
    {"LinkMiddle", [](StackScene& u) { return Link(u, "mid", "middir/new"); }},
    {"LinkLower", [](StackScene& u) { return Link(u, "low", "new"); }},
    {"WriteLower", [](StackScene& u) { return u.Write("low", "written"); }},
    {"CopyUpIntoMiddle", [](StackScene& u) { return u.Write("middir/low", "written"); }},
    {"TruncateIntoMiddle", [](StackScene& u) { return Truncate(u, "middir/low", 2); }},
    {"ChmodIntoMiddle", [](StackScene& u) { return u.Chmod("middir/low", 0600); }},
    {"ChmodMiddleDir", [](StackScene& u) { return u.Chmod("middir", 0700); }},
    {"RenameTop", [](StackScene& u) { return u.Rename("top", "new"); }},
    {"RenameMiddle", [](StackScene& u) { return u.Rename("mid", "new"); }},
    {"RenameMiddleOverLower", [](StackScene& u) { return u.Rename("mid", "low"); }},
    {"RenameMiddleOfLower", [](StackScene& u) { return u.Rename("midlow", "new"); }},
    {"RenameMiddleOntoItsWhiteout", [](StackScene& u) { return u.Rename("mid", "gone"); }},
    {"RenameTopOverMiddle", [](StackScene& u) { return u.Rename("top", "mid"); }},
    {"RenameTopOfBoth", [](StackScene& u) { return u.Rename("both", "new"); }},
    {"RenameTopOfBothOverMiddle", [](StackScene& u) { return u.Rename("both", "mid"); }},
    {"RenameLower", [](StackScene& u) { return u.Rename("low", "new"); }},
    {"RenameLowerOverMiddle", [](StackScene& u) { return u.Rename("low", "mid"); }},
    {"LiftOverTop", [](StackScene& u) { return u.Rename("mid", "top"); }},
    {"LiftLargeOverTop", [](StackScene& u) { return u.Rename("midbig", "top"); }},
    {"LiftOverBoth", [](StackScene& u) { return u.Rename("mid", "both"); }},
    {"LiftOfLowerOverTop", [](StackScene& u) { return u.Rename("midlow", "top"); }},
    {"LiftOfLowerOverAll", [](StackScene& u) { return u.Rename("midlow", "all"); }},
    {"LiftFromDirOverTop", [](StackScene& u) { return u.Rename("middir/inner", "top"); }},
    {"LiftOntoWhiteoutOfTop", [](StackScene& u) { return u.Rename("mid", "hidden"); }},
    {"LiftLowerOverTop", [](StackScene& u) { return u.Rename("middir/low", "top"); }},
    {"RenameDirOfAll", [](StackScene& u) { return u.Rename("dir", "new"); }},
    {"RenameMiddleDir", [](StackScene& u) { return u.Rename("middir", "new"); }},
    {"RenameMiddleOwnDir", [](StackScene& u) { return u.Rename("midown", "new"); }},
    // The directory and the whiteout change places before the whiteout goes.
    {"RenameMiddleOwnDirOntoItsWhiteout",
     [](StackScene& u) { return u.Rename("midown", "gonedir"); },
     {"1/midown (whiteout)"}},
    {"RenameMiddleOwnDirOverEmptyMiddle", [](StackScene& u) { return u.Rename("midown", "midempty"); }},
    {"RenameMiddleOwnDirOverMiddleOfLower", [](StackScene& u) { return u.Rename("midown", "midhollow"); }},
    {"LiftDirOverEmptyTop", [](StackScene& u) { return u.Rename("midown", "topempty"); }},
    {"LiftMergedDirOverEmptyTop", [](StackScene& u) { return u.Rename("middir", "topempty"); }},
    {"LiftDirOverEmptyOfAll", [](StackScene& u) { return u.Rename("midown", "hollow"); }},
    {"RenameTopDirOverEmptyMiddle", [](StackScene& u) { return u.Rename("topdir", "midempty"); }},
    {"RenameTopDirOverEmptyOfAll", [](StackScene& u) { return u.Rename("topdir", "hollow"); }},
    {"ExchangeTopAndMiddle", [](StackScene& u) { return Exchange(u, "top", "mid"); }},
    {"ExchangeMiddles", [](StackScene& u) { return Exchange(u, "mid", "midlow"); }},
    {"ExchangeMiddleAndLower", [](StackScene& u) { return Exchange(u, "mid", "low"); }},
};

class DotWhCrashTest : public ::testing::TestWithParam<Row> {};

TEST_P(DotWhCrashTest, OldTreeOrNewTree) {
  KillAtEveryStep({{"rw+dotwh", "ro+wh"}, BuildDotWh, GetParam().act, {}, GetParam().needless});
}

class TwoWritableCrashTest : public ::testing::TestWithParam<Row> {};

TEST_P(TwoWritableCrashTest, OldTreeOrNewTree) {
  if (geteuid() != 0) GTEST_SKIP() << "making whiteouts that are devices needs root";
  KillAtEveryStep({{"rw", "rw", "ro+wh"}, BuildTwoWritable, GetParam().act, {}, GetParam().needless});
}

std::string NameOf(const ::testing::TestParamInfo<Row>& info) { return info.param.name; }

INSTANTIATE_TEST_SUITE_P(Operations, DotWhCrashTest, ::testing::ValuesIn(kDotWhRows), NameOf);
INSTANTIATE_TEST_SUITE_P(Operations, TwoWritableCrashTest, ::testing::ValuesIn(kTwoWritableRows), NameOf);

}  // namespace
}  // namespace acetate::fusefs
