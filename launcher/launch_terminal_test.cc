// Containers with a terminal, used as people use them: what is typed, what appears, and in what state the user's own
// terminal is left.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <filesystem>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "launcher/each_user_test.h"
#include "launcher/files.h"
#include "launcher/launch_fixture.h"
#include "launcher/terminal_user.h"

namespace acetate::launcher {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

namespace fs = std::filesystem;

constexpr char kPrompt[] = "ready> ";
constexpr char kCtrlC[] = "\x03";
constexpr char kCtrlD[] = "\x04";
constexpr char kCtrlZ[] = "\x1a";
constexpr char kLeave[] = "\x10\x11";

class TerminalTest : public EachUserTest {
 protected:
  // run FLAGS... with an interactive shell for a command.
  std::vector<std::string> Shell(const std::vector<std::string>& flags) {
    std::vector<std::string> words = {"run", "--image", host_->image(), "-e", absl::StrCat("PS1=", kPrompt)};
    words.insert(words.end(), flags.begin(), flags.end());
    words.insert(words.end(), {"--", "sh"});
    return words;
  }

  // run FLAGS... -- sh -c SCRIPT
  std::vector<std::string> Script(const std::vector<std::string>& flags, const std::string& script) {
    std::vector<std::string> words = {"run", "--image", host_->image()};
    words.insert(words.end(), flags.begin(), flags.end());
    words.insert(words.end(), {"--", "sh", "-c", script});
    return words;
  }

  void ExpectNothingLeft() {
    EXPECT_TRUE(Eventually([&] { return fs::is_empty(host_->store() + "/running"); }));
    EXPECT_TRUE(fs::is_empty(host_->runtime()));
  }

