// exec: a further command sees what the first one sees, may do what the first one may, and no more.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/temp_dir.h"
#include "launcher/each_user_test.h"
#include "launcher/files.h"
#include "launcher/launch_fixture.h"

namespace acetate::launcher {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

namespace fs = std::filesystem;

class ExecTest : public EachUserTest {
 protected:
  // The output of a script in the box that has to end well.
  std::string Out(const std::vector<std::string>& flags, const std::string& script) {
    Result result = Exec(flags, {"sh", "-c", script});
    EXPECT_EQ(result.status, 0) << result;
    EXPECT_EQ(result.err, "") << result;
    return result.out;
  }
};

ACETATE_FOR_EACH_USER(ExecTest);

TEST_P(ExecTest, EveryNamespaceIsThatOfTheContainer) {
  StartBox();
  for (const char* name : {"user", "mnt", "pid", "net", "uts", "ipc", "cgroup"}) {
    EXPECT_EQ(Out({}, absl::StrCat("test $(readlink /proc/self/ns/", name, ") = $(readlink /proc/1/ns/", name,
                                   ") && echo same")),
              "same\n")
        << name;
  }
}

TEST_P(ExecTest, PrivilegesAreThoseOfTheContainer) {
  StartBox();
  std::string fields = "grep -E 'Cap|NoNewPrivs|Uid|Gid|Groups|Seccomp' /proc/";
  EXPECT_EQ(Out({}, fields + "self/status"), Out({}, fields + "1/status"));
  EXPECT_THAT(Out({}, fields + "self/status"), HasSubstr("CapBnd:\t00000000a80425fb\n"));
}

TEST_P(ExecTest, OnlyTheStandardFdsAreOpen) {
  StartBox();
  Result result = host_->Exec({"sh", "-c", "exec 7</etc/passwd 9>/dev/null; exec \"$@\"", "sh", *host_ / "launch",
                               "exec", "box", "sh", "-c", "ls /proc/$$/fd; readlink /proc/$$/cwd"});
  EXPECT_EQ(result.out, "0\n1\n2\n/\n") << result;
}

TEST_P(ExecTest, NothingInsideCanLookAtTheProcessesThatJoin) {
  // Each process of the container whose program is a file of the host would be one that was not yet the command.
  StartBox();
  Running looker = host_->Start(host_->WithProgram(
      {"exec", "box", "sh", "-c",
       "touch /looking; while ! test -e /stop; do for p in /proc/[0-9]*; do readlink $p/exe; done; done"}));
  ASSERT_TRUE(Eventually([&] { return fs::exists(host_->OnlyContainer() + "/upper/looking"); }));
  for (int i = 0; i < 5; ++i) EXPECT_EQ(Exec({}, {"true"}).status, 0);
  EXPECT_EQ(Exec({}, {"touch", "/stop"}).status, 0);
  Result result = host_->Wait(std::move(looker));
  const std::vector<std::string> programs = absl::StrSplit(result.out, '\n', absl::SkipEmpty());
  EXPECT_THAT(programs, ::testing::Not(::testing::IsEmpty()));
  EXPECT_THAT(programs, ::testing::Each("/bin/busybox"));
}

TEST_P(ExecTest, TheEnvironmentIsTheContainersAndWhatIsAdded) {
  StartBox({"-e", "A=container", "-e", "B=container"});
  EXPECT_EQ(
      Out({"-e", "B=exec", "--env=C=exec"}, "env | grep -v -E '^(PWD|SHLVL)=' | sort"),
      "A=container\nB=exec\nC=exec\nHOME=/root\nPATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n");
}

TEST_P(ExecTest, TheWorkingDirectoryIsTheContainersOrChosen) {
  StartBox({"-w", "/srv/here"});
  EXPECT_EQ(Out({}, "pwd"), "/srv/here\n");
  EXPECT_EQ(Out({"-w", "/tmp"}, "pwd"), "/tmp\n");
}

TEST_P(ExecTest, TheUserIsTheContainersOrChosen) {
  if (HasOneId()) {
    StartBox();
    Result result = Exec({"-u", "www"}, {"id"});
    EXPECT_EQ(result.status, 125);
    EXPECT_THAT(result.err, HasSubstr("outside of the ids you may use"));
    return;
  }
  StartBox({"-u", "www"});
  EXPECT_EQ(Out({}, "id -u; id -G; echo $HOME"), "33\n34 50 60\n/var/www\n");
  EXPECT_EQ(Out({"-u", "0"}, "id -u"), "0\n");
  EXPECT_EQ(Out({"--user", "44:50"}, "id -u; id -G"), "44\n50\n");
  EXPECT_EQ(Exec({"-u", "nobody-here"}, {"id"}).err,
            "launch: --user: there is no user nobody-here in the image's /etc/passwd\n");
}

TEST_P(ExecTest, StatusesAreTheCommandsOrTellWhatWasWrong) {
  StartBox();
  EXPECT_EQ(Exec({}, {"sh", "-c", "exit 3"}).status, 3);
  EXPECT_EQ(Exec({}, {"sh", "-c", "kill -9 $$"}).status, 137);
  EXPECT_EQ(Exec({}, {"no-such-command"}).status, 127);
  EXPECT_EQ(Exec({}, {"/etc"}).status, 126);
  EXPECT_THAT(Exec({}, {"no-such-command"}).err, StartsWith("launch: no-such-command: command not found in PATH"));
  EXPECT_EQ(host_->Launch({"exec", "none", "true"}).status, 125);
  EXPECT_EQ(host_->Launch({"exec", "box", "--", "echo", "dashes"}).out, "dashes\n");
}

TEST_P(ExecTest, StreamsAreTheCallersOwn) {
  StartBox();
  Result result = host_->Exec({"sh", "-c", "echo typed | exec \"$@\"", "sh", *host_ / "launch", "exec", "-i", "box",
                               "sh", "-c", "cat; echo wrong >&2"});
  EXPECT_EQ(result.out, "typed\n") << result;
  EXPECT_EQ(result.err, "wrong\n");
}

TEST_P(ExecTest, SignalsArePassedOn) {
  StartBox();
  Running running = host_->Start(host_->WithProgram(
      {"exec", "box", "sh", "-c", "trap 'echo caught; exit 9' TERM; touch /ready; while :; do sleep 0.05; done"}));
  ASSERT_TRUE(Eventually([&] { return fs::exists(host_->OnlyContainer() + "/upper/ready"); }));
  kill(running.pid, SIGTERM);
  Result result = host_->Wait(std::move(running));
  EXPECT_EQ(result.status, 9) << result;
  EXPECT_EQ(result.out, "caught\n");
}

TEST_P(ExecTest, WhenExecIsKilledItsCommandEnds) {
  StartBox();
  Running running = host_->Start(host_->WithProgram({"exec", "box", "sh", "-c", "echo $$ >/pid; exec sleep 1000"}));
  std::string pid_file = host_->OnlyContainer() + "/upper/pid";
  ASSERT_TRUE(Eventually([&] { return !ReadFileOrEmpty(pid_file).empty(); }));
  kill(running.pid, SIGKILL);
  host_->Wait(std::move(running));
  EXPECT_TRUE(Eventually([&] { return Exec({}, {"sh", "-c", "kill -0 $(cat /pid) 2>/dev/null"}).status == 1; }));
  EXPECT_THAT(host_->Launch({"ps"}).out, HasSubstr("Up "));
}

TEST_P(ExecTest, DetachedItGoesOnAlone) {
  StartBox();
  Result result = Exec({"-d"}, {"sh", "-c", "while ! test -e /go; do sleep 0.05; done; touch /done"});
  EXPECT_EQ(result.status, 0) << result;
  EXPECT_EQ(result.out, "");
  EXPECT_EQ(Exec({}, {"touch", "/go"}).status, 0);
  EXPECT_TRUE(Eventually([&] { return fs::exists(host_->OnlyContainer() + "/upper/done"); }));
  EXPECT_EQ(Exec({"-d"}, {"no-such-command"}).status, 127);
}

TEST_P(ExecTest, ItEndsWithTheContainer) {
  StartBox();
  Running running = host_->Start(host_->WithProgram({"exec", "box", "sh", "-c", "touch /ready; exec sleep 1000"}));
  ASSERT_TRUE(Eventually([&] { return fs::exists(host_->OnlyContainer() + "/upper/ready"); }));
  EXPECT_EQ(host_->Launch({"kill", "box"}).status, 0);
  EXPECT_EQ(host_->Wait(std::move(running)).status, 137);
  EXPECT_EQ(host_->Launch({"wait", "box"}).out, "137\n");
  EXPECT_THAT(Exec({}, {"true"}).err, HasSubstr("it does not run"));
}

TEST_P(ExecTest, AContainerUnderInitCanBeJoined) {
  StartBox({"--init"});
  EXPECT_EQ(Out({}, "cat /proc/1/comm"), "launch-init\n");
}

TEST_P(ExecTest, LimitsHoldForItToo) {
  Result probe = host_->Run({"--rm", "--pids-limit", "20"}, {"true"});
  if (probe.status == 125) GTEST_SKIP() << probe.err;
  StartBox({"--pids-limit", "20"});
  EXPECT_EQ(Out({}, "cat /proc/self/cgroup"), Out({}, "cat /proc/1/cgroup"));
  EXPECT_NE(Exec({}, {"sh", "-c", "for i in $(seq 40); do sleep 1 & done"}).err, "");
}

}  // namespace
}  // namespace acetate::launcher
