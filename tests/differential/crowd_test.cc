// Several processes do random operations on one union at the same time. What each sees depends on the others, so
// results are not compared; but the daemon must go on, nothing may hang or fail in a way that names no reason, and at
// the end the union, the union mounted anew, and the kernel's overlayfs over the same layers show one tree.
#include <gtest/gtest.h>

#include <ctime>
#include <memory>
#include <vector>

#include "absl/strings/match.h"
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

class CrowdTest : public testing::TestWithParam<int> {};

TEST_P(CrowdTest, EndsInOneTreeForAll) {
  const int seed = GetParam();
  const time_t began = time(nullptr);
  EnterPrivateMountNamespace();
  Bases bases;
  Random random(seed);
  const UnionDirectories directories = MaterialiseLayers(RandomLayers(random), bases.Fresh(seed % 2 == 0));
  std::unique_ptr<Tree> mounted = MountProgramUnion("", directories, seed % 3 == 0 ? 48 : 0);

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

INSTANTIATE_TEST_SUITE_P(Seeds, CrowdTest, testing::Range(1, 5));

}  // namespace
}  // namespace acetate::differential
