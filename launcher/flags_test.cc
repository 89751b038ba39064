#include "launcher/flags.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace acetate::launcher {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

const char* const kEnviron[] = {"HOME=/home/me", "TERM=dumb", nullptr};

absl::StatusOr<CommandLine> Parse(const std::vector<std::string>& words) { return ParseCommandLine(words, kEnviron); }

Spec MustParse(const std::vector<std::string>& words) {
  absl::StatusOr<CommandLine> line = Parse(words);
  EXPECT_TRUE(line.ok()) << line.status();
  return line.ok() ? line->spec : Spec();
}

std::string ErrorOf(const std::vector<std::string>& words) { return std::string(Parse(words).status().message()); }

TEST(FlagsTest, FirstWordThatIsNoFlagBeginsTheCommand) {
  Spec spec = MustParse({"--image", "d", "ls", "--rm", "-e", "x"});
  EXPECT_EQ(spec.image, "d");
  EXPECT_THAT(spec.command, ElementsAre("ls", "--rm", "-e", "x"));
  EXPECT_FALSE(spec.remove);
}

TEST(FlagsTest, DoubleDashEndsTheFlags) {
  EXPECT_THAT(MustParse({"--image=d", "--", "--odd", "x"}).command, ElementsAre("--odd", "x"));
  EXPECT_THAT(MustParse({"--image=d", "--", "--", "x"}).command, ElementsAre("--", "x"));
  EXPECT_THAT(MustParse({"--image=d", "-", "x"}).command, ElementsAre("-", "x"));
}

TEST(FlagsTest, RunIsAnOptionalFirstWord) {
  EXPECT_THAT(MustParse({"run", "--image=d", "run"}).command, ElementsAre("run"));
}

TEST(FlagsTest, ValuesAreWrittenInAnyOfDockersWays) {
  for (auto words :
       std::vector<std::vector<std::string>>{{"-m", "1g"}, {"-m1g"}, {"-m=1g"}, {"--memory", "1g"}, {"--memory=1g"}}) {
    words.insert(words.end(), {"--image=d", "x"});
    EXPECT_EQ(MustParse(words).limits.memory_bytes, 1u << 30) << words[0];
  }
}

TEST(FlagsTest, SwitchesTakeTrueAndFalse) {
  EXPECT_TRUE(MustParse({"--image=d", "--rm", "x"}).remove);
  EXPECT_FALSE(MustParse({"--image=d", "--rm", "--rm=false", "x"}).remove);
  EXPECT_THAT(ErrorOf({"--image=d", "--rm=1", "x"}), HasSubstr("--rm"));
}

TEST(FlagsTest, EnvironmentAddsUpAndTheLastOfANameCounts) {
  Spec spec = MustParse({"--image=d", "-e", "A=1", "-eB=2", "--env=A=3", "-e", "TERM", "-e", "UNSET", "x"});
  EXPECT_THAT(spec.environment, ElementsAre("A=3", "B=2", "TERM=dumb"));
}

TEST(FlagsTest, VolumesAddUpOnDifferentTargets) {
  Spec spec = MustParse({"--image=d", "-v/a:/b", "-v", "/a:/c:ro", "x"});
  ASSERT_EQ(spec.volumes.size(), 2u);
  EXPECT_EQ(spec.volumes[0].target, "/b");
  EXPECT_TRUE(spec.volumes[1].read_only);
  EXPECT_THAT(ErrorOf({"--image=d", "-v/a:/b", "-v/c:/b/", "x"}), HasSubstr("--volume \"/c:/b/\""));
}

TEST(FlagsTest, OfAnyOtherFlagTheLastCounts) { EXPECT_EQ(MustParse({"--image=a", "--image=b", "x"}).image, "b"); }

TEST(FlagsTest, DashHIsTheHostname) { EXPECT_EQ(MustParse({"--image=d", "-h", "box", "x"}).hostname, "box"); }

TEST(FlagsTest, ErrorsNameTheFlag) {
  EXPECT_THAT(ErrorOf({"--image=d", "--bogus", "x"}), HasSubstr("unknown flag --bogus"));
  EXPECT_THAT(ErrorOf({"--image=d", "--bogus=1", "x"}), HasSubstr("unknown flag --bogus;"));
  EXPECT_THAT(ErrorOf({"--image=d", "-z", "x"}), HasSubstr("unknown flag -z"));
  EXPECT_THAT(ErrorOf({"--image=d", "-e", "=v", "x"}), HasSubstr("--env \"=v\""));
  EXPECT_THAT(ErrorOf({"--image=d", "-m", "1x", "x"}), HasSubstr("--memory \"1x\""));
  EXPECT_THAT(ErrorOf({"--image=d", "-v", "x", "x"}), HasSubstr("--volume \"x\""));
  EXPECT_THAT(ErrorOf({"--image=d", "-u", "-1", "x"}), HasSubstr("--user \"-1\""));
  EXPECT_THAT(ErrorOf({"--image=d", "-u", "", "x"}), HasSubstr("--user \"\""));
  EXPECT_THAT(ErrorOf({"--image=d", "--pids-limit", "many", "x"}), HasSubstr("--pids-limit \"many\""));
  EXPECT_THAT(ErrorOf({"--image=d", "--cpus", "two", "x"}), HasSubstr("--cpus \"two\" is not a number of CPUs"));
  EXPECT_THAT(ErrorOf({"--image=d", "--cpuset-cpus", "0-", "x"}), HasSubstr("--cpuset-cpus \"0-\" is not a list"));
  EXPECT_THAT(ErrorOf({"--image=d", "--memory-swap", "1g", "x"}), HasSubstr("give --memory as well"));
  EXPECT_THAT(ErrorOf({"--image=d", "-w", "srv", "x"}), HasSubstr("--workdir \"srv\""));
  EXPECT_THAT(ErrorOf({"--image=d", "--env-file", "/none/at/all", "x"}), HasSubstr("\"/none/at/all\" cannot be read"));
  EXPECT_THAT(ErrorOf({"--image=d", "--mount", "type=bind", "x"}), HasSubstr("--mount \"type=bind\" has no target"));
  EXPECT_THAT(ErrorOf({"--image=d", "--shm-size", "0k", "x"}), HasSubstr("--shm-size \"0k\" is nothing"));
  EXPECT_THAT(ErrorOf({"--image=", "x"}), HasSubstr("--image"));
  EXPECT_THAT(ErrorOf({"--image"}), HasSubstr("--image needs a value"));
  EXPECT_THAT(ErrorOf({"x"}), HasSubstr("--image is missing"));
  EXPECT_THAT(ErrorOf({"--image=d"}), HasSubstr("no command"));
}

