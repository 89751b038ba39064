#include "fusefs/merge_dir.h"

#include <dirent.h>
#include <gtest/gtest.h>

#include <map>

namespace acetate::fusefs {
namespace {

LayerEntry File(const std::string& name, uint64_t ino = 1) { return {name, ino, DT_REG, false}; }
LayerEntry Dir(const std::string& name, uint64_t ino = 1) { return {name, ino, DT_DIR, false}; }
LayerEntry Whiteout(const std::string& name) { return {name, 0, DT_CHR, true}; }

// A stack of listings, top first; the first is the upper unless `read_only`.
std::map<std::string, MergedEntry> Merge(std::vector<std::vector<LayerEntry>> layers, bool read_only = false,
                                         bool count_whiteouts = true) {
  std::vector<LayerListing> listings;
  for (auto& entries : layers) {
    bool upper = listings.empty() && !read_only;
    auto lower = static_cast<uint16_t>(listings.size() - (read_only ? 0 : 1));
    listings.push_back({upper, lower, count_whiteouts, entries});
  }
  std::map<std::string, MergedEntry> result;
  for (MergedEntry& entry : MergeDir(listings)) result.emplace(entry.name, entry);
  return result;
}

using Lowers = std::vector<uint16_t>;

TEST(MergeDirTest, TopLayerDecides) {
  auto merged = Merge({{File("a", 10)}, {File("a", 20), File("b", 21)}});
  EXPECT_EQ(merged["a"].ino, 10u);
  EXPECT_TRUE(merged["a"].below);
  EXPECT_EQ(merged["b"].lowers, Lowers{0});
  EXPECT_TRUE(merged["b"].below);
}

TEST(MergeDirTest, UpperAloneLeavesNothingBelow) {
  auto merged = Merge({{File("a")}, {File("b")}});
  EXPECT_FALSE(merged["a"].below);
}

TEST(MergeDirTest, WhiteoutHidesAllLayersBelow) {
  auto merged = Merge({{}, {Whiteout("a")}, {File("a")}});
  EXPECT_EQ(merged.count("a"), 0u);
}

TEST(MergeDirTest, UpperWhiteoutIsKeptAndKnowsWhatItHides) {
  auto merged = Merge({{Whiteout("a"), Whiteout("gone")}, {File("a")}});
  EXPECT_TRUE(merged["a"].whiteout);
  EXPECT_TRUE(merged["a"].below);
  EXPECT_TRUE(merged["a"].lowers.empty());
  EXPECT_TRUE(merged["gone"].whiteout);
  EXPECT_FALSE(merged["gone"].below);
}

TEST(MergeDirTest, UpperWhiteoutOverLowerWhiteoutHidesNothing) {
  auto merged = Merge({{Whiteout("a")}, {Whiteout("a")}, {File("a")}});
  EXPECT_TRUE(merged["a"].whiteout);
  EXPECT_FALSE(merged["a"].below);
}

TEST(MergeDirTest, UpperObjectOverLowerWhiteoutLeavesNothingBelow) {
  auto merged = Merge({{File("a")}, {Whiteout("a")}, {File("a")}});
  EXPECT_FALSE(merged["a"].below);
}

TEST(MergeDirTest, DirectoriesMergeDownToTheFirstOther) {
  auto merged = Merge({{Dir("d")}, {Dir("d")}, {}, {Dir("d")}, {File("d")}, {Dir("d")}});
  EXPECT_TRUE(merged["d"].in_upper);
  EXPECT_EQ(merged["d"].lowers, (Lowers{0, 2}));
}

TEST(MergeDirTest, WhiteoutEndsMerging) {
  auto merged = Merge({{Dir("d")}, {Whiteout("d")}, {Dir("d")}});
  EXPECT_TRUE(merged["d"].in_upper);
  EXPECT_TRUE(merged["d"].lowers.empty());
  EXPECT_FALSE(merged["d"].below);
}

TEST(MergeDirTest, FileOverDirectoryIsAFile) {
  auto merged = Merge({{File("x")}, {Dir("x")}});
  EXPECT_EQ(merged["x"].type, DT_REG);
  EXPECT_TRUE(merged["x"].in_upper);
  EXPECT_TRUE(merged["x"].lowers.empty());
  EXPECT_TRUE(merged["x"].below);
}

TEST(MergeDirTest, WhiteoutBesideItsObjectHidesOnlyBelow) {
  auto merged = Merge({{}, {Whiteout("d"), Dir("d", 5)}, {Dir("d", 6)}});
  EXPECT_EQ(merged["d"].lowers, Lowers{0});
  EXPECT_EQ(merged["d"].ino, 5u);
}

TEST(MergeDirTest, WhiteoutsThatDoNotCountAreNoEntries) {
  auto merged = Merge({{Whiteout("a")}, {File("a")}}, /*read_only=*/true, /*count_whiteouts=*/false);
  EXPECT_EQ(merged["a"].lowers, Lowers{1});
  EXPECT_FALSE(merged["a"].whiteout);
}

TEST(MergeDirTest, ReadOnlyUnionKeepsNoWhiteouts) {
  auto merged = Merge({{Whiteout("a")}, {File("a")}}, /*read_only=*/true);
  EXPECT_EQ(merged.count("a"), 0u);
}

}  // namespace
}  // namespace acetate::fusefs
