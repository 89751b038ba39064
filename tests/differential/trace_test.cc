// Traces: what is written can be read again, and layers flatten to what a union shows.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "tests/differential/layers.h"
#include "tests/differential/op.h"
#include "tests/differential/record.h"

namespace acetate::differential {
namespace {

Entry Made(EntryType type, int layer, const std::string& path) {
  Entry entry;
  entry.type = type;
  entry.layer = layer;
  entry.path = path;
  return entry;
}

std::vector<std::string> Paths(const std::vector<Entry>& entries) {
  std::vector<std::string> paths;
  for (const Entry& entry : entries) paths.push_back(entry.path);
  return paths;
}

TEST(RecordTest, EveryByteSurvives) {
  std::string bytes;
  for (int c = 0; c < 256; ++c) bytes += static_cast<char>(c);
  EXPECT_EQ(Unescape(Escape(bytes)), bytes);
  EXPECT_EQ(Unescape(Escape("")), "");
  EXPECT_EQ(Escape("a b"), "a%20b");
}

TEST(OpTest, ALineHoldsTheWholeOperation) {
  Op op;
  op.kind = OpKind::kRename;
  op.as = 2;
  op.check = false;
  op.path = "a b/\xff";
  op.path2 = std::string(255, 'n');
  op.flags = 3;
  op.mtime = -1;
  const Op read = OpFromRecord(Record::Parse(ToString(op)));
  EXPECT_EQ(ToString(read), ToString(op));
  EXPECT_EQ(read.path, op.path);
  EXPECT_EQ(read.flags, 3);
  EXPECT_FALSE(read.check);
}

TEST(LayersTest, RandomEntriesSurviveTheTrace) {
  Random random(7);
  const Layers layers = RandomLayers(random);
  ASSERT_GT(layers.entries.size(), 10u);
  for (const Entry& entry : layers.entries) {
    EXPECT_EQ(ToRecord(EntryFromRecord(ToRecord(entry))).ToString(), ToRecord(entry).ToString());
  }
}

TEST(LayersTest, TheSameSeedMakesTheSameLayers) {
  Random one(11);
  Random two(11);
  const Layers layers = RandomLayers(one);
  const Layers again = RandomLayers(two);
  ASSERT_EQ(layers.entries.size(), again.entries.size());
  EXPECT_EQ(ToRecord(layers.entries.back()).ToString(), ToRecord(again.entries.back()).ToString());
}

TEST(FlattenTest, DirectoriesMergeAndFilesCover) {
  Layers layers;
  layers.entries = {Made(EntryType::kDirectory, 0, ""),       Made(EntryType::kDirectory, 0, "d"),
                    Made(EntryType::kFile, 0, "covers"),      Made(EntryType::kDirectory, 1, ""),
                    Made(EntryType::kDirectory, 1, "d"),      Made(EntryType::kFile, 1, "d/below"),
                    Made(EntryType::kDirectory, 1, "covers"), Made(EntryType::kFile, 1, "covers/gone")};
  EXPECT_EQ(Paths(Flatten(layers)), (std::vector<std::string>{"", "covers", "d", "d/below"}));
}

TEST(FlattenTest, WhiteoutsAndOpaqueDirectoriesHide) {
  Layers layers;
  layers.entries = {Made(EntryType::kDirectory, 0, ""),       Made(EntryType::kWhiteout, 0, "w"),
                    Made(EntryType::kDirectory, 0, "opaque"), Made(EntryType::kDirectory, 1, ""),
                    Made(EntryType::kDirectory, 1, "w"),      Made(EntryType::kFile, 1, "w/gone"),
                    Made(EntryType::kDirectory, 1, "opaque"), Made(EntryType::kFile, 1, "opaque/gone")};
  layers.entries[2].opaque = true;
  EXPECT_EQ(Paths(Flatten(layers)), (std::vector<std::string>{"", "opaque"}));
}

TEST(SoundTest, DropsWhatLostItsGround) {
  Layers layers;
  Entry link = Made(EntryType::kHardLink, 0, "link");
  link.target = "first";  // not there
  layers.entries = {Made(EntryType::kDirectory, 0, ""),
                    Made(EntryType::kFile, 0, "no/parent"),
                    link,
                    Made(EntryType::kWhiteout, 0, "hides"),
                    Made(EntryType::kWhiteout, 0, "hides-nothing"),
                    Made(EntryType::kDirectory, 1, ""),
                    Made(EntryType::kFile, 1, "hides")};
  EXPECT_EQ(Paths(Sound(layers).entries), (std::vector<std::string>{"", "hides", "", "hides"}));
}

}  // namespace
}  // namespace acetate::differential
