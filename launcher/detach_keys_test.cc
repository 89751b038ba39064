#include "launcher/detach_keys.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace acetate::launcher {
namespace {

TEST(DetachKeysTest, AreReadFromNames) {
  EXPECT_EQ(*ParseDetachKeys("ctrl-p,ctrl-q"), "\x10\x11");
  EXPECT_EQ(*ParseDetachKeys("ctrl-P,x"), "\x10x");
  EXPECT_EQ(*ParseDetachKeys("ctrl-@,ctrl-[,ctrl-\\,ctrl-],ctrl-^,ctrl-_"), std::string("\0\x1b\x1c\x1d\x1e\x1f", 6));
  EXPECT_EQ(*ParseDetachKeys("a"), "a");
  EXPECT_EQ(*ParseDetachKeys(""), "");
}

TEST(DetachKeysTest, OtherNamesAreErrors) {
  for (const char* text : {"ctrl-", "ctrl-pp", "ctrl-1", "ab", "a,,b", ",", "ctrl-p,"}) {
    EXPECT_FALSE(ParseDetachKeys(text).ok()) << text;
  }
}

// Filters the pieces one after the other; what came through, and '!' where the keys were seen.
std::string Through(const std::string& keys, const std::vector<std::string>& pieces) {
  DetachKeys filter(keys);
  std::string out;
  for (const std::string& piece : pieces) {
    if (filter.Filter(piece, &out)) return out + "!";
  }
  return out;
}

TEST(DetachKeysTest, AreFoundWithinAndAcrossReads) {
  EXPECT_EQ(Through("\x10\x11", {"ls\n\x10\x11more"}), "ls\n!");
  EXPECT_EQ(Through("\x10\x11", {"ls\n\x10", "\x11"}), "ls\n!");
  EXPECT_EQ(Through("q", {"aq"}), "a!");
}

TEST(DetachKeysTest, ABeginningThatIsNoneGoesThrough) {
  EXPECT_EQ(Through("\x10\x11", {"\x10", "a"}),
            "\x10"
            "a");
  EXPECT_EQ(Through("\x10\x11", {"\x10\x10\x11"}), "\x10!");
  EXPECT_EQ(Through("aab", {"aaab"}), "a!");
  EXPECT_EQ(Through("aab", {"aac", "ab"}), "aacab");
  EXPECT_EQ(Through("abac", {"abab", "ac"}), "ab!");
}

TEST(DetachKeysTest, NoKeysMeanThatAllGoesThrough) { EXPECT_EQ(Through("", {"\x10\x11"}), "\x10\x11"); }

}  // namespace
}  // namespace acetate::launcher
