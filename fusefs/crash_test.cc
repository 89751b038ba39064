// The daemon killed before each of its changes to the disk in turn: whatever is left shows the tree as it was before
// the operation or as it is after it, nothing between, and nothing is left over. A row is one operation.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/fs.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "fusefs/crash_scene.h"

namespace acetate::fusefs {
namespace {

[[maybe_unused]] const auto* const kOnTmpfs = ::testing::AddGlobalTestEnvironment(new OnTmpfs);

const Caller kUser = {1000, 1001, 022};

// The operations, by path.
class Acts {
 public:
  explicit Acts(CrashUnion* on) : u_(*on), fs_(on->fs()) {}

  Errno Write(const std::string& path) { return fs_.Write(u_.Node(path), "written", 7, 3, false).error(); }
  Errno Truncate(const std::string& path, off_t size) {
    AttrChange change;
    change.set_size = true;
    change.size = size;
    return fs_.SetAttr(u_.Node(path), change).error();
  }
  Errno Chmod(const std::string& path, mode_t mode) {
    AttrChange change;
    change.set_mode = true;
    change.mode = mode;
    return fs_.SetAttr(u_.Node(path), change).error();
  }
  Errno Chown(const std::string& path) {
    AttrChange change;
    change.set_uid = true;
    change.uid = 4711;
    return fs_.SetAttr(u_.Node(path), change).error();
  }
  Errno Touch(const std::string& path) {
    AttrChange change;
    change.set_times = true;
    change.times[0] = change.times[1] = {12345, 6};
    return fs_.SetAttr(u_.Node(path), change).error();
  }
  Errno SetXattr(const std::string& path) { return fs_.SetXattr(u_.Node(path), "user.new", "value", 0); }
  Errno RemoveXattr(const std::string& path) { return fs_.RemoveXattr(u_.Node(path), "user.note"); }
  Errno Fallocate(const std::string& path) {
    return fs_.Fallocate(u_.Node(path), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096);
  }

  Errno Create(const std::string& path) {
    return fs_.MkNod(Parent(path), Name(path), S_IFREG | 0666, 0, kUser).error();
  }
  Errno MkFifo(const std::string& path) {
    return fs_.MkNod(Parent(path), Name(path), S_IFIFO | 0666, 0, kUser).error();
  }
  Errno MkDir(const std::string& path) { return fs_.MkDir(Parent(path), Name(path), 0777, kUser).error(); }
  Errno SymLink(const std::string& path) { return fs_.SymLink("to", Parent(path), Name(path), kUser).error(); }
  Errno Link(const std::string& from, const std::string& to) {
    return fs_.Link(u_.Node(from), Parent(to), Name(to)).error();
  }
  Errno Unlink(const std::string& path) {
    u_.Node(path);  // known to the kernel, so it must be kept
    return fs_.Unlink(Parent(path), Name(path));
  }
  Errno RmDir(const std::string& path) { return fs_.RmDir(Parent(path), Name(path)); }
  Errno Rename(const std::string& from, const std::string& to, unsigned flags = 0) {
    return fs_.Rename(Parent(from), Name(from), Parent(to), Name(to), flags);
  }
  Errno Exchange(const std::string& from, const std::string& to) { return Rename(from, to, RENAME_EXCHANGE); }

 private:
  NodeId Parent(const std::string& path) {
    const size_t slash = path.rfind('/');
    return u_.Node(slash == std::string::npos ? "" : path.substr(0, slash));
  }
  static std::string Name(const std::string& path) { return path.substr(path.rfind('/') + 1); }

