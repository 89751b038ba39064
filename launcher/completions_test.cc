// The shells' completions know every verb and flag that the command line takes, and no others.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/temp_dir.h"
#include "launcher/flag_table.h"

namespace acetate::launcher {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::UnorderedElementsAreArray;

std::string Directory() { return "launcher/completions/"; }

// The words that a bash script prints after the completion has been sourced.
std::vector<std::string> Bash(const std::string& script) {
  std::string command = absl::StrCat("bash -c 'source ", Directory(), "launch.bash; ", script, "'");
  std::unique_ptr<FILE, int (*)(FILE*)> pipe(popen(command.c_str(), "r"), pclose);
  std::string text;
  char buffer[4096];
  while (size_t n = fread(buffer, 1, sizeof(buffer), pipe.get())) text.append(buffer, n);
  return absl::StrSplit(text, absl::ByAnyChar(" \n"), absl::SkipEmpty());
}

// What bash offers at the end of these words.
std::vector<std::string> Offers(const std::string& words, int count) {
  return Bash(absl::StrCat("COMP_WORDS=(", words, "); COMP_CWORD=", count - 1, "; _launch; echo \"${COMPREPLY[@]}\""));
}

// As they are written, of the verb: those with a value only, or all.
std::vector<std::string> FlagsOf(Verb verb, bool with_value_only) {
  std::vector<std::string> flags;
  for (const Flag& flag : AllFlags()) {
    if (!flag.IsOf(verb) || (with_value_only && flag.value == nullptr)) continue;
    flags.push_back(absl::StrCat("--", flag.name));
    if (flag.letter != 0) flags.push_back(absl::StrCat("-", std::string(1, flag.letter)));
  }
  return flags;
}

std::vector<std::string> Lines(const std::string& text) { return absl::StrSplit(text, '\n'); }

TEST(CompletionsTest, BashOffersEveryVerbAndFlag) {
  std::vector<std::string> verbs;
  for (const VerbEntry& verb : AllVerbs()) verbs.push_back(verb.name);
  EXPECT_THAT(Offers("launch \"\"", 2), UnorderedElementsAreArray(verbs));
  for (const VerbEntry& verb : AllVerbs()) {
    SCOPED_TRACE(verb.name);
    EXPECT_THAT(Offers(absl::StrCat("launch ", verb.name, " -"), 3),
                UnorderedElementsAreArray(FlagsOf(verb.verb, false)));
    EXPECT_THAT(Bash(absl::StrCat("_launch_flags ", verb.name, "; echo $with_value")),
                UnorderedElementsAreArray(FlagsOf(verb.verb, true)));
  }
  EXPECT_THAT(Offers("launch -", 2), UnorderedElementsAreArray(FlagsOf(Verb::kRun, false)));
}

TEST(CompletionsTest, BashKnowsWhereTheCommandBegins) {
  EXPECT_THAT(Offers("launch run --memory 1g --na", 5), ::testing::ElementsAre("--name"));
  EXPECT_THAT(Offers("launch run --image d ls -", 6), ::testing::IsEmpty());
  EXPECT_THAT(Offers("launch stop -s US", 4), ::testing::ElementsAre("USR1", "USR2"));
}

TEST(CompletionsTest, ZshKnowsEveryVerbAndFlag) {
  std::string text = ReadFile(Directory() + "_launch");
  for (const VerbEntry& verb : AllVerbs()) {
    SCOPED_TRACE(verb.name);
    EXPECT_THAT(text, HasSubstr(absl::StrCat("\n    '", verb.name, ":")));
    size_t begin = text.find(absl::StrCat("\n    ", verb.name, ")\n"));
    ASSERT_NE(begin, std::string::npos);
    std::string block = text.substr(begin, text.find(";;", begin) - begin);
    size_t expected = 0;
    for (const Flag& flag : AllFlags()) {
      if (!flag.IsOf(verb.verb)) continue;
      ++expected;
      std::string end = flag.value != nullptr ? "=" : "";
      std::string name = absl::StrCat("--", flag.name, end);
      std::string letter(1, flag.letter);
      EXPECT_THAT(block, HasSubstr(flag.letter != 0
                                       ? absl::StrCat("{-", letter, flag.value != nullptr ? "+" : "", ",", name, "}'[")
                                       : absl::StrCat(name, "[")));
    }
    // One line each, besides those of the block itself: verb, "flags=(", ")", and _arguments.
    EXPECT_EQ(Lines(block).size(), expected + 6) << block;
  }
}

TEST(CompletionsTest, FishKnowsEveryVerbAndFlag) {
  std::string text = ReadFile(Directory() + "launch.fish");
  std::vector<std::string> lines = Lines(text);
  size_t expected = 0;
  for (const VerbEntry& verb : AllVerbs()) {
    EXPECT_THAT(lines, Contains(HasSubstr(absl::StrCat("'__fish_use_subcommand' -a ", verb.name, " "))));
    for (const Flag& flag : AllFlags()) {
      if (!flag.IsOf(verb.verb)) continue;
      ++expected;
      EXPECT_THAT(
          lines,
          Contains(HasSubstr(absl::StrCat("'__launch_verb ", verb.name, "' -l ", flag.name, " ",
                                          flag.letter != 0 ? absl::StrCat("-s ", std::string(1, flag.letter), " ") : "",
                                          flag.value != nullptr ? "-r " : ""))));
    }
  }
  size_t present = 0;
  for (const std::string& line : lines) present += line.find("' -l ") != std::string::npos ? 1 : 0;
  EXPECT_EQ(present, expected);
}

}  // namespace
}  // namespace acetate::launcher
