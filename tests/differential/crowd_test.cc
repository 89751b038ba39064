// Several processes do random operations on one union at the same time.
//
// All over the tree, what each sees depends on the others, so results are not compared; but the daemon must go on, and
// nothing may hang or fail in a way that names no reason. Each in a subtree of its own, every result must be that of a
// plain directory. At the end the union, the union mounted anew, and the kernel's overlayfs over the same layers show
// one tree.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/temp_dir.h"
#include "tests/differential/bases.h"
#include "tests/differential/judge.h"
#include "tests/differential/op_generator.h"
#include "tests/differential/trees.h"
#include "tests/fixture/mounted_union.h"

namespace acetate::differential {
namespace {

constexpr int kCrowd = 4;
constexpr int kSteps = 800;

// Answers that no operation may get from a filesystem that works.
bool IsBroken(const std::string& outcome) {
  for (const char* sign : {"HANGS", "DIES", "EIO", "ENOTCONN", "ESTALE", "EUCLEAN", "ECONNABORTED"}) {
    if (absl::StartsWith(outcome, sign)) return true;
  }
  return false;
}

// At times with few fds; at times files are copied in the background from two pieces on, while others write them.
std::unique_ptr<Tree> MountForCrowd(int seed, const UnionDirectories& directories) {
  std::vector<std::string> options;
  if (seed % 2 != 0) options.push_back("lazy_copy_up_min=128K");
  return MountProgramUnion("", directories, seed % 3 == 0 ? 48 : 0, options);
}

// The union is unmounted well, leaves nothing over, and shows the same to those who mount its layers afterwards.
void ExpectGoodEnd(std::unique_ptr<Tree> mounted, const UnionDirectories& directories, time_t began) {
  mounted->Enter(began);
  const Op walk;
  const std::string at_the_end = mounted->worker().Run(walk);
  EXPECT_EQ(mounted->Close(), "");
  EXPECT_EQ(CheckLeftovers(directories), "");
  const auto expect_same = [&](std::unique_ptr<Tree> again) {
    again->Enter(began);
    const std::string seen = ForgiveKernel(walk, again->worker().Run(walk));
    const auto verdict = Judge(walk, {at_the_end, seen, at_the_end}, again->name());
    EXPECT_FALSE(verdict) << verdict->what;
  };
  expect_same(MountProgramUnion("", directories, 0));
  expect_same(MountKernelUnion("kernel overlayfs", directories, kReader));
}

class CrowdTest : public testing::TestWithParam<int> {};

TEST_P(CrowdTest, EndsInOneTreeForAll) {
  const int seed = GetParam();
  const time_t began = time(nullptr);
  EnterPrivateMountNamespace();
  Bases bases;
  Random random(seed);
  const UnionDirectories directories = MaterialiseLayers(Sound(RandomLayers(random)), bases.Fresh(seed % 2 == 0));
  std::unique_ptr<Tree> mounted = MountForCrowd(seed, directories);

  std::vector<std::unique_ptr<Worker>> crowd;
  std::vector<Op> ops(kCrowd);
  for (int i = 0; i < kCrowd; ++i) crowd.push_back(std::make_unique<Worker>(mounted->root(), began));
  OpGenerator generator(random);
  for (int step = 0; step < kSteps; ++step) {
    for (int i = 0; i < kCrowd; ++i) {
      do {
        ops[i] = generator.Next(mounted->root());
      } while (ops[i].kind == OpKind::kRemount);
    }
    // A store into a mapping kills its process, on every filesystem, when another has cut the file off: who maps a file
    // acts after those who may do that.
    for (const bool maps : {false, true}) {
      const auto acts = [&](int i) { return (ops[i].kind == OpKind::kMmapWrite) == maps; };
      for (int i = 0; i < kCrowd; ++i) {
        if (acts(i)) crowd[i]->Send(ops[i]);
      }
      for (int i = 0; i < kCrowd; ++i) {
        if (!acts(i)) continue;
        const std::string outcome = crowd[i]->Receive();
        ASSERT_FALSE(IsBroken(outcome)) << "step " << step << ": " << ToString(ops[i]) << "\n" << outcome;
      }
    }
  }
  crowd.clear();

  ExpectGoodEnd(std::move(mounted), directories, began);
}

// One subtree of the union with what a plain directory holds instead, and who works in each.
struct Subtree {
  std::unique_ptr<Tree> plain;
  std::unique_ptr<Worker> in_plain;
  std::unique_ptr<Worker> in_union;
};

// Makes the layers of a subtree called `name` below those of the union, and the plain directory.
Subtree MakeSubtree(const std::string& name, uint64_t seed, const std::string& base, UnionDirectories* directories) {
  Random random(seed);
  const Layers layers = Sound(RandomLayers(random));
  const UnionDirectories parts = MaterialiseLayers(layers, absl::StrCat(base, "/", name));
  const auto move = [&](const std::string& from, const std::string& layer) {
    MakeDirs(layer);
    if (rename(from.c_str(), absl::StrCat(layer, "/", name).c_str()) != 0) throw std::runtime_error("rename " + from);
  };
  move(parts.upper, directories->upper);
  for (size_t i = 0; i < parts.lowers.size(); ++i) {
    const std::string lower = absl::StrCat(base, "/union/lower", i);
    if (directories->lowers.size() == i) directories->lowers.push_back(lower);
    move(parts.lowers[i], lower);
  }
  Subtree subtree;
  subtree.plain = MakePlainTree(layers, absl::StrCat(base, "/", name));
  return subtree;
}

// Does random operations in both; what is the first difference, or "".
std::string FirstDifference(const Subtree& subtree, uint64_t seed) {
  Random random(seed);
  OpGenerator generator(random);
  const std::string& root = subtree.plain->root();
  const auto is_one_file = [&](const Op& op) {
    struct stat a, b;
    return lstat((root + "/" + op.path).c_str(), &a) == 0 && lstat((root + "/" + op.path2).c_str(), &b) == 0 &&
           a.st_ino == b.st_ino;
  };
  int succeeded = 0;
  for (int step = 0; step < kSteps; ++step) {
    const Op op = step + 1 < kSteps ? generator.Next(root) : Op();  // the last: everything there is
    if (op.kind == OpKind::kRemount || (op.kind == OpKind::kRename && is_one_file(op))) continue;
    const std::string in_union = subtree.in_union->Run(op);
    if (NotOffered(op, in_union) || OnlyForUnions(op, in_union)) continue;
    const std::string in_plain = subtree.in_plain->Run(op);
    if (auto verdict = Judge(op, {in_plain, in_union, in_plain}, "the union")) {
      return absl::StrCat("step ", step, ": ", ToString(op), "\n", verdict->what);
    }
    if (absl::StartsWith(in_plain, "ok")) ++succeeded;
  }
  return succeeded > kSteps / 4 ? "" : absl::StrCat("only ", succeeded, " operations succeed");
}

class NeighboursTest : public testing::TestWithParam<int> {};

TEST_P(NeighboursTest, EachSeesItsOwnSubtreeAsIfAlone) {
  const int seed = GetParam();
  const time_t began = time(nullptr);
  EnterPrivateMountNamespace();
  Bases bases;
  const std::string base = bases.Fresh(seed % 2 == 0);
  UnionDirectories directories;
  directories.upper = base + "/union/upper";
  directories.work = base + "/union/work";
  directories.mountpoint = base + "/union/mnt";
  for (const std::string& made : {directories.work, directories.mountpoint}) MakeDirs(made);
  const std::vector<std::string> names = {"left", "right"};
  std::vector<Subtree> subtrees;
  for (size_t i = 0; i < names.size(); ++i) {
    subtrees.push_back(MakeSubtree(names[i], 100 * seed + i, base, &directories));
  }
  std::unique_ptr<Tree> mounted = MountForCrowd(seed, directories);
  // By this thread, with which they end.
  for (size_t i = 0; i < names.size(); ++i) {
    subtrees[i].in_plain = std::make_unique<Worker>(subtrees[i].plain->root(), began);
    subtrees[i].in_union = std::make_unique<Worker>(absl::StrCat(mounted->root(), "/", names[i]), began);
  }

  std::vector<std::string> differences(names.size());
  std::vector<std::thread> threads;
  for (size_t i = 0; i < names.size(); ++i) {
    threads.emplace_back([&, i] { differences[i] = FirstDifference(subtrees[i], 1000 * seed + i); });
  }
  for (std::thread& thread : threads) thread.join();
  subtrees.clear();
  for (size_t i = 0; i < names.size(); ++i) EXPECT_EQ(differences[i], "") << names[i];
  ExpectGoodEnd(std::move(mounted), directories, began);
}

INSTANTIATE_TEST_SUITE_P(Seeds, NeighboursTest, testing::Range(1, 5));
INSTANTIATE_TEST_SUITE_P(Seeds, CrowdTest, testing::Range(1, 5));

}  // namespace
}  // namespace acetate::differential