  CrashUnion& u_;
  UnionFs& fs_;
};

// What is allowed beyond the rule, each for the reason given.
enum Allowance {
  kStrict,
  // The modification time changes a step before or after the contents do: contents are copied into a file that shows.
  kTimeApart,
  // The link count of a file that has names in a lower layer changes a step after its names do (docs/format.md).
  kLinksApart,
  // A directory cannot take a whiteout's place without one at its old name, which is removed next: killed in between, a
  // whiteout that hides nothing is left, which changes nothing.
  kNeedlessWhiteout,
};

struct Row {
  const char* name;
  Errno (*act)(Acts&);
  Allowance allowance = kStrict;
  Errno (*prepare)(Acts&) = nullptr;  // done before, to its end
};

// One of two names of a lower file is copied up; the other one is still in the lower layer alone.
Errno CopyUpLink(Acts& u) { return u.Chmod("link1", 0700); }

Errno KeepOneLink(Acts& u) {
  ACETATE_RETURN_IF_ERROR(CopyUpLink(u));
  return u.Unlink("link2");
}

const Row kRows[] = {
    {"WriteLowerFile", [](Acts& u) { return u.Write("file"); }},
    {"WriteLargeLowerFile", [](Acts& u) { return u.Write("big"); }},
    {"WriteInLowerDir", [](Acts& u) { return u.Write("dir/sub/grandchild"); }},
    {"TruncateLowerFile", [](Acts& u) { return u.Truncate("big", 21000); }},
    {"EmptyLowerFile", [](Acts& u) { return u.Truncate("file", 0); }},
    {"PunchLowerFile", [](Acts& u) { return u.Fallocate("big"); }},
    {"ChmodLowerFile", [](Acts& u) { return u.Chmod("file", 0604); }},
    {"ChmodLowerDir", [](Acts& u) { return u.Chmod("dir", 0704); }},
    {"ChownLowerSymlink", [](Acts& u) { return u.Chown("symlink"); }},
    {"ChownLargeLowerFile", [](Acts& u) { return u.Chown("big"); }},
    {"TouchLowerFifo", [](Acts& u) { return u.Touch("fifo"); }},
    {"SetXattrOfLowerFile", [](Acts& u) { return u.SetXattr("dir/child"); }},
    {"RemoveXattrOfLowerFile", [](Acts& u) { return u.RemoveXattr("file"); }},

    {"WriteMetacopy", [](Acts& u) { return u.Write("meta"); }, kTimeApart},
    {"TruncateMetacopy", [](Acts& u) { return u.Truncate("meta", 5); }},
    {"EmptyMetacopy", [](Acts& u) { return u.Truncate("meta", 0); }},
    {"ExtendMetacopy", [](Acts& u) { return u.Truncate("meta", 5000); }, kTimeApart},
    {"ChmodMetacopy", [](Acts& u) { return u.Chmod("meta", 0600); }},
    {"WriteInMovedDir", [](Acts& u) { return u.Write("moved/sub/below"); }},

    {"Create", [](Acts& u) { return u.Create("new"); }},
    {"CreateInLowerDir", [](Acts& u) { return u.Create("dir/sub/new"); }},
    {"MkDir", [](Acts& u) { return u.MkDir("new"); }},
    {"LinkUpper", [](Acts& u) { return u.Link("own", "new"); }},
    {"LinkLower", [](Acts& u) { return u.Link("file", "dir/new"); }},
    {"UnlinkUpper", [](Acts& u) { return u.Unlink("own"); }},
    {"UnlinkOneOfTwoLinks", [](Acts& u) { return u.Unlink("ownlink1"); }},
    {"RmDirUpper", [](Acts& u) { return u.RmDir("ownempty"); }},

    {"LinkMetacopy", [](Acts& u) { return u.Link("meta", "new"); }},
    {"RenameMovedDir", [](Acts& u) { return u.Rename("moved", "new"); }},
    {"RenameUpper", [](Acts& u) { return u.Rename("own", "new"); }},
    {"RenameUpperOverUpper", [](Acts& u) { return u.Rename("own", "own2"); }},
    {"RenameUpperOverLower", [](Acts& u) { return u.Rename("own", "victim"); }},
    {"RenameDir", [](Acts& u) { return u.Rename("owndir", "new"); }},
    {"RenameDirOverEmptyUpper", [](Acts& u) { return u.Rename("owndir", "ownempty"); }},
    {"RenameDirOverEmptyLower", [](Acts& u) { return u.Rename("owndir", "empty"); }},
    {"WriteLinkedLower", [](Acts& u) { return u.Write("link1"); }, kLinksApart},
    {"ChmodLinkedLower", [](Acts& u) { return u.Chmod("link2", 0604); }, kLinksApart},
    {"LinkLinkedLower", [](Acts& u) { return u.Link("link1", "new"); }, kLinksApart},
    {"WriteIndexed", [](Acts& u) { return u.Write("link1"); }, kTimeApart, CopyUpLink},
    {"WriteIndexedByOtherName", [](Acts& u) { return u.Write("link2"); }, kTimeApart, CopyUpLink},
    {"LinkIndexed", [](Acts& u) { return u.Link("link1", "new"); }, kLinksApart, CopyUpLink},
    {"LinkIndexedByOtherName", [](Acts& u) { return u.Link("link2", "new"); }, kLinksApart, CopyUpLink},

    {"ExchangeUppers", [](Acts& u) { return u.Exchange("own", "over"); }},
    {"ExchangeWithLower", [](Acts& u) { return u.Exchange("own", "file"); }},
    {"ExchangeLowers", [](Acts& u) { return u.Exchange("file", "dir/child"); }},
    {"ExchangeFileAndDir", [](Acts& u) { return u.Exchange("over", "owndir"); }},
    {"ExchangeMetacopy", [](Acts& u) { return u.Exchange("meta", "file"); }},
    {"ExchangeLowerDirs", [](Acts& u) { return u.Exchange("dir", "merged"); }},
    {"ExchangeLowerDirAndFile", [](Acts& u) { return u.Exchange("dir", "own"); }},
    {"ExchangeDirs", [](Acts& u) { return u.Exchange("owndir", "opaque"); }},
};

// Renames that leave a whiteout. Where whiteouts are xattrs the names cannot change in one step (docs/format.md), so
// these are tried with devices only.
const Row kRenameRows[] = {
    {"RenameLower", [](Acts& u) { return u.Rename("file", "dir/new"); }},
    {"RenameLowerOverUpper", [](Acts& u) { return u.Rename("file", "own"); }},
    {"RenameLowerOverLower", [](Acts& u) { return u.Rename("file", "victim"); }},
    {"RenameUpperOfLower", [](Acts& u) { return u.Rename("over", "new"); }},
    {"RenameUpperOfLowerOverLower", [](Acts& u) { return u.Rename("over", "file"); }},
    {"RenameSymlinkOfLower", [](Acts& u) { return u.Rename("symlink", "new"); }},
    {"RenameLinkedLower", [](Acts& u) { return u.Rename("link1", "new"); }, kLinksApart},
    {"RenameIndexed", [](Acts& u) { return u.Rename("link1", "new"); }, kLinksApart, CopyUpLink},
    {"RenameIndexedByOtherName", [](Acts& u) { return u.Rename("link2", "new"); }, kLinksApart, CopyUpLink},
    {"RenameMetacopy", [](Acts& u) { return u.Rename("meta", "new"); }},
    {"RenameMetacopyOverLower", [](Acts& u) { return u.Rename("meta", "victim"); }},
    {"RenameLowerDir", [](Acts& u) { return u.Rename("dir", "new"); }},
    {"RenameLowerDirIntoMergedDir", [](Acts& u) { return u.Rename("dir", "merged/new"); }},
    {"RenameLowerDirOverEmptyUpper", [](Acts& u) { return u.Rename("dir", "ownempty"); }},
    {"RenameMergedDir", [](Acts& u) { return u.Rename("merged", "new"); }},
    {"RenameMergedDirOverEmptyLower", [](Acts& u) { return u.Rename("merged", "empty"); }},
    {"RenameMergedDirOverDirWithWhiteouts", [](Acts& u) { return u.Rename("merged", "emptied"); }},
    {"RenameOutOfMovedDir", [](Acts& u) { return u.Rename("moved/sub", "new"); }},
    {"RenameOpaqueDir", [](Acts& u) { return u.Rename("opaque", "new"); }},
    {"RenameOpaqueDirOverDirWithWhiteouts", [](Acts& u) { return u.Rename("opaque", "emptied"); }},
};

// What else writes whiteouts or meets them: tried in both encodings.
const Row kWhiteoutRows[] = {
    {"CreateOverWhiteout", [](Acts& u) { return u.Create("gone"); }},
    {"CreateOverWhiteoutOfDir", [](Acts& u) { return u.Create("gonedir"); }},
    {"CreateOverWhiteoutInSetgidDir", [](Acts& u) { return u.Create("setgid/gone"); }},
    {"CreateOverWhiteoutUnderAcl", [](Acts& u) { return u.Create("acl/gone"); }},
    {"FifoOverWhiteout", [](Acts& u) { return u.MkFifo("gone"); }},
    {"SymLinkOverWhiteout", [](Acts& u) { return u.SymLink("gone"); }},
    {"LinkLowerOverWhiteout", [](Acts& u) { return u.Link("file", "gone"); }},
    {"MkDirOverWhiteout", [](Acts& u) { return u.MkDir("gonedir"); }},
    {"MkDirOverWhiteoutInSetgidDir", [](Acts& u) { return u.MkDir("setgid/gone"); }},
    {"MkDirOverWhiteoutUnderAcl", [](Acts& u) { return u.MkDir("acl/gone"); }},
    {"UnlinkLower", [](Acts& u) { return u.Unlink("file"); }},
    {"UnlinkInLowerDir", [](Acts& u) { return u.Unlink("dir/sub/grandchild"); }},
    {"UnlinkUpperOverLower", [](Acts& u) { return u.Unlink("over"); }},
    {"UnlinkLinkedLower", [](Acts& u) { return u.Unlink("link1"); }, kLinksApart},
    {"UnlinkIndexed", [](Acts& u) { return u.Unlink("link1"); }, kLinksApart, CopyUpLink},
    {"UnlinkIndexedByOtherName", [](Acts& u) { return u.Unlink("link2"); }, kLinksApart, CopyUpLink},
    {"UnlinkLastOfIndexed", [](Acts& u) { return u.Unlink("link1"); }, kLinksApart, KeepOneLink},
    {"UnlinkMetacopy", [](Acts& u) { return u.Unlink("meta"); }},
    {"RmDirLower", [](Acts& u) { return u.RmDir("empty"); }},
    {"RmDirWithWhiteouts", [](Acts& u) { return u.RmDir("emptied"); }},
    {"RenameUpperOverWhiteout", [](Acts& u) { return u.Rename("own", "gone"); }},
    {"RenameLowerOverWhiteout", [](Acts& u) { return u.Rename("file", "gone"); }},
    {"RenameMetacopyOverWhiteout", [](Acts& u) { return u.Rename("meta", "gone"); }},
    {"RenameMovedDirBack", [](Acts& u) { return u.Rename("moved", "was"); }, kNeedlessWhiteout},
    {"RenameLowerDirOverWhiteout", [](Acts& u) { return u.Rename("dir", "gonedir"); }},
    {"RenameDirOverWhiteout", [](Acts& u) { return u.Rename("owndir", "gonedir"); }, kNeedlessWhiteout},
    {"RenameDirOverDirWithWhiteouts", [](Acts& u) { return u.Rename("owndir", "emptied"); }},
    {"RenameOpaqueDirOverWhiteout", [](Acts& u) { return u.Rename("opaque", "gonedir"); }},
};

class CrashTest : public ::testing::TestWithParam<Row> {
 protected:
  // Runs an operation in a process that dies before its `nth` change (0: never); false when it got to its end.
  static bool DiesIn(const LayerScene& scene, const Options& options, Errno (*act)(Acts&), int nth) {
    const pid_t child = fork();
    if (child == 0) {
      CrashUnion on(scene, options);
      if (!on.ok()) _exit(2);
      Acts acts(&on);
      FaultPoint::Arm(nth);
      const Errno error = act(acts);
      if (!error.ok()) fprintf(stderr, "the operation itself fails: errno %d\n", error.value());
      _exit(error.ok() ? 0 : 1);
    }
    int status = 0;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    const int exit_status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    EXPECT_TRUE(exit_status == 0 || exit_status == FaultPoint::kDied) << "status " << status;
    return exit_status == FaultPoint::kDied;
  }

