#include "launcher/passwd.h"

#include <gtest/gtest.h>

namespace acetate::launcher {
namespace {

constexpr char kPasswd[] =
    "# comment\n"
    "bad\n"
    "bad:x:-1:0::/:\n"
    "bad:x:4294967295:0::/:\n"
    ":x:7:7::/:\n"
    "root:x:0:0:root:/root:/bin/sh\n"
    "www:x:33:34::/var/www:/bin/sh\n"
    "www:x:99:99::/second:/bin/sh\n"
    "short:x:5:6\n"
    "last:x:1000:1000:a b c:/home/last:/bin/sh";

constexpr char kGroup[] =
    "root:x:0:\n"
    "tty:x:5:www,last\n"
    "disk:x:6:wwwx,xlast,www\n"
    "bad:x:x:www\n"
    "dup:x:8:last,last\n"
    "end:x:9:last";

TEST(PasswdTest, FindsUsersByNameAndNumber) {
  EXPECT_EQ(FindUser(kPasswd, "root")->uid, 0u);
  EXPECT_EQ(FindUser(kPasswd, "www")->uid, 33u);
  EXPECT_EQ(FindUser(kPasswd, "www")->gid, 34u);
  EXPECT_EQ(FindUser(kPasswd, "www")->home, "/var/www");
  EXPECT_EQ(FindUser(kPasswd, 1000u)->name, "last");
  EXPECT_EQ(FindUser(kPasswd, 1000u)->home, "/home/last");
  EXPECT_EQ(FindUser(kPasswd, "short")->home, "");
}

TEST(PasswdTest, PassesOverWhatIsMalformed) {
  EXPECT_FALSE(FindUser(kPasswd, "bad").has_value());
  EXPECT_FALSE(FindUser(kPasswd, 7u).has_value());
  EXPECT_FALSE(FindUser(kPasswd, "# comment").has_value());
  EXPECT_FALSE(FindUser("", "root").has_value());
  EXPECT_FALSE(FindUser("\n\n:::::\n", "root").has_value());
  EXPECT_FALSE(FindGroup(kGroup, "bad").has_value());
}

TEST(PasswdTest, FindsGroupsAndMemberships) {
  EXPECT_EQ(FindGroup(kGroup, "disk"), 6u);
  EXPECT_FALSE(FindGroup(kGroup, "none").has_value());
  gid_t groups[8];
  ASSERT_EQ(FindMemberships(kGroup, "last", groups, 8), 3u);
  EXPECT_EQ(groups[0], 5u);
  EXPECT_EQ(groups[1], 8u);
  EXPECT_EQ(groups[2], 9u);
  EXPECT_EQ(FindMemberships(kGroup, "last", groups, 2), 2u);
  EXPECT_EQ(FindMemberships(kGroup, "www", groups, 8), 2u);
  EXPECT_EQ(FindMemberships(kGroup, "nobody", groups, 8), 0u);
}

}  // namespace
}  // namespace acetate::launcher