TEST(FlagsTest, AnErrorIsOneLineWhateverWasTyped) {
  EXPECT_THAT(ErrorOf({"--image=d", "--a\nb", "x"}), Not(HasSubstr("\n")));
  EXPECT_THAT(ErrorOf({"--image=d", "-m", "1\n\033[2J", "x"}), Not(HasSubstr("\n")));
}

TEST(FlagsTest, TheFirstWordMayBeAVerbWithFlagsOfItsOwn) {
  absl::StatusOr<CommandLine> line = Parse({"stop", "-t", "3", "-s", "HUP", "a", "b"});
  ASSERT_TRUE(line.ok()) << line.status();
  EXPECT_EQ(line->verb, Verb::kStop);
  EXPECT_EQ(line->options.seconds, 3);
  EXPECT_EQ(line->options.signal, 1);
  EXPECT_THAT(line->containers, ElementsAre("a", "b"));
  // Behind a flag it is the command.
  EXPECT_THAT(MustParse({"--image=d", "stop"}).command, ElementsAre("stop"));
}

TEST(FlagsTest, ExecTakesAContainerThenACommand) {
  absl::StatusOr<CommandLine> line = Parse({"exec", "-it", "-w", "/x", "box", "ls", "-t"});
  ASSERT_TRUE(line.ok()) << line.status();
  EXPECT_TRUE(line->spec.interactive && line->spec.terminal);
  EXPECT_EQ(line->spec.workdir, "/x");
  EXPECT_THAT(line->containers, ElementsAre("box"));
  EXPECT_THAT(line->spec.command, ElementsAre("ls", "-t"));
  EXPECT_THAT(Parse({"exec", "box", "--", "ls"})->spec.command, ElementsAre("ls"));
  EXPECT_EQ(Parse({"exec", "box", "ls"})->spec.workdir, "");
}

TEST(FlagsTest, WhenceTakesAContainerAndAPath) {
  absl::StatusOr<CommandLine> line = Parse({"whence", "--json", "box", "/etc/motd"});
  ASSERT_TRUE(line.ok()) << line.status();
  EXPECT_TRUE(line->options.json);
  EXPECT_THAT(line->containers, ElementsAre("box"));
  EXPECT_EQ(line->path, "/etc/motd");
  EXPECT_THAT(ErrorOf({"whence"}), HasSubstr("no container named"));
  EXPECT_THAT(ErrorOf({"whence", "box"}), HasSubstr("no path named"));
  EXPECT_THAT(ErrorOf({"whence", "box", "/a", "/b"}), HasSubstr("one container and one path are to be named"));
}

TEST(FlagsTest, AnEntrypointIsTheCommandsFirstWord) {
  EXPECT_THAT(MustParse({"--image=d", "--entrypoint", "p", "a", "b"}).command, ElementsAre("p", "a", "b"));
  EXPECT_THAT(MustParse({"--image=d", "--entrypoint=p"}).command, ElementsAre("p"));
  EXPECT_THAT(MustParse({"--image=d", "--entrypoint=", "a"}).command, ElementsAre("a"));
}

TEST(FlagsTest, SwitchesOfOneLetterShareADash) {
  Spec spec = MustParse({"-dit", "--image=d", "x"});
  EXPECT_TRUE(spec.detach && spec.interactive && spec.terminal && spec.HasSession());
  EXPECT_EQ(spec.detach_keys, "\x10\x11");
  EXPECT_EQ(MustParse({"-it", "--detach-keys", "a", "--image=d", "x"}).detach_keys, "a");
}

TEST(FlagsTest, HelpNeedsNothingElseAndListsEveryFlag) {
  EXPECT_EQ(Parse({"--help"})->action, CommandLine::Action::kHelp);
  EXPECT_EQ(Parse({"--version"})->action, CommandLine::Action::kVersion);
  EXPECT_EQ(Parse({"--explain", "--image=d", "x"})->action, CommandLine::Action::kExplain);
  for (const char* name : {"--image", "-e, --env", "-w, --workdir", "-u, --user", "-h, --hostname", "--rm", "--name",
                           "-v, --volume", "-m, --memory", "--pids-limit", "--explain", "--help", "--version",
                           "-d, --detach", "-i, --interactive", "-t, --tty", "--init", "  attach ", "  unpause "}) {
    EXPECT_THAT(HelpText(), HasSubstr(name));
  }
  EXPECT_THAT(HelpText(), Not(HasSubstr("flagfile")));
  EXPECT_EQ(Parse({"logs", "--help"})->verb, Verb::kLogs);
  EXPECT_THAT(HelpText(Verb::kLogs), HasSubstr("-f, --follow"));
}

}  // namespace
}  // namespace acetate::launcher
