#include "fusefs/crash_stack.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <memory>
#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "common/syscalls.h"
#include "common/unique_fd.h"
#include "fusefs/branch_list.h"
#include "fusefs/crash_scene.h"
#include "fusefs/whiteout.h"

namespace acetate::fusefs {
namespace {

using TreeMap = std::map<std::string, std::string>;

// The branches of one run.
class Run {
 public:
  explicit Run(const CrashCase& crash_case) : case_(crash_case), scene_(crash_case.modes) {
    scene_.options_.skip_sync = true;  // it is the process that dies, not the machine
    case_.build(scene_);
  }
  ~Run() {
    scene_.fs_.reset();
    if (case_.clear) case_.clear(scene_);
  }

  // Does the operation in a process that dies before its `nth` change (0: never); false when it got to its end.
  bool DiesAt(int nth) {
    // A union that is left of a look at the tree has a thread, which the child would not have and wait for.
    scene_.fs_.reset();
    const pid_t child = fork();
    if (child == 0) {
      StartFaulty();
      if (scene_.fs_ == nullptr) _exit(2);
      FaultPoint::Arm(nth);
      const int error = case_.act(scene_);
      if (error != 0) fprintf(stderr, "the operation itself fails: errno %d\n", error);
      _exit(error == 0 ? 0 : 1);
    }
    int status = 0;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    const int exit_status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    EXPECT_TRUE(exit_status == 0 || exit_status == FaultPoint::kDied) << "status " << status;
    return exit_status == FaultPoint::kDied;
  }

  TreeMap TreeAnew() {
    scene_.Start();
    TreeMap tree = scene_.Tree();
    EXPECT_TRUE(scene_.WorkIsClean());
    return tree;
  }
  TreeMap TreeOfReader() { return StackScene::Tree(*scene_.Reader()); }

  std::set<std::string> Held() const {
    std::set<std::string> held;
    for (size_t i = 0; i < case_.modes.size(); ++i) {
      for (const std::string& path : scene_.Held(static_cast<int>(i))) held.insert(absl::StrCat(i, "/", path));
    }
    return held;
  }

 private:
  void StartFaulty() {
    std::vector<UnionFs::NewBranch> branches;
    for (size_t i = 0; i < case_.modes.size(); ++i) {
      const auto specs = ParseBranches(absl::StrCat(scene_ / absl::StrCat(i), "=", case_.modes[i]));
      const BranchSpec& spec = specs->front();
      const auto id = static_cast<BranchId>(i);
      UniqueFd dir = *sys::OpenAt(AT_FDCWD, spec.path.c_str(), O_PATH | O_DIRECTORY);
      if (spec.mode == BranchMode::kReadWrite) {
        UniqueFd work = *sys::OpenAt(AT_FDCWD, (scene_ / absl::StrCat("work", i)).c_str(), O_RDONLY | O_DIRECTORY);
        branches.push_back({MakeFaultyBranch(spec, id, std::move(dir)), std::move(work)});
      } else {
        branches.push_back({std::make_unique<DirectoryBranch>(spec, id, std::move(dir)), UniqueFd()});
      }
    }
    auto fs = UnionFs::Create(scene_.options_, std::move(branches), Identity::OfProcess(), &scene_.stats_);
    if (fs.ok()) scene_.fs_ = *std::move(fs);
  }

  const CrashCase& case_;
  StackScene scene_;
};

// The lines in which two trees differ.
std::string Difference(const TreeMap& from, const TreeMap& to) {
  std::string text;
  for (const auto& [path, what] : from) {
    const auto found = to.find(path);
    if (found == to.end() || found->second != what) absl::StrAppend(&text, "  - ", path, ": ", what, "\n");
  }
  for (const auto& [path, what] : to) {
    const auto found = from.find(path);
    if (found == from.end() || found->second != what) absl::StrAppend(&text, "  + ", path, ": ", what, "\n");
  }
  return text;
}

}  // namespace

void KillAtEveryStep(const CrashCase& crash_case) {
  Run untouched(crash_case), done(crash_case);
  std::set<std::string> known = untouched.Held();
  const TreeMap before = untouched.TreeAnew();
  ASSERT_FALSE(done.DiesAt(0));
  const TreeMap after = done.TreeAnew();
  known.merge(done.Held());
  ASSERT_NE(before, after) << "the operation shows";

  bool happened = false;
  int step = 1;
  for (bool dies = true; dies; ++step) {
    ASSERT_LT(step, 300);
    SCOPED_TRACE(absl::StrCat("killed before change ", step));
    Run run(crash_case);
    dies = run.DiesAt(step);
    const TreeMap tree = run.TreeAnew();
    if (tree != before) happened = true;
    EXPECT_EQ(tree, happened ? after : before) << "from before:\n"
                                               << Difference(before, tree) << "from after:\n"
                                               << Difference(after, tree);
    EXPECT_EQ(run.TreeOfReader(), tree);
    std::vector<std::string> left;
    for (const std::string& held : run.Held()) {
      // A copy of what is shown under the name: of an operation whose copying came first.
      const std::string path(absl::StripSuffix(held.substr(held.find('/') + 1), "/"));
      if (known.count(held) != 0 || tree.count(path) != 0 || absl::EndsWith(path, kDotWhOpaqueName)) continue;
      if (std::count(crash_case.needless.begin(), crash_case.needless.end(), held) != 0) continue;
      left.push_back(held);
    }
    EXPECT_EQ(absl::StrJoin(left, " "), "") << "left over";
    if (!happened && crash_case.done_again) {
      run.DiesAt(0);
      EXPECT_EQ(run.TreeAnew(), after) << "done again";
    }
    if (::testing::Test::HasFailure()) return;
  }
  EXPECT_TRUE(happened);
  EXPECT_GT(step, 2) << "no change was made";
}

}  // namespace acetate::fusefs
