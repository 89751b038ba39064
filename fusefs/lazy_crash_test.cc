// The daemon killed before each change to the disk while a large file is written and copied at once: the thread that
// writes and the one that copies count their changes together, so that every step of both is a place to die at. What is
// left shows the file as it was before the acts or after some of them, never something between, and a union made anew
// finishes the copy.
//
// In which order the two threads come is not ours to say. So a tree is right when it is any of those that the acts make
// one after the other; and modification times are not compared, since filling a file moves them before a write does.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/fs.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "fusefs/crash_scene.h"

namespace acetate::fusefs {
namespace {

[[maybe_unused]] const auto* const kOnTmpfs = ::testing::AddGlobalTestEnvironment(new OnTmpfs);

constexpr off_t kSize = 300000;  // pieces of 64 KiB, and a rest

// One operation, on the union of a scene.
using Act = std::function<Errno(CrashUnion&)>;

Act Write(const std::string& path, char byte, size_t size, off_t offset) {
  return [=](CrashUnion& u) {
    const std::string data(size, byte);
    return u.fs().Write(u.Node(path), data.data(), data.size(), offset, false).error();
  };
}

Act Truncate(const std::string& path, off_t size) {
  return [=](CrashUnion& u) {
    AttrChange change;
    change.set_size = true;
    change.size = size;
    return u.fs().SetAttr(u.Node(path), change).error();
  };
}

Act Chmod(const std::string& path, mode_t mode) {
  return [=](CrashUnion& u) {
    AttrChange change;
    change.set_mode = true;
    change.mode = mode;
    return u.fs().SetAttr(u.Node(path), change).error();
  };
}

Act Punch(const std::string& path, off_t offset, off_t length) {
  return [=](CrashUnion& u) {
    return u.fs().Fallocate(u.Node(path), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, length);
  };
}

Act Rename(const std::string& from, const std::string& to) {
  return [=](CrashUnion& u) { return u.fs().Rename(kRootId, from, kRootId, to, 0); };
}

Act Link(const std::string& from, const std::string& to) {
  return [=](CrashUnion& u) { return u.fs().Link(u.Node(from), kRootId, to).error(); };
}

Act Unlink(const std::string& path) {
  return [=](CrashUnion& u) {
    u.Node(path);  // known to the kernel, so it must be kept
    return u.fs().Unlink(kRootId, path);
  };
}

// As far as it shows, nothing; but the copy goes on.
Act Read(const std::string& path) {
  return [=](CrashUnion& u) {
    char byte;
    return u.fs().Read(u.Node(path), &byte, 1, 0).error();
  };
}

struct Row {
  const char* name;
  std::vector<Act> acts;
};

const std::vector<Row>& Rows() {
  static const auto& rows = *new std::vector<Row>{
      {"Write", {Write("large", 'W', 7, 100003)}},
      {"WriteWholePieces", {Write("large", 'W', 131072, 65536)}},
      {"WriteOverSeveralPieces", {Write("large", 'W', 70000, 60000)}},
      {"WriteFirstAndLast", {Write("large", 'W', 10, 0), Write("large", 'X', 10, kSize - 10)}},
      {"Append", {Write("large", 'W', 5000, kSize)}},
      {"WriteFarBehindTheEnd", {Write("large", 'W', 10, kSize + 100000)}},
      {"TruncateShorter", {Truncate("large", 150001)}},
      {"TruncateLonger", {Truncate("large", 400000)}},
      {"WriteThenTruncate", {Write("large", 'W', 7, 5), Truncate("large", 150001)}},
      {"WriteTruncateAndGrow", {Write("large", 'W', 7, 5), Truncate("large", 150001), Truncate("large", kSize)}},
      {"WriteTruncateAndWriteBehind",
       {Write("large", 'W', 7, 5), Truncate("large", 150001), Write("large", 'X', 7, 280000)}},
      {"WriteThenChmod", {Write("large", 'W', 7, 5), Chmod("large", 0604)}},
      {"ChmodThenWrite", {Chmod("large", 0604), Write("large", 'W', 7, 5)}},
      {"WriteThenPunch", {Write("large", 'W', 7, 5), Punch("large", 65536, 65536)}},
      {"WriteThenRename", {Write("large", 'W', 7, 5), Rename("large", "moved"), Write("moved", 'X', 7, 200000)}},
      {"WriteThenLink", {Write("large", 'W', 7, 5), Link("large", "other"), Write("other", 'X', 7, 200000)}},
      {"WriteThenUnlink", {Write("large", 'W', 7, 5), Unlink("large")}},
      {"WriteHardLinked", {Write("twin1", 'W', 7, 5), Write("twin2", 'X', 7, 200000)}},
      {"GoOn", {Read("half")}},
      {"GoOnAndWrite", {Write("half", 'W', 70000, 60000)}},
      {"GoOnAndTruncate", {Truncate("half", 100001), Truncate("half", kSize)}},
  };
  return rows;
}

void BuildLargeFiles(LayerScene* scene) {
  std::string contents;
  for (int i = 0; static_cast<off_t>(contents.size()) < kSize; ++i) absl::StrAppend(&contents, "line ", i, " below\n");
  contents.resize(kSize);
  scene->Put("lower/large", contents);
  scene->Put("lower/twin1", contents);
  scene->PutLink("lower/twin1", "lower/twin2");
  scene->Put("bottom/other-file", "untouched");
  // What an earlier kill left: one piece of its own, the rest below.
  scene->Put("lower/half", contents);
  scene->Put("upper/half", "");
  const UniqueFd half(open((*scene / "upper/half").c_str(), O_WRONLY | O_CLOEXEC));
  const std::string own(65536, 'o');
  ASSERT_EQ(ftruncate(half.get(), kSize), 0);
  ASSERT_EQ(pwrite(half.get(), own.data(), own.size(), 131072), static_cast<ssize_t>(own.size()));
  scene->Mark("upper/half", "metacopy", "");
  scene->Mark("upper/half", "partial", absl::StrCat(kSize));
}

Options LazyOptions() {
  Options options;
  options.xattr_namespace = XattrNamespace::kUser;
  options.lazy_copy_up_min = 100000;
  options.skip_sync = true;  // it is the process that dies, not the machine
  return options;
}

std::string TreeAnew(const LayerScene& scene) {
  CrashUnion anew(scene, LazyOptions());
  EXPECT_TRUE(anew.ok());
  return anew.ok() ? anew.Tree(/*times=*/false, /*links=*/false) : "";
}

class LazyCrashTest : public ::testing::TestWithParam<Row> {
 protected:
  // Does the first `count` acts, and lets the copy end, in a process that dies before its `nth` change (0: never);
  // false when it got to its end.
  static bool DiesIn(const LayerScene& scene, const std::vector<Act>& acts, size_t count, int nth) {
    const pid_t child = fork();
    if (child == 0) {
      {
        CrashUnion on(scene, LazyOptions());
        if (!on.ok()) _exit(2);
        FaultPoint::Arm(nth);
        for (size_t i = 0; i < count; ++i) {
          const Errno error = acts[i](on);
          if (error.ok()) continue;
          fprintf(stderr, "act %zu itself fails: errno %d\n", i, error.value());
          _exit(1);
        }
      }
      _exit(0);
    }
    int status = 0;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    const int exit_status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    EXPECT_TRUE(exit_status == 0 || exit_status == FaultPoint::kDied) << "status " << status;
    return exit_status == FaultPoint::kDied;
  }