  static void Prepare(LayerScene* scene, const Options& options) {
    BuildLayers(scene);
    if (GetParam().prepare == nullptr) return;
    ASSERT_FALSE(DiesIn(*scene, options, GetParam().prepare, 0));
  }

  static std::string TreeAnew(const LayerScene& scene, const Options& options) {
    CrashUnion anew(scene, options);
    EXPECT_TRUE(anew.ok());
    return anew.ok() ? anew.Tree(GetParam().allowance != kTimeApart, GetParam().allowance != kLinksApart) : "";
  }

  // The lines in which two trees differ.
  static std::string Difference(const std::string& from, const std::string& to) {
    const std::vector<std::string> a = absl::StrSplit(from, '\n'), b = absl::StrSplit(to, '\n');
    std::string text;
    for (const std::string& line : a) {
      if (std::find(b.begin(), b.end(), line) == b.end()) absl::StrAppend(&text, "  - ", line, "\n");
    }
    for (const std::string& line : b) {
      if (std::find(a.begin(), a.end(), line) == a.end()) absl::StrAppend(&text, "  + ", line, "\n");
    }
    return text;
  }

  static void KillAtEveryStep(WhiteoutEncoding encoding) {
    Options options;
    options.xattr_namespace = XattrNamespace::kUser;
    options.write_whiteouts = encoding;
    options.skip_sync = true;  // it is the process that dies, not the machine
    LayerScene untouched, done;
    Prepare(&untouched, options);
    Prepare(&done, options);
    const std::string before = TreeAnew(untouched, options);
    ASSERT_FALSE(DiesIn(done, options, GetParam().act, 0));
    const std::string after = TreeAnew(done, options);
    ASSERT_NE(before, after) << "the operation shows";

    bool happened = false;
    int step = 1;
    for (bool dies = true; dies; ++step) {
      ASSERT_LT(step, 200);
      SCOPED_TRACE(absl::StrCat("killed before change ", step));
      LayerScene scene;
      Prepare(&scene, options);
      dies = DiesIn(scene, options, GetParam().act, step);
      const std::string tree = TreeAnew(scene, options);
      if (!happened && tree != before) happened = true;
      EXPECT_EQ(tree, happened ? after : before) << "from before:\n"
                                                 << Difference(before, tree) << "from after:\n"
                                                 << Difference(after, tree);
      for (const std::string& problem : CheckScene(scene)) {
        const bool allowed = dies && GetParam().allowance == kNeedlessWhiteout &&
                             absl::EndsWith(problem, ": whiteout that hides nothing");
        EXPECT_TRUE(allowed) << problem;
      }
    }
    EXPECT_TRUE(happened);
    EXPECT_GT(step, 2) << "no change was made";
  }
};

TEST_P(CrashTest, OldTreeOrNewTree) {
  if (geteuid() != 0) GTEST_SKIP() << "layers with objects of several owners need root";
  KillAtEveryStep(WhiteoutEncoding::kCharDevice);
}

class CrashXattrTest : public CrashTest {};

TEST_P(CrashXattrTest, OldTreeOrNewTree) {
  if (geteuid() != 0) GTEST_SKIP() << "layers with objects of several owners need root";
  KillAtEveryStep(WhiteoutEncoding::kXattr);
}

std::string NameOf(const ::testing::TestParamInfo<Row>& info) { return info.param.name; }

INSTANTIATE_TEST_SUITE_P(Operations, CrashTest, ::testing::ValuesIn(kRows), NameOf);
INSTANTIATE_TEST_SUITE_P(Renames, CrashTest, ::testing::ValuesIn(kRenameRows), NameOf);
INSTANTIATE_TEST_SUITE_P(Whiteouts, CrashTest, ::testing::ValuesIn(kWhiteoutRows), NameOf);
INSTANTIATE_TEST_SUITE_P(Whiteouts, CrashXattrTest, ::testing::ValuesIn(kWhiteoutRows), NameOf);

// Mounting itself takes apart what was left, and may be killed as well.
TEST(CrashAtMountTest, LeftoversGoSoonerOrLater) {
  Options options;
  options.xattr_namespace = XattrNamespace::kUser;
  int step = 1;
  for (bool dies = true; dies; ++step) {
    ASSERT_LT(step, 200);
    LayerScene scene;
    scene.Put("upper/file");
    scene.Put("work/work/#1/a/b/c");
    scene.PutWhiteout("work/work/#1/a/d");
    scene.Put("work/work/#2");
    const pid_t child = fork();
    if (child == 0) {
      FaultPoint::Arm(step);
      CrashUnion on(scene, options);
      _exit(on.ok() ? 0 : 1);
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    dies = WIFEXITED(status) && WEXITSTATUS(status) == FaultPoint::kDied;
    ASSERT_TRUE(dies || status == 0) << status;
    EXPECT_TRUE(CrashUnion(scene, options).ok());
    EXPECT_EQ(absl::StrJoin(CheckScene(scene), "\n"), "") << "killed before change " << step;
  }
  EXPECT_GT(step, 5);
}

}  // namespace
}  // namespace acetate::fusefs
