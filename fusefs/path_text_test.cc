#include "fusefs/path_text.h"

#include <gtest/gtest.h>

#include <set>

namespace acetate::fusefs {
namespace {

TEST(PathTextTest, OrdinaryNamesStayAsTheyAre) {
  for (const char* path : {"", "a/b", "with blank",
                           "tr\xc3\xa4"
                           "f",
                           "\xe6\x97\xa5\xe6\x9c\xac", "\xf0\x9f\x98\x80"}) {
    EXPECT_EQ(PathText(path), path);
  }
}

TEST(PathTextTest, WhatWouldBreakLinesOrTerminalsIsEscaped) {
  EXPECT_EQ(PathText("a\nb"), "a\\nb");
  EXPECT_EQ(PathText("a\tb"), "a\\tb");
  EXPECT_EQ(PathText("\x1b[2J\x7f"), "\\x1b[2J\\x7f");
  EXPECT_EQ(PathText("\xc2\x9b"
                     "2J"),
            "\\xc2\\x9b2J")
      << "CSI as one character";
  EXPECT_EQ(PathText("a\\nb"), "a\\\\nb");
  EXPECT_EQ(PathText("a -> b"), "a\\x20-> b");
}

TEST(PathTextTest, BytesThatAreNoUtf8) {
  EXPECT_EQ(PathText("\xff"
                     "a"),
            "\\xffa");
  EXPECT_EQ(PathText("\xc3"), "\\xc3") << "cut short";
  EXPECT_EQ(PathText("\xc0\xaf"), "\\xc0\\xaf") << "a slash in too long a form";
  EXPECT_EQ(PathText("\xed\xa0\x80"), "\\xed\\xa0\\x80") << "a surrogate";
  EXPECT_EQ(PathText("\xf4\x90\x80\x80"), "\\xf4\\x90\\x80\\x80") << "above the last character";
}

TEST(PathTextTest, NoTwoNamesLookAlike) {
  std::set<std::string> seen;
  for (int a = 1; a < 256; ++a) {
    for (int b = 1; b < 256; ++b) {
      const std::string name = {static_cast<char>(a), static_cast<char>(b)};
      EXPECT_TRUE(seen.insert(PathText(name)).second) << PathText(name);
    }
  }
  EXPECT_NE(PathText("a\\x20b"), PathText("a b"));
}

TEST(PathTextTest, JsonIsValidForEveryName) {
  for (int a = 1; a < 256; ++a) {
    for (int b = 1; b < 256; ++b) {
      nlohmann::json object;
      PutPath(&object, "path", std::string{static_cast<char>(a), static_cast<char>(b), '/'});
      ASSERT_TRUE(nlohmann::json::accept(object.dump())) << a << " " << b;
      EXPECT_EQ(object.size(), 1u);
    }
  }
  nlohmann::json object;
  PutPath(&object, "path", "a\nb");
  PutPath(&object, "from", "\xff");
  EXPECT_EQ(object.dump(), R"({"from_base64":"/w==","path":"a\nb"})");
}

}  // namespace
}  // namespace acetate::fusefs
