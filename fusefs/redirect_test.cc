#include "fusefs/redirect.h"

#include <gtest/gtest.h>

namespace acetate::fusefs {
namespace {

using Names = std::vector<std::string>;

TEST(RedirectTest, ANameOrAnAbsolutePath) {
  ErrnoOr<Redirect> name = Redirect::Parse("old");
  ASSERT_TRUE(name.ok());
  EXPECT_FALSE(name->absolute);
  EXPECT_EQ(name->names, Names{"old"});
  ErrnoOr<Redirect> path = Redirect::Parse("/a/b c/..d");
  ASSERT_TRUE(path.ok());
  EXPECT_TRUE(path->absolute);
  EXPECT_EQ(path->names, (Names{"a", "b c", "..d"}));
}

TEST(RedirectTest, WhatLeadsElsewhereIsEio) {
  const std::string nul("/a\0b", 4);
  for (const std::string& value :
       {std::string(), std::string("/"), std::string("a/b"), std::string(".."), std::string("/a/../b"),
        std::string("/a//b"), std::string("/a/"), std::string("."), "/" + std::string(256, 'x'), nul}) {
    EXPECT_EQ(Redirect::Parse(value).error(), EIO) << value;
  }
  EXPECT_TRUE(Redirect::Parse("/" + std::string(255, 'x')).ok());
}

TEST(RedirectTest, ADirectoryOnTheWayMayBeRedirectedToo) {
  const Redirect path = *Redirect::Parse("/a/b/c");
  EXPECT_EQ(path.Through(1, *Redirect::Parse("old")).names, (Names{"a", "old", "c"}));
  EXPECT_EQ(path.Through(1, *Redirect::Parse("/x/y")).names, (Names{"x", "y", "c"}));
  const Redirect name = *Redirect::Parse("n");
  EXPECT_FALSE(name.Through(0, *Redirect::Parse("m")).absolute);
  EXPECT_TRUE(name.Through(0, *Redirect::Parse("/m")).absolute);
}

}  // namespace
}  // namespace acetate::fusefs
