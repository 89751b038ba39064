#include "fusefs/merge_dir.h"

#include <dirent.h>
#include <gtest/gtest.h>

#include <map>

namespace acetate::fusefs {
namespace {

LayerEntry File(const std::string& name, uint64_t ino = 1) { return {name, ino, DT_REG, false}; }
LayerEntry Dir(const std::string& name, uint64_t ino = 1) { return {name, ino, DT_DIR, false}; }
LayerEntry Whiteout(const std::string& name) { return {name, 0, DT_CHR, true}; }

// A stack of listings, top first.
std::map<std::string, MergedEntry> Merge(const std::vector<std::vector<LayerEntry>>& layers,
                                         bool count_whiteouts = true) {
  std::vector<LayerListing> listings;
  for (const auto& entries : layers) listings.push_back({count_whiteouts, entries});
  std::map<std::string, MergedEntry> result;
  for (MergedEntry& entry : MergeDir(listings)) result.emplace(entry.name, entry);
  return result;
}

using Layers = std::vector<uint16_t>;
constexpr uint16_t kNone = MergedEntry::kNone;

TEST(MergeDirTest, TopLayerDecides) {
  auto merged = Merge({{File("a", 10)}, {File("a", 20), File("b", 21)}});
  EXPECT_EQ(merged["a"].ino, 10u);
  EXPECT_EQ(merged["a"].layers, Layers{0});
  EXPECT_TRUE(merged["a"].below);
  EXPECT_EQ(merged["b"].layers, Layers{1});
  EXPECT_FALSE(merged["b"].below);
  EXPECT_EQ(merged["b"].end, kNone);
}

TEST(MergeDirTest, WhiteoutHidesAllLayersBelow) {
  auto merged = Merge({{}, {Whiteout("a")}, {File("a")}});
  EXPECT_TRUE(merged["a"].whiteout());
  EXPECT_EQ(merged["a"].end, 1);
  EXPECT_TRUE(merged["a"].below);
}

TEST(MergeDirTest, WhiteoutKnowsWhetherItHidesAnything) {
  auto merged = Merge({{Whiteout("gone"), Whiteout("twice")}, {Whiteout("twice")}, {File("twice")}});
  EXPECT_TRUE(merged["gone"].whiteout());
  EXPECT_FALSE(merged["gone"].below);
  EXPECT_EQ(merged["twice"].end, 0);
  EXPECT_FALSE(merged["twice"].below);
}

TEST(MergeDirTest, ObjectOverWhiteoutLeavesNothingBelow) {
  auto merged = Merge({{File("a")}, {Whiteout("a")}, {File("a")}});
  EXPECT_FALSE(merged["a"].below);
  EXPECT_EQ(merged["a"].end, 1);
}

TEST(MergeDirTest, ObjectBetweenIsBelowTheUpperOne) {
  auto merged = Merge({{File("a")}, {File("a")}, {Whiteout("a")}, {File("a")}});
  EXPECT_TRUE(merged["a"].below);
  EXPECT_EQ(merged["a"].end, 2);
}

TEST(MergeDirTest, DirectoriesMergeDownToTheFirstOther) {
  auto merged = Merge({{Dir("d")}, {Dir("d")}, {}, {Dir("d")}, {File("d")}, {Dir("d")}});
  EXPECT_EQ(merged["d"].layers, (Layers{0, 1, 3}));
  EXPECT_EQ(merged["d"].end, 4);
  EXPECT_TRUE(merged["d"].below);
}

TEST(MergeDirTest, WhiteoutEndsMerging) {
  auto merged = Merge({{Dir("d")}, {Whiteout("d")}, {Dir("d")}});
  EXPECT_EQ(merged["d"].layers, Layers{0});
  EXPECT_EQ(merged["d"].end, 1);
  EXPECT_FALSE(merged["d"].below);
}

TEST(MergeDirTest, FileOverDirectoryIsAFile) {
  auto merged = Merge({{File("x")}, {Dir("x")}});
  EXPECT_EQ(merged["x"].type, DT_REG);
  EXPECT_EQ(merged["x"].layers, Layers{0});
  EXPECT_TRUE(merged["x"].below);
  EXPECT_EQ(merged["x"].end, kNone);
}

TEST(MergeDirTest, WhiteoutBesideItsObjectHidesOnlyBelow) {
  auto merged = Merge({{}, {Whiteout("d"), Dir("d", 5)}, {Dir("d", 6)}});
  EXPECT_EQ(merged["d"].layers, Layers{1});
  EXPECT_EQ(merged["d"].ino, 5u);
  EXPECT_EQ(merged["d"].end, 1);
  EXPECT_FALSE(merged["d"].below);
}

TEST(MergeDirTest, WhiteoutsThatDoNotCountAreNoEntries) {
  auto merged = Merge({{Whiteout("a"), Whiteout("b")}, {File("a")}}, /*count_whiteouts=*/false);
  EXPECT_EQ(merged["a"].layers, Layers{1});
  EXPECT_EQ(merged.count("b"), 0u);
}

}  // namespace
}  // namespace acetate::fusefs
