#include "tests/differential/judge.h"

#include <gtest/gtest.h>
#include <linux/fs.h>

#include "tests/differential/minimise.h"

namespace acetate::differential {
namespace {

Op Rename() {
  Op op;
  op.kind = OpKind::kRename;
  return op;
}

TEST(JudgeTest, EqualOutcomesAreNoDifference) { EXPECT_FALSE(Judge(Rename(), {"ok", "ok", "ok"}, "fusefs")); }

TEST(JudgeTest, NamesTheFirstPartThatDiffers) {
  const auto verdict = Judge(Rename(), {"ok | a: x", "ok | a: y", "ok | a: x"}, "fusefs");
  ASSERT_TRUE(verdict);
  EXPECT_EQ(verdict->what, "plain directory <a: x> but fusefs <a: y>");
}

TEST(JudgeTest, ALineThatOnlyOneHasIsNamed) {
  const auto verdict = Judge(Rename(), {"a 1\nc 3", "a 1\nb 2\nc 3", "a 1\nc 3"}, "fusefs");
  ASSERT_TRUE(verdict);
  EXPECT_EQ(verdict->what, "plain directory <(nothing)> but fusefs <b 2>");
}

TEST(JudgeTest, TheKernelMustAgreeToo) { EXPECT_TRUE(Judge(Rename(), {"EIO", "ok", "ok"}, "fusefs")); }

TEST(JudgeTest, WhereTheKernelSaysExdevTheUnionMustToo) {
  EXPECT_FALSE(Judge(Rename(), {"EXDEV", "EXDEV", ""}, "fusefs"));
  EXPECT_TRUE(Judge(Rename(), {"EXDEV", "ok", ""}, "fusefs"));
}

TEST(AbbreviateTest, ShortensRuns) { EXPECT_EQ(Abbreviate("a/" + std::string(255, 'n') + "/b"), "a/n*255/b"); }

TEST(MinimiseTest, KeepsWhatTheFailureNeeds) {
  Trace trace;
  trace.layers.count = 1;
  Entry root;
  root.type = EntryType::kDirectory;
  trace.layers.entries = {root};
  for (int i = 0; i < 100; ++i) {
    Op op;
    op.kind = OpKind::kMkdir;
    op.length = i;
    trace.ops.push_back(op);
  }
  const auto fails = [](const Trace& candidate) {
    bool has_17 = false;
    bool has_80 = false;
    for (const Op& op : candidate.ops) {
      has_17 |= op.length == 17;
      has_80 |= op.length == 80;
    }
    return has_17 && has_80;
  };
  const Trace smaller = Minimise(trace, fails, 10);
  ASSERT_EQ(smaller.ops.size(), 2u);
  EXPECT_EQ(smaller.ops[0].length, 17);
  EXPECT_EQ(smaller.ops[1].length, 80);
  EXPECT_EQ(smaller.layers.entries.size(), 1u);
}

}  // namespace
}  // namespace acetate::differential