  static void ExpectEnd(const TerminalUser::End& end, int status) {
    EXPECT_EQ(end.status, status);
    EXPECT_TRUE(end.restored);
  }
};

ACETATE_FOR_EACH_USER(TerminalTest);

TEST_P(TerminalTest, AShellHasATerminalOfTheContainersOwn) {
  TerminalUser user(host_.get(), Shell({"--rm", "-it"}), 33, 99);
  ASSERT_TRUE(user.Sees(kPrompt));
  EXPECT_THAT(user.seen(), Not(HasSubstr("job control")));
  user.Type("tty; stty size; echo $TERM; echo via$((0+1))console >/dev/console\n");
  EXPECT_TRUE(user.Sees("/dev/pts/0\r\n"));
  EXPECT_TRUE(user.Sees("33 99\r\n"));
  EXPECT_TRUE(user.Sees("xterm\r\n"));
  EXPECT_TRUE(user.Sees("via1console\r\n"));
  ASSERT_TRUE(user.Sees(kPrompt));
  user.Type(kCtrlD);
  ExpectEnd(user.WaitForEnd(), 0);
  ExpectNothingLeft();
}

TEST_P(TerminalTest, TheStatusIsTheShells) {
  TerminalUser user(host_.get(), Shell({"--rm", "-i", "-t"}));
  ASSERT_TRUE(user.Sees(kPrompt));
  user.Type("exit 7\n");
  ExpectEnd(user.WaitForEnd(), 7);
}

TEST_P(TerminalTest, CtrlCInterruptsTheProgramInTheForegroundAlone) {
  TerminalUser user(host_.get(), Shell({"--rm", "-it"}));
  ASSERT_TRUE(user.Sees(kPrompt));
  user.Type("sh -c 'echo begun$((0+1)); exec sleep 1000'\n");
  ASSERT_TRUE(user.Sees("begun1"));
  user.Type(kCtrlC);
  ASSERT_TRUE(user.Sees(kPrompt));
  user.Type("echo was=$?\n");
  EXPECT_TRUE(user.Sees("was=130"));
  ASSERT_TRUE(user.Sees(kPrompt));
  user.Type("exit\n");
  ExpectEnd(user.WaitForEnd(), 0);
}

TEST_P(TerminalTest, JobsAreStoppedAndContinued) {
  TerminalUser user(host_.get(), Shell({"--rm", "-it"}));
  ASSERT_TRUE(user.Sees(kPrompt));
  // The job says itself when it goes on, which it does in the foreground only when the terminal is its own again.
  user.Type("sh -c 'trap \"echo on\\$((1+1))\" CONT; echo begun$((0+1)); while :; do sleep 0.05; done'\n");
  ASSERT_TRUE(user.Sees("begun1"));
  user.Type(kCtrlZ);
  ASSERT_TRUE(user.Sees("Stopped"));
  ASSERT_TRUE(user.Sees(kPrompt));
  user.Type("fg\n");
  ASSERT_TRUE(user.Sees("on2"));
  user.Type(kCtrlC);
  ASSERT_TRUE(user.Sees(kPrompt));
  user.Type("echo after=$?\n");
  EXPECT_TRUE(user.Sees("after=130"));
  ASSERT_TRUE(user.Sees(kPrompt));
  user.Type("exit 0\n");
  ExpectEnd(user.WaitForEnd(), 0);
}

TEST_P(TerminalTest, TheWindowMayChangeItsSize) {
  TerminalUser user(host_.get(), Shell({"--rm", "-it"}), 24, 80);
  ASSERT_TRUE(user.Sees(kPrompt));
  user.Resize(41, 123);
  // The change travels on its own; it is asked for until it is there.
  bool seen = Eventually([&] {
    user.Type("echo size=$(stty size)=\n");
    if (!user.Sees("size=") || !user.Sees(kPrompt)) return true;
    return user.seen().find("size=41 123=") != std::string::npos;
  });
  EXPECT_TRUE(seen);
  EXPECT_THAT(user.seen(), HasSubstr("size=41 123="));
  user.Type("exit\n");
  ExpectEnd(user.WaitForEnd(), 0);
}

TEST_P(TerminalTest, WhoLeavesMayComeBack) {
  TerminalUser first(host_.get(), Shell({"-it", "--name", "box"}));
  ASSERT_TRUE(first.Sees(kPrompt));
  first.Type("x=kept\n");
  ASSERT_TRUE(first.Sees(kPrompt));
  first.Type(kLeave);
  ExpectEnd(first.WaitForEnd(), 0);
  EXPECT_THAT(host_->Launch({"ps"}).out, HasSubstr("box"));

  TerminalUser second(host_.get(), {"attach", "box"}, 30, 90);
  second.Type("\n");
  ASSERT_TRUE(second.Sees(kPrompt));
  second.Type("echo $x=$(stty size)\n");
  EXPECT_TRUE(second.Sees("kept=30 90\r\n"));
  ASSERT_TRUE(second.Sees(kPrompt));
  second.Type("exit 5\n");
  ExpectEnd(second.WaitForEnd(), 5);
  ExpectNothingLeft();
  EXPECT_THAT(host_->Launch({"logs", "box"}).out, HasSubstr("kept=30 90"));
}

TEST_P(TerminalTest, TwoMayBeAttachedAndEitherMayLeave) {
  TerminalUser owner(host_.get(), Shell({"-it", "--rm", "--name", "box"}));
  ASSERT_TRUE(owner.Sees(kPrompt));
  TerminalUser guest(host_.get(), {"attach", "--detach-keys", "ctrl-x,q", "box"});
  guest.Type("\n");
  ASSERT_TRUE(guest.Sees(kPrompt));
  guest.Type("echo to$((1+1))\n");
  EXPECT_TRUE(guest.Sees("to2"));
  EXPECT_TRUE(owner.Sees("to2"));
  guest.Type("\x18q");
  ExpectEnd(guest.WaitForEnd(), 0);
  owner.Type("echo still$((1+1))\n");
  EXPECT_TRUE(owner.Sees("still2"));
  owner.Type("exit\n");
  ExpectEnd(owner.WaitForEnd(), 0);
}

TEST_P(TerminalTest, ASignalThatEndsAttachAloneLeavesTheTerminalAsBefore) {
  ASSERT_EQ(host_->Launch(Shell({"-d", "-it", "--name", "box"})).status, 0);
  TerminalUser user(host_.get(), {"attach", "--sig-proxy=false", "box"});
  user.Type("\n");
  ASSERT_TRUE(user.Sees(kPrompt));
  kill(user.launch(), SIGTERM);
  ExpectEnd(user.WaitForEnd(), 143);
  EXPECT_THAT(host_->Launch({"ps"}).out, HasSubstr("box"));
  EXPECT_EQ(host_->Launch({"rm", "-f", "box"}).status, 0);
}

TEST_P(TerminalTest, TheKeysToLeaveCanBeChosenOrTakenAway) {
  TerminalUser user(host_.get(), Shell({"-it", "--name", "box", "--detach-keys", "ctrl-a,d"}));
  ASSERT_TRUE(user.Sees(kPrompt));
  user.Type(
      "\x01"
      "d");
  ExpectEnd(user.WaitForEnd(), 0);
  EXPECT_EQ(host_->Launch({"rm", "-f", "box"}).status, 0);

  // Without keys to leave by, those of the default reach the program.
  TerminalUser other(host_.get(), Script({"--rm", "-it", "--detach-keys", ""},
                                         "stty raw -echo; echo begun; dd bs=1 count=2 2>/dev/null | od -An -tx1"));
  ASSERT_TRUE(other.Sees("begun"));
  other.Type(kLeave);
  EXPECT_TRUE(other.Sees("10 11"));
  ExpectEnd(other.WaitForEnd(), 0);
}

TEST_P(TerminalTest, WhenTheProgramIsKilledTheTerminalIsAsBefore) {
  std::string pid_file = *host_ / "pid";
  TerminalUser user(host_.get(),
                    Script({"--rm", "-it", "--pidfile", pid_file}, "stty raw -echo; echo begun; sleep 1000"));
  ASSERT_TRUE(user.Sees("begun"));
  int pid = 0;
  ASSERT_TRUE(Eventually([&] { return absl::SimpleAtoi(ReadFileOrEmpty(pid_file), &pid); }));
  kill(pid, SIGKILL);
  ExpectEnd(user.WaitForEnd(), 137);
  ExpectNothingLeft();
}

TEST_P(TerminalTest, ASignalToLaunchReachesTheProgram) {
  TerminalUser user(host_.get(), Script({"--rm", "-it"}, "echo begun; exec sleep 1000"));
  ASSERT_TRUE(user.Sees("begun"));
  kill(user.launch(), SIGTERM);
  ExpectEnd(user.WaitForEnd(), 143);
  ExpectNothingLeft();
}

TEST_P(TerminalTest, WhoStopsLaunchHasTheTerminalAsBeforeMeanwhile) {
  TerminalUser user(host_.get(), Script({"--rm", "-it"}, "stty -echo; echo begun; read x; echo read:$x"));
  ASSERT_TRUE(user.Sees("begun"));
  pid_t launch = user.launch();
  kill(launch, SIGTSTP);
  // In its group no one could continue it, so the kernel lets it go on at once, in raw mode again: what is typed
  // reaches the container as before.
  user.Type("typed\n");
  EXPECT_TRUE(user.Sees("read:typed"));
  ExpectEnd(user.WaitForEnd(), 0);
}

TEST_P(TerminalTest, WhenLaunchIsKilledNothingStays) {
  TerminalUser user(host_.get(), Script({"--rm", "-it"}, "echo begun; exec sleep 1000"));
  ASSERT_TRUE(user.Sees("begun"));
  kill(user.launch(), SIGKILL);
  EXPECT_EQ(user.WaitForEnd().status, 137);
  ExpectNothingLeft();
  EXPECT_TRUE(fs::is_empty(host_->store() + "/containers"));
}

TEST_P(TerminalTest, WhenTheHelperIsKilledThatIsSaidAndTheTerminalIsAsBefore) {
  TerminalUser user(host_.get(), Script({"--rm", "-it"}, "echo begun; exec sleep 1000"));
  ASSERT_TRUE(user.Sees("begun"));
  std::vector<pid_t> children = ChildrenOf(user.launch());
  ASSERT_EQ(children.size(), 1u);
  kill(children[0], SIGKILL);
  ExpectEnd(user.WaitForEnd(), 125);
  EXPECT_THAT(user.seen(), HasSubstr("helper process was killed by signal 9"));
  ExpectNothingLeft();
}

TEST_P(TerminalTest, ACommandThatCannotRunLeavesTheTerminalAlone) {
  TerminalUser user(host_.get(), {"--image", host_->image(), "--rm", "-it", "no-such-command"});
  ExpectEnd(user.WaitForEnd(), 127);
  EXPECT_THAT(user.seen(), HasSubstr("no-such-command: command not found"));
  ExpectNothingLeft();
  EXPECT_TRUE(fs::is_empty(host_->store() + "/containers"));
}

TEST_P(TerminalTest, WithoutInteractiveNothingIsReadAndCtrlCIsASignal) {
  TerminalUser user(host_.get(), Script({"--rm", "-t"}, "test -t 0 && echo begun; exec sleep 1000"));
  ASSERT_TRUE(user.Sees("begun"));
  user.Type(kCtrlC);
  ExpectEnd(user.WaitForEnd(), 130);
}

TEST_P(TerminalTest, NoFdIsLeftOpenAndNoneOfTheHostsTerminalIsInside) {
  TerminalUser user(host_.get(),
                    Script({"--rm", "-it"}, "ls -1 /proc/$$/fd; for i in 0 1 2; do readlink /proc/$$/fd/$i; done"));
  EXPECT_TRUE(user.Sees("0\r\n1\r\n2\r\n/dev/pts/0\r\n/dev/pts/0\r\n/dev/pts/0\r\n"));
  ExpectEnd(user.WaitForEnd(), 0);
}

TEST_P(TerminalTest, MuchOutputComesWholeAndItsEndIsNotLost) {
  TerminalUser user(host_.get(), Script({"--rm", "-it"}, "seq 1 20000"));
  ExpectEnd(user.WaitForEnd(), 0);
  EXPECT_THAT(user.seen(), HasSubstr("\r\n9999\r\n10000\r\n10001\r\n"));
  EXPECT_THAT(user.seen(), HasSubstr("\r\n19999\r\n20000\r\n"));
}

TEST_P(TerminalTest, WithoutATerminalOfTheUsersInteractiveOnesAreRefused) {
  Result result = host_->Launch(Shell({"--rm", "-it"}));
  EXPECT_EQ(result.status, 125);
  EXPECT_EQ(result.err, "launch: -it: stdin is not a terminal; leave out -t, or -i\n");
  // Output alone needs none.
  Result output = host_->Launch(Script({"--rm", "-t"}, "test -t 1 && echo yes"));
  EXPECT_EQ(output.status, 0) << output;
  EXPECT_EQ(output.out, "yes\r\n");
}

TEST_P(TerminalTest, AnotherUserOwnsTheTerminal) {
  if (GetParam() == Who::kLone) GTEST_SKIP() << "this user has no other ids";
  TerminalUser user(host_.get(), Script({"--rm", "-it", "-u", "www"}, "echo open >$(tty); stat -c own=%U $(tty)"));
  EXPECT_TRUE(user.Sees("open\r\nown=www\r\n"));
  ExpectEnd(user.WaitForEnd(), 0);
}

TEST_P(TerminalTest, UnderInitTheCommandHasTheTerminal) {
  TerminalUser user(host_.get(), Shell({"--rm", "-it", "--init"}));
  ASSERT_TRUE(user.Sees(kPrompt));
  EXPECT_THAT(user.seen(), Not(HasSubstr("job control")));
  user.Type("echo pid=$$ one=$(cat /proc/1/comm)\n");
  EXPECT_TRUE(user.Sees("pid=2 one=launch-init"));
  user.Type("exit 4\n");
  ExpectEnd(user.WaitForEnd(), 4);
}

TEST_P(TerminalTest, ExecHasATerminalToo) {
  ASSERT_EQ(host_->Launch({"run", "-d", "--name", "box", "--image", host_->image(), "sleep", "1000"}).status, 0);
  std::vector<std::string> words = {"exec", "-it", "-e", absl::StrCat("PS1=", kPrompt), "box", "sh"};
  TerminalUser user(host_.get(), words, 28, 77);
  ASSERT_TRUE(user.Sees(kPrompt));
  EXPECT_THAT(user.seen(), Not(HasSubstr("job control")));
  user.Type("tty; stty size\n");
  EXPECT_TRUE(user.Sees("/dev/pts/0\r\n28 77\r\n"));
  ASSERT_TRUE(user.Sees(kPrompt));
  user.Type("sh -c 'echo begun$((0+1)); exec sleep 1000'\n");
  ASSERT_TRUE(user.Sees("begun1"));
  user.Type(kCtrlC);
  ASSERT_TRUE(user.Sees(kPrompt));
  user.Type("exit 6\n");
  ExpectEnd(user.WaitForEnd(), 6);

  TerminalUser looker(host_.get(), {"exec", "-t", "box", "sh", "-c", "ls -1 /proc/$$/fd; true"});
  // Without -i the user's terminal stays as it is, and adds its own carriage returns.
  EXPECT_TRUE(looker.Sees("0\r\r\n1\r\r\n2\r\r\n["));

  TerminalUser leaver(host_.get(), words);
  ASSERT_TRUE(leaver.Sees(kPrompt));
  leaver.Type("trap '' HUP; echo $$ >/shell; echo put$((0+1))\n");
  ASSERT_TRUE(leaver.Sees("put1"));
  leaver.Type(kLeave);
  ExpectEnd(leaver.WaitForEnd(), 0);
  // It goes on.
  EXPECT_EQ(host_->Launch({"exec", "box", "sh", "-c", "kill -0 $(cat /shell) && echo lives"}).out, "lives\n");
  EXPECT_EQ(host_->Launch({"kill", "box"}).status, 0);
}

TEST_P(TerminalTest, ADetachedOneWaitsForItsUser) {
  std::vector<std::string> words = Shell({"-d", "-it", "--name", "box"});
  ASSERT_EQ(host_->Launch(words).status, 0);
  TerminalUser user(host_.get(), {"attach", "box"});
  user.Type("\n");
  ASSERT_TRUE(user.Sees(kPrompt));
  user.Type("exit 9\n");
  ExpectEnd(user.WaitForEnd(), 9);

  // Again, with what it wrote.
  TerminalUser again(host_.get(), {"start", "-a", "-i", "box"});
  ASSERT_TRUE(again.Sees(kPrompt));
  again.Type(kCtrlD);
  ExpectEnd(again.WaitForEnd(), 0);
}

}  // namespace
}  // namespace acetate::launcher
