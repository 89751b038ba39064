// Files of variables.
#include "launcher/env_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "common/temp_dir.h"

namespace acetate::launcher {
namespace {

using ::testing::HasSubstr;

constexpr const char* kEnviron[] = {"HOME=/root", "LANG=C", nullptr};

std::vector<std::string> Parse(const std::string& text) {
  absl::StatusOr<std::vector<std::string>> entries = ParseEnvironmentFile(text, kEnviron);
  EXPECT_TRUE(entries.ok()) << entries.status();
  return entries.ok() ? *entries : std::vector<std::string>();
}

std::string ErrorOf(const std::string& text) {
  return std::string(ParseEnvironmentFile(text, kEnviron).status().message());
}

using Strings = std::vector<std::string>;

TEST(EnvFileTest, ValuesStandAsTheyAre) {
  EXPECT_EQ(Parse("A=1\nB=\"two words\" \nC=\nD=x=y#z\n"), (Strings{"A=1", "B=\"two words\" ", "C=", "D=x=y#z"}));
  EXPECT_EQ(Parse("A=1\r\n  B=2\r\n"), (Strings{"A=1", "B=2"}));
  EXPECT_EQ(Parse("LAST=line"), Strings{"LAST=line"});
}

TEST(EnvFileTest, LinesThatSayNothing) { EXPECT_EQ(Parse("\n# A=1\n   \n  # B=2\nC=3\n"), Strings{"C=3"}); }

TEST(EnvFileTest, BareNamesAreTaken) { EXPECT_EQ(Parse("LANG\nNONE\n"), Strings{"LANG=C"}); }

TEST(EnvFileTest, ErrorsNameTheLine) {
  EXPECT_EQ(ErrorOf("A=1\n=2\n"), "has in line 2 no name before '='");
  EXPECT_EQ(ErrorOf("A=1\n\nB C=2\n"), "has in line 3 a name with a space in it");
  EXPECT_EQ(ErrorOf(std::string("A=\0\n", 4)), "has a NUL in line 1");
}

TEST(EnvFileTest, OfAFile) {
  const TempDir dir;
  WriteFile(dir / "file", "A=1\n");
  EXPECT_EQ(*ReadEnvironmentFile(dir / "file", kEnviron), Strings{"A=1"});
  EXPECT_THAT(ReadEnvironmentFile(dir / "none", kEnviron).status().message(),
              HasSubstr("cannot be read: No such file"));
  WriteFile(dir / "large", std::string((1 << 20) + 1, '#'));
  EXPECT_THAT(ReadEnvironmentFile(dir / "large", kEnviron).status().message(), HasSubstr("cannot be read"));
}

}  // namespace
}  // namespace acetate::launcher
