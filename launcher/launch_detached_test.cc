// Containers in the background, and the verbs that deal with them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/syscall.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/temp_dir.h"
#include "launcher/detached_test.h"
#include "launcher/files.h"
#include "launcher/launch_fixture.h"
#include "launcher/protocol.h"

namespace acetate::launcher {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::Not;
using ::testing::StartsWith;

namespace fs = std::filesystem;

// Whether a process has a socket open.
bool HasSocket(pid_t pid) {
  std::error_code ignored;
  for (const auto& fd : fs::directory_iterator(absl::StrCat("/proc/", pid, "/fd"), ignored)) {
    if (fs::read_symlink(fd.path(), ignored).string().rfind("socket:", 0) == 0) return true;
  }
  return false;
}

// The helper of a container, which is PID 1's parent.
pid_t HelperOf(pid_t init) {
  std::string stat = ReadFileOrEmpty(absl::StrCat("/proc/", init, "/stat"));
  std::vector<std::string> fields = absl::StrSplit(stat.substr(stat.rfind(')') + 2), ' ');
  pid_t parent = 0;
  return absl::SimpleAtoi(fields.at(1), &parent) ? parent : 0;
}

ACETATE_FOR_EACH_USER(DetachedTest);

TEST_P(DetachedTest, ItRunsOnAndTellsItsIdAndItsOutputIsKept) {
  std::string id = Detach({"--name", "web"}, "echo to out; echo to err >&2; exec sleep 1000");
  ASSERT_TRUE(Logged("web", "to out"));
  ASSERT_TRUE(Eventually([&] { return Launch({"logs", "web"}).err == "to err\n"; }));
  nlohmann::json state = Inspect("web");
  EXPECT_EQ(state["id"], id);
  EXPECT_EQ(state["status"], "running");
  EXPECT_EQ(ProgramOf(state["pid"]), "sleep");
  EXPECT_EQ(Out({"stop", "web"}), "web\n");
  EXPECT_EQ(Inspect("web")["status"], "exited");
  EXPECT_EQ(Inspect("web")["exit_status"], 143);
  ExpectNothingOutside();
  EXPECT_EQ(Out({"rm", "web"}), "web\n");
  EXPECT_TRUE(fs::is_empty(host_->store() + "/containers"));
  EXPECT_TRUE(fs::is_empty(host_->store() + "/names"));
}

TEST_P(DetachedTest, NothingOfTheLauncherIsHeldOpen) {
  // A shell's $(...) ends when no one has its pipe open any more: run would not return here.
  Detach({"--name", "a", "--init"}, "ls /proc/$$/fd; exec sleep 1000");
  ASSERT_TRUE(Logged("a", "2\n"));
  EXPECT_EQ(Launch({"logs", "a"}).out, "0\n1\n2\n");
  Out({"kill", "a"});
}

TEST_P(DetachedTest, ACommandThatCannotRunIsSaidAtOnceAndLeavesNothing) {
  Result result = host_->Run({"-d", "--name", "a", "--cidfile", *host_ / "cid"}, {"no-such-command"});
  EXPECT_EQ(result.status, 127) << result;
  EXPECT_EQ(result.out, "");
  EXPECT_THAT(result.err, StartsWith("launch: no-such-command: command not found"));
  EXPECT_FALSE(fs::exists(*host_ / "cid"));
  EXPECT_TRUE(fs::is_empty(host_->store() + "/containers"));
  ExpectNothingOutside();
}

TEST_P(DetachedTest, PsListsWhatRunsAndWithAllWhatHasEnded) {
  std::string live = Detach({"--name", "live"}, "exec sleep 1000");
  std::string ended = Detach({"--name", "ended"}, "exit 3");
  EXPECT_EQ(Out({"wait", "ended"}), "3\n");
  std::string list = Out({"ps"});
  EXPECT_THAT(list, StartsWith("CONTAINER ID"));
  EXPECT_THAT(list, AllOf(HasSubstr(live.substr(0, 12)), HasSubstr("Up "), HasSubstr("live"), Not(HasSubstr("ended"))));
  EXPECT_THAT(Out({"ps", "-a"}), AllOf(HasSubstr("live"), HasSubstr("Exited (3) "), HasSubstr("ended")));
  EXPECT_EQ(Out({"ps", "-q"}), live.substr(0, 12) + "\n");
  EXPECT_THAT(Out({"ps", "-aq", "--no-trunc"}), AllOf(HasSubstr(live + "\n"), HasSubstr(ended + "\n")));
  nlohmann::json json = nlohmann::json::parse(Out({"ps", "-a", "--json"}));
  ASSERT_EQ(json.size(), 2u);
  EXPECT_EQ(nlohmann::json::parse(Out({"ps", "--json"})).at(0).at("command").at(2), "exec sleep 1000");
  Out({"rm", "-f", "live", "ended"});
  EXPECT_EQ(Out({"ps", "-a", "--json"}), "[]\n");
}

TEST_P(DetachedTest, AForegroundContainerIsListedAndCanBeReached) {
  Running running =
      host_->Start(host_->WithProgram({"--rm", "--name", "fore", "--image", host_->image(), "sleep", "1000"}));
  ASSERT_TRUE(Eventually([&] { return Launch({"ps"}).out.find("Up ") != std::string::npos; }));
  EXPECT_EQ(Out({"exec", "fore", "echo", "inside"}), "inside\n");
  ExpectError(Launch({"attach", "fore"}), "nothing to attach to");
  ExpectError(Launch({"logs", "fore"}), "has no log");
  Out({"stop", "fore"});
  EXPECT_EQ(host_->Wait(std::move(running)).status, 143);
  ExpectError(Launch({"stop", "fore"}), "there is no container fore");
}

TEST_P(DetachedTest, ContainersAreNamedByTheBeginningOfANameOrId) {
  std::string id = Detach({"--name", "website"}, "exec sleep 1000");
  for (const std::string& reference :
       {id, id.substr(0, 12), id.substr(0, 4), std::string("website"), std::string("w")}) {
    EXPECT_EQ(Inspect(reference)["id"], id) << reference;
  }
  std::string other = Detach({"--name", "webapp"}, "exec sleep 1000");
  ExpectError(Launch({"kill", "web"}), "is the beginning of more than one");
  ExpectError(Launch({"kill", "zzz"}), "there is no container zzz");
  // One that is wrong does not keep the others from it.
  Result result = Launch({"kill", "zzz", "website", "weba"});
  EXPECT_EQ(result.status, 125);
  EXPECT_EQ(result.out, "website\nweba\n");
  EXPECT_EQ(Out({"wait", "website", "webapp"}), "137\n137\n");
}

TEST_P(DetachedTest, StopSendsTheStopSignalAndKillsWhenTimeIsUp) {
  Detach({"--name", "kind", "--stop-signal", "USR1"}, "trap 'exit 11' USR1; echo ready; while :; do sleep 0.05; done");
  Detach({"--name", "deaf", "--stop-timeout", "0"}, "trap '' TERM; echo ready; while :; do sleep 0.05; done");
  ASSERT_TRUE(Logged("kind", "ready") && Logged("deaf", "ready"));
  EXPECT_EQ(Out({"stop", "kind", "deaf"}), "kind\ndeaf\n");
  EXPECT_EQ(Out({"wait", "kind", "deaf"}), "11\n137\n");
  // What has ended is stopped.
  EXPECT_EQ(Out({"stop", "-t", "1", "kind"}), "kind\n");

  Detach({"--name", "more"}, "trap 'exit 12' USR2; trap '' TERM; echo ready; while :; do sleep 0.05; done");
  ASSERT_TRUE(Logged("more", "ready"));
  Out({"stop", "-s", "USR2", "-t", "600", "more"});
  EXPECT_EQ(Out({"wait", "more"}), "12\n");
}

TEST_P(DetachedTest, KillSendsAnySignal) {
  Detach({"--name", "a"}, "trap 'echo hung up' HUP; echo ready; while :; do sleep 0.05; done");
  ASSERT_TRUE(Logged("a", "ready"));
  EXPECT_EQ(Out({"kill", "-s", "HUP", "a"}), "a\n");
  ASSERT_TRUE(Logged("a", "hung up"));
  EXPECT_EQ(Out({"kill", "--signal=9", "a"}), "a\n");
  EXPECT_EQ(Out({"wait", "a"}), "137\n");
  ExpectError(Launch({"kill", "a"}), "does not run");
  ExpectError(Launch({"kill", "-s", "NONE", "a"}), "--signal \"NONE\" is not a signal");
}

TEST_P(DetachedTest, TheStatusIsFoundThoughTheContainerWentWhileItWasLookedFor) {
  Detach({"--rm", "--name", "a"}, "trap 'exit 7' TERM; while :; do sleep 0.05; done");
  const pid_t init = Inspect("a")["pid"];
  // Without the socket's name, wait knows the container but does not come to its helper.
  fs::path directory = *fs::directory_iterator(host_->runtime());
  fs::rename(directory / kControlSocket, directory / "hidden");
  Running waiter = host_->Start(host_->WithProgram({"wait", "a"}));
  const std::string sleeps = absl::StrCat(SYS_clock_nanosleep, " ");
  ASSERT_TRUE(Eventually(
      [&] { return absl::StartsWith(ReadFileOrEmpty(absl::StrCat("/proc/", waiter.pid, "/syscall")), sleeps); }));
  kill(init, SIGTERM);
  const Result result = host_->Wait(std::move(waiter));
  EXPECT_EQ(result.out, "7\n") << result;
  EXPECT_TRUE(fs::is_empty(host_->store() + "/containers"));
  EXPECT_TRUE(fs::is_empty(host_->store() + "/running"));
  EXPECT_EQ(Launch({"wait", "a"}).err, "launch: there is no container a\n");
}

TEST_P(DetachedTest, WaitTellsTheStatusOfOneThatIsRemovedAtItsEnd) {
  host_->MakeDirectory("shared");
  Detach({"--rm", "--name", "a", "-v", *host_ / "shared:/mnt"},
         "while ! test -e /mnt/go; do sleep 0.05; done; exit 21");
  Running waiter = host_->Start(host_->WithProgram({"wait", "a"}));
  // It waits when it has its connection: its only socket.
  ASSERT_TRUE(Eventually([&] { return HasSocket(waiter.pid); }));
  host_->Write("shared/go", "");
  Result result = host_->Wait(std::move(waiter));
  EXPECT_EQ(result.status, 0) << result;
  EXPECT_EQ(result.out, "21\n");
  ASSERT_TRUE(Eventually([&] { return fs::is_empty(host_->store() + "/containers"); }));
  ASSERT_TRUE(Eventually([&] { return fs::is_empty(host_->store() + "/running"); }));
}

TEST_P(DetachedTest, RmWantsForceForWhatRuns) {
  Detach({"--name", "a"}, "trap '' TERM; exec sleep 1000");
  ExpectError(Launch({"rm", "a"}), "runs; stop it first, or remove it with -f");
  EXPECT_EQ(Out({"rm", "-f", "a"}), "a\n");
  EXPECT_TRUE(fs::is_empty(host_->store() + "/containers"));
  ExpectNothingOutside();
  // The name is free.
  Detach({"--name", "a", "--rm"}, "true");
}

TEST_P(DetachedTest, FilesOfAllIdsAreRemoved) {
  if (GetParam() == Who::kLone) GTEST_SKIP() << "this user has no other ids";
  Detach({"--name", "a"}, "mkdir -p /d/e; touch /d/e/f; busybox chown -R 1000:1000 /d; busybox chmod 0 /d/e /d");
  Out({"wait", "a"});
  Out({"rm", "a"});
  EXPECT_TRUE(fs::is_empty(host_->store() + "/containers"));
}

TEST_P(DetachedTest, PausedNothingMovesAndThenItGoesOn) {
  Detach({"--name", "a"}, "i=0; while :; do i=$((i+1)); echo $i >/count; sleep 0.01; done");
  std::string count = host_->OnlyContainer() + "/upper/count";
  ASSERT_TRUE(Eventually([&] { return !ReadFileOrEmpty(count).empty(); }));
  EXPECT_EQ(Out({"pause", "a"}), "a\n");
  EXPECT_THAT(Out({"ps"}), HasSubstr("(paused)"));
  EXPECT_EQ(Inspect("a")["status"], "paused");
  ExpectError(Launch({"pause", "a"}), "it is paused already");
  ExpectError(Launch({"exec", "a", "true"}), "it is paused");
  std::string before = ReadFileOrEmpty(count);
  usleep(300000);
  EXPECT_EQ(ReadFileOrEmpty(count), before);
  EXPECT_EQ(Out({"unpause", "a"}), "a\n");
  EXPECT_TRUE(Eventually([&] { return ReadFileOrEmpty(count) != before; }));
  ExpectError(Launch({"unpause", "a"}), "it is not paused");
  // What is paused can be stopped.
  Out({"pause", "a"});
  EXPECT_EQ(Out({"stop", "a"}), "a\n");
  EXPECT_EQ(Out({"wait", "a"}), "143\n");
}

TEST_P(DetachedTest, StartRunsItAgainOnWhatItWrote) {
  Detach({"--name", "a", "-e", "X=kept", "-h", "box"}, "echo $X $(hostname) >>/runs; cat /runs; exit 2");
  EXPECT_EQ(Out({"wait", "a"}), "2\n");
  EXPECT_THAT(Out({"start", "a"}), MatchesRegex("[0-9a-f]+\n"));
  EXPECT_EQ(Out({"wait", "a"}), "2\n");
  EXPECT_EQ(Out({"logs", "a"}), "kept box\nkept box\nkept box\n");
  // With -a it is there as run is.
  Result result = Launch({"start", "-a", "a"});
  EXPECT_EQ(result.status, 2) << result;
  EXPECT_EQ(result.out, "kept box\nkept box\nkept box\n");
  ExpectNothingOutside();
}

TEST_P(DetachedTest, WhatRunsIsNotStartedAgain) {
  Detach({"--name", "a"}, "exec sleep 1000");
  ExpectError(Launch({"start", "a"}), "runs already");
  Out({"kill", "a"});
}

TEST_P(DetachedTest, IdFilesAreWritten) {
  std::string id = Detach({"--name", "a", "--cidfile", *host_ / "cid", "--pidfile", *host_ / "pid"}, "exec sleep 1000");
  EXPECT_EQ(ReadFile(*host_ / "cid"), id);
  EXPECT_EQ(ReadFile(*host_ / "pid"), absl::StrCat(Inspect("a")["pid"].get<int>(), "\n"));
  ExpectError(host_->Shell({"-d", "--cidfile", *host_ / "cid"}, "true"), "--cidfile: make");
  EXPECT_EQ(ReadFile(*host_ / "cid"), id);
  ExpectError(host_->Shell({"-d", "--pidfile", *host_ / "no/such/dir"}, "true"), "--pidfile: make");
  Out({"kill", "a"});
}

TEST_P(DetachedTest, InitTakesInOrphansAndPassesSignalsOn) {
  Detach({"--init", "--name", "a"},
         "trap 'exit 6' TERM; (sleep 0.01 & exec true); (sh -c 'sleep 0.01 & exec true'); echo ready; "
         "while :; do sleep 0.05; done");
  ASSERT_TRUE(Logged("a", "ready"));
  EXPECT_EQ(Out({"exec", "a", "cat", "/proc/1/comm"}), "launch-init\n");
  EXPECT_TRUE(Eventually([&] {
    return Launch({"exec", "a", "sh", "-c", "grep -l 'State:.Z' /proc/[0-9]*/status"}).out.empty();
  }));
  EXPECT_EQ(Out({"stop", "a"}), "a\n");
  EXPECT_EQ(Out({"wait", "a"}), "6\n");
  // Without a handler the signal ends the command, as it would outside.
  Detach({"--init", "--name", "b"}, "echo ready; exec sleep 1000");
  ASSERT_TRUE(Logged("b", "ready"));
  Out({"stop", "b"});
  EXPECT_EQ(Out({"wait", "b"}), "143\n");
  EXPECT_EQ(host_->Run({"--init", "--rm"}, {"no-such-command"}).status, 127);
}

TEST_P(DetachedTest, AKilledSupervisorIsFoundAndCleanedUpAfter) {
  Detach({"--name", "kept"}, "exec sleep 1000");
  Detach({"--name", "gone", "--rm"}, "exec sleep 1000");
  for (const char* name : {"kept", "gone"}) {
    pid_t init = Inspect(name)["pid"];
    kill(HelperOf(init), SIGKILL);
    ASSERT_TRUE(Eventually([&] { return !fs::exists(absl::StrCat("/proc/", init)); }));
  }
  EXPECT_THAT(Out({"ps", "-a"}), AllOf(HasSubstr("kept"), HasSubstr("Exited (137)"), Not(HasSubstr("gone"))));
  ExpectNothingOutside();
  EXPECT_EQ(Out({"wait", "kept"}), "137\n");
  EXPECT_EQ(Inspect("kept")["message"], "the container's helper process was killed");
  EXPECT_EQ(Out({"rm", "kept"}), "kept\n");
  EXPECT_TRUE(fs::is_empty(host_->store() + "/containers"));
  EXPECT_TRUE(fs::is_empty(host_->store() + "/names"));
}

TEST_P(DetachedTest, TheDeathOfFusefsIsKeptForInspect) {
  Detach({"--name", "a"}, "exec sleep 1000");
  pid_t init = Inspect("a")["pid"];
  for (pid_t child : ChildrenOf(HelperOf(init))) {
    if (ProgramOf(child) == "fusefs") kill(child, SIGKILL);
  }
  EXPECT_EQ(Out({"wait", "a"}), "125\n");
  EXPECT_THAT(Inspect("a")["message"].get<std::string>(), HasSubstr("fusefs, which serves the container's root"));
}

TEST_P(DetachedTest, WhatWasCopiedUpIsCounted) {
  const auto copied = [&] { return Inspect("a")["statistics"]["copied_up_bytes"].get<uint64_t>(); };
  Detach({"--name", "a"}, "echo 1; until [ -e /go ]; do sleep 0.01; done; echo more >>/etc/group");
  ASSERT_TRUE(Logged("a", "1"));
  EXPECT_EQ(copied(), 0U);
  Out({"exec", "a", "sh", "-c", "echo more >>/etc/passwd"});
  const uint64_t running = copied();
  EXPECT_GT(running, 0U);
  Out({"exec", "a", "touch", "/go"});
  Out({"wait", "a"});
  EXPECT_GT(copied(), running);
}

TEST_P(DetachedTest, TheDoctorFindsThatContainersRunHere) {
  EXPECT_THAT(Out({"doctor"}), HasSubstr("user namespaces"));
  nlohmann::json findings = nlohmann::json::parse(Out({"doctor", "--json"}));
  for (const nlohmann::json& finding : findings) EXPECT_NE(finding.at("verdict"), "bad") << finding;
  EXPECT_FALSE(fs::exists(host_->store()));
  host_->environment()["ACETATE_FUSEFS"] = "/none";
  Result result = Launch({"doctor"});
  EXPECT_EQ(result.status, 125);
  EXPECT_THAT(result.out, HasSubstr("cure: install it there, or set ACETATE_FUSEFS"));
}

TEST_P(DetachedTest, ARestartPolicyIsRefused) {
  ExpectError(host_->Shell({"-d", "--restart", "always"}, "true"), "--restart \"always\" is not supported");
  Detach({"--restart=no", "--rm"}, "true");
}

TEST_P(DetachedTest, VerbsThatLackSomethingSaySo) {
  ExpectError(Launch({"stop"}), "no container named: launch stop");
  ExpectError(Launch({"ps", "x"}), "no container is to be named");
  ExpectError(Launch({"logs", "a", "b"}), "one container is to be named");
  ExpectError(Launch({"exec", "a"}), "no command given: launch exec");
  ExpectError(Launch({"stop", "--bogus", "a"}), "unknown flag --bogus; see launch stop --help");
  ExpectError(Launch({"logs", "--tail", "some", "a"}), "--tail \"some\"");
  ExpectError(Launch({"stop", "-t", "-1", "a"}), "--time \"-1\"");
  EXPECT_THAT(Out({"stop", "--help"}), HasSubstr("usage: launch stop [flags] CONTAINER..."));
  EXPECT_EQ(Out({"ps"}), "CONTAINER ID   IMAGE   COMMAND   CREATED   STATUS   PORTS   NAME\n");
}

}  // namespace
}  // namespace acetate::launcher
