#include "fusefs/override_stat.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

namespace acetate::fusefs {
namespace {

TEST(OverrideStatTest, WrittenAndReadBack) {
  const struct {
    StatRecord record;
    const char* text;
  } cases[] = {
      {{0, 0, S_IFREG | 0644, 0}, "0:0:0644:file"},
      {{33, 44, S_IFREG | 06755, 0}, "33:44:6755:file"},
      {{4294967294, 1, S_IFIFO | 0600, 0}, "4294967294:1:0600:pipe"},
      {{1, 2, S_IFSOCK | 0777, 0}, "1:2:0777:socket"},
      {{0, 6, S_IFBLK | 0660, makedev(8, 17)}, "0:6:0660:block-8-17"},
      {{0, 0, S_IFCHR | 0666, makedev(4095, 1048575)}, "0:0:0666:char-4095-1048575"},
  };
  for (const auto& expected : cases) {
    EXPECT_EQ(FormatRecord(expected.record), expected.text);
    const std::optional<StatRecord> read = ParseRecord(expected.text, S_IFREG);
    ASSERT_TRUE(read.has_value()) << expected.text;
    EXPECT_EQ(read->uid, expected.record.uid);
    EXPECT_EQ(read->gid, expected.record.gid);
    EXPECT_EQ(read->mode, expected.record.mode) << expected.text;
    EXPECT_EQ(read->device, expected.record.device) << expected.text;
  }
  EXPECT_EQ(FormatRecord({0, 0, S_IFDIR | 01777, 0}), "0:0:1777:dir");
  EXPECT_EQ(FormatRecord({7, 8, S_IFLNK | 0777, 0}), "7:8:0777:symlink");
}

TEST(OverrideStatTest, WithoutATypeItIsTheStoredOne) {
  // As fuse-overlayfs writes them, with and without type bits in the mode.
  EXPECT_EQ(ParseRecord("33:44:100644", S_IFREG)->mode, S_IFREG | 0644u);
  EXPECT_EQ(ParseRecord("0:0:40755", S_IFDIR)->mode, S_IFDIR | 0755u);
  EXPECT_EQ(ParseRecord("0:0:755", S_IFLNK)->mode, S_IFLNK | 0755u);
}

TEST(OverrideStatTest, AnIdThatWasLeftOutIsTheStoredOne) {
  EXPECT_EQ(ParseRecord("-1:5:755", S_IFREG)->uid, static_cast<uid_t>(-1));
  EXPECT_EQ(ParseRecord("5:4294967295:755", S_IFREG)->gid, static_cast<gid_t>(-1));
}

TEST(OverrideStatTest, WhatLaterVersionsAddIsPassedOver) {
  EXPECT_EQ(ParseRecord("1:2:0600:char-1-3-x:more", S_IFREG)->device, makedev(1, 3));
  EXPECT_TRUE(ParseRecord("1:2:0600:file-x", S_IFREG).has_value());
}

TEST(OverrideStatTest, WhatIsNoRecord) {
  for (const char* text :
       {"", ":", "::", "0:0", "0:0:", "a:0:755", "0:b:755", "0:0:8", "0:0:0x1", "-2:0:755", "4294967296:0:755",
        "0:0:75500000", "0:0:755:", "0:0:755:thing", "0:0:755:char", "0:0:755:char-1", "0:0:755:block-a-1"}) {
    EXPECT_FALSE(ParseRecord(text, S_IFREG).has_value()) << text;
  }
  EXPECT_FALSE(ParseRecord(std::string(5000, '7'), S_IFREG).has_value());
}

TEST(OverrideStatTest, OnlyARegularFileStandsForAnotherType) {
  EXPECT_FALSE(ParseRecord("0:0:0755:dir", S_IFREG).has_value());
  EXPECT_FALSE(ParseRecord("0:0:0777:symlink", S_IFREG).has_value());
  EXPECT_FALSE(ParseRecord("0:0:0755:file", S_IFDIR).has_value());
  EXPECT_FALSE(ParseRecord("0:0:0755:char-1-3", S_IFDIR).has_value());
  EXPECT_TRUE(ParseRecord("0:0:0777:symlink", S_IFLNK).has_value());
}

}  // namespace
}  // namespace acetate::fusefs