  // The trees that the acts make, none of them done first.
  static std::vector<std::string> TreesOf(const std::vector<Act>& acts) {
    std::vector<std::string> trees;
    for (size_t count = 0; count <= acts.size(); ++count) {
      LayerScene scene;
      BuildLargeFiles(&scene);
      EXPECT_FALSE(DiesIn(scene, acts, count, 0));
      trees.push_back(TreeAnew(scene));
    }
    return trees;
  }

  // Nothing of the upper layer is partly copied.
  static std::string PartialFiles(const LayerScene& scene) {
    std::vector<std::string> partial;
    for (const char* name : {"large", "moved", "other", "twin1", "twin2", "half"}) {
      const std::string path = absl::StrCat("upper/", name);
      // Killed after its end was written down (docs/format.md) a file keeps the other mark, which means nothing alone.
      if (scene.MarkOf(path, "partial") != "(none)" && scene.MarkOf(path, "metacopy") != "(none)") {
        partial.push_back(name);
      }
    }
    return absl::StrJoin(partial, " ");
  }
};

TEST_P(LazyCrashTest, AFileIsAsBeforeOrAfterAnAct) {
  const std::vector<Act>& acts = GetParam().acts;
  const std::vector<std::string> trees = TreesOf(acts);
  int step = 1;
  for (bool dies = true; dies; ++step) {
    ASSERT_LT(step, 1000);
    SCOPED_TRACE(absl::StrCat("killed before change ", step));
    LayerScene scene;
    BuildLargeFiles(&scene);
    dies = DiesIn(scene, acts, acts.size(), step);
    const std::string tree = TreeAnew(scene);
    if (dies) {
      EXPECT_NE(std::find(trees.begin(), trees.end(), tree), trees.end()) << "it shows\n"
                                                                          << tree << "before was\n"
                                                                          << trees.front() << "after would be\n"
                                                                          << trees.back();
    } else {
      EXPECT_EQ(tree, trees.back());
    }
    // The new union has read every file, and ended.
    EXPECT_EQ(PartialFiles(scene), "");
    EXPECT_EQ(TreeAnew(scene), tree);
    EXPECT_EQ(absl::StrJoin(CheckScene(scene), "\n"), "");
    if (HasFailure()) return;
  }
  EXPECT_GT(step, 5) << "hardly a change was made";
}

// Killed, and killed again on the way to an end; with the file made longer in between, where what a truncation cut off
// must not come back.
TEST(LazyCrashTwiceTest, WhatWasCutOffStaysCutOff) {
  for (int first = 1;; ++first) {
    ASSERT_LT(first, 1000);
    LayerScene scene;
    BuildLargeFiles(&scene);
    const auto dies_in = [&](const std::vector<Act>& acts, int nth) {
      const pid_t child = fork();
      if (child == 0) {
        CrashUnion on(scene, LazyOptions());
        if (!on.ok()) _exit(2);
        FaultPoint::Arm(nth);
        for (const Act& act : acts) {
          if (!act(on).ok()) _exit(1);
        }
        // As a kill at this point; what is copied by now is chance.
        _exit(0);
      }
      int status = 0;
      EXPECT_EQ(waitpid(child, &status, 0), child);
      EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) % FaultPoint::kDied == 0) << "status " << status;
      return WEXITSTATUS(status) == FaultPoint::kDied;
    };
    const bool died = dies_in({Truncate("half", 100001)}, first);
    struct stat st;
    ASSERT_EQ(stat((scene / "upper/half").c_str(), &st), 0);
    dies_in({Truncate("half", kSize)}, 0);
    if (st.st_size == 100001) {
      CrashUnion anew(scene, LazyOptions());
      ASSERT_TRUE(anew.ok());
      std::string contents(kSize, 'x');
      ErrnoOr<size_t> size = anew.fs().Read(anew.Node("half"), contents.data(), contents.size(), 0);
      ASSERT_TRUE(size.ok());
      EXPECT_EQ(*size, static_cast<size_t>(kSize));
      EXPECT_EQ(contents.find_first_not_of('\0', 100001), std::string::npos) << "killed before change " << first;
    }
    if (!died) break;
  }
}

INSTANTIATE_TEST_SUITE_P(Acts, LazyCrashTest, ::testing::ValuesIn(Rows()),
                         [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace acetate::fusefs
