// How a container ends: exit statuses, signals, limits, and the deaths of each process that takes part.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <filesystem>
#include <memory>

#include "absl/strings/str_cat.h"
#include "launcher/each_user_test.h"
#include "launcher/files.h"
#include "launcher/launch_fixture.h"

namespace acetate::launcher {
namespace {

using ::testing::HasSubstr;

namespace fs = std::filesystem;

class LifecycleTest : public EachUserTest {
 protected:
  // Starts a container and waits until its script has written /ready; finds its processes.
  void StartContainer(const std::vector<std::string>& flags, const std::string& script) {
    std::vector<std::string> words = {"--image", host_->image()};
    words.insert(words.end(), flags.begin(), flags.end());
    words.insert(words.end(), {"--", "sh", "-c", script});
    running_ = host_->Start(host_->WithProgram(words));
    ASSERT_TRUE(Eventually(
        [&] { return FindProcesses() && !Containers().empty() && fs::exists(Containers()[0] + "/upper/ready"); }));
    short_id_ = fs::path(Containers()[0]).filename().string().substr(0, 12);
  }

  bool FindProcesses() {
    std::vector<pid_t> children = ChildrenOf(running_.pid);
    if (children.size() != 1) return false;
    helper_ = children[0];
    children = ChildrenOf(helper_);
    if (children.size() != 2) return false;
    fusefs_ = children[0];
    init_ = children[1];
    return ProgramOf(fusefs_) == "fusefs" && (ProgramOf(init_) == "sh" || ProgramOf(init_) == "sleep");
  }

  std::vector<std::string> Containers() const {
    std::vector<std::string> found;
    std::error_code ignored;
    for (const auto& entry : fs::directory_iterator(host_->store() + "/containers", ignored))
      found.push_back(entry.path());
    return found;
  }

  bool AllGone() const {
    for (pid_t pid : {helper_, fusefs_, init_}) {
      if (fs::exists(absl::StrCat("/proc/", pid))) return false;
    }
    return fs::is_empty(host_->runtime()) && fs::is_empty(host_->store() + "/running") && CgroupsOf(short_id_).empty();
  }

  Running running_;
  pid_t helper_ = 0;
  pid_t fusefs_ = 0;
  pid_t init_ = 0;
  std::string short_id_;
};

ACETATE_FOR_EACH_USER(LifecycleTest);

TEST_P(LifecycleTest, TheStatusIsTheCommands) {
  EXPECT_EQ(host_->Shell({"--rm"}, "exit 0").status, 0);
  EXPECT_EQ(host_->Shell({"--rm"}, "exit 3").status, 3);
  EXPECT_EQ(host_->Shell({"--rm"}, "exit 255").status, 255);
  // What the command itself ends with is its own, even where launch uses the number too.
  Result result = host_->Shell({}, "exit 125");
  EXPECT_EQ(result.status, 125);
  EXPECT_EQ(result.err, "");
  EXPECT_FALSE(Containers().empty());
}

TEST_P(LifecycleTest, AllDieWithTheMainProcessAndTheDaemonIsGoneBeforeLaunchReturns) {
  Result result = host_->Shell({"--rm"}, "sleep 1000 & (sleep 1001 &) ; true");
  EXPECT_EQ(result.status, 0) << result;
  for (const auto& entry : fs::directory_iterator("/proc")) {
    std::string command = ReadFileOrEmpty(entry.path().string() + "/cmdline");
    EXPECT_THAT(command, ::testing::Not(HasSubstr(host_->store()))) << entry.path();
  }
  EXPECT_TRUE(fs::is_empty(host_->runtime()));
}

TEST_P(LifecycleTest, ASignalReachesTheCommandsHandler) {
  StartContainer({"--rm"},
                 "trap 'echo got TERM; exit 9' TERM; trap 'echo got USR1; touch /usr1' USR1; touch /ready; while :; do "
                 "sleep 0.05; done");
  kill(running_.pid, SIGUSR1);
  kill(running_.pid, SIGWINCH);  // which does nothing
  ASSERT_TRUE(Eventually([&] { return fs::exists(Containers()[0] + "/upper/usr1"); }));
  kill(running_.pid, SIGTERM);
  Result result = host_->Wait(std::move(running_));
  EXPECT_EQ(result.status, 9) << result;
  EXPECT_EQ(result.out, "got USR1\ngot TERM\n");
}

TEST_P(LifecycleTest, ASignalWithoutAHandlerEndsTheCommandThoughItIsPidOne) {
  for (int signal : {SIGTERM, SIGINT, SIGHUP, SIGUSR2}) {
    // Not a shell: those catch SIGINT, and then send it to themselves in vain.
    StartContainer({"--rm"}, "touch /ready; exec sleep 1000");
    ASSERT_TRUE(Eventually([&] { return ProgramOf(init_) == "sleep"; }));
    kill(running_.pid, signal);
    Result result = host_->Wait(std::move(running_));
    EXPECT_EQ(result.status, 128 + signal) << result;
    EXPECT_EQ(result.out + result.err, "");
    EXPECT_TRUE(AllGone());
  }
}

TEST_P(LifecycleTest, AnIgnoredSignalIsIgnored) {
  StartContainer({"--rm"}, "trap '' TERM; touch /ready; sleep 0.5; exit 4");
  kill(running_.pid, SIGTERM);
  EXPECT_EQ(host_->Wait(std::move(running_)).status, 4);
}

TEST_P(LifecycleTest, ASignalSentBeforeTheStartIsNotLost) {
  // A daemon that takes its time keeps the command from starting.
  host_->Write("slow", absl::StrCat("#!/bin/sh\nsleep 0.5\nexec ", *host_ / "fusefs", " \"$@\"\n"), 0755);
  host_->environment()["ACETATE_FUSEFS"] = *host_ / "slow";
  Running running = host_->Start(host_->WithProgram({"--rm", "--image", host_->image(), "sleep", "1000"}));
  ASSERT_TRUE(Eventually([&] { return !ChildrenOf(running.pid).empty(); }));
  kill(running.pid, SIGTERM);
  EXPECT_EQ(host_->Wait(std::move(running)).status, 143);
}

TEST_P(LifecycleTest, KillingTheLauncherEndsAll) {
  StartContainer({}, "trap '' TERM HUP; touch /ready; sleep 1000 & sleep 1000");
  kill(running_.pid, SIGKILL);
  EXPECT_TRUE(Eventually([&] { return AllGone(); }));
  host_->Wait(std::move(running_));
  EXPECT_EQ(Containers().size(), 1u);  // kept, as at any end
}

TEST_P(LifecycleTest, KillingTheLauncherRemovesAContainerThatWasNotToStay) {
  StartContainer({"--rm", "--name", "x"}, "touch /ready; sleep 1000");
  kill(running_.pid, SIGKILL);
  EXPECT_TRUE(Eventually([&] { return AllGone() && Containers().empty() && fs::is_empty(host_->store() + "/names"); }));
  host_->Wait(std::move(running_));
}

TEST_P(LifecycleTest, KillingTheHelperEndsTheContainerAndIsReported) {
  StartContainer({}, "touch /ready; sleep 1000");
  kill(helper_, SIGKILL);
  Result result = host_->Wait(std::move(running_));
  EXPECT_EQ(result.status, 125);
  EXPECT_EQ(result.err, "launch: the container's helper process was killed by signal 9\n");
  EXPECT_TRUE(Eventually([&] { return AllGone(); }));
}

TEST_P(LifecycleTest, WhatTheDeathOfBothLeavesTheNextLaunchCleans) {
  StartContainer({"--rm", "--name", "x"}, "touch /ready; sleep 1000");
  kill(helper_, SIGSTOP);  // so that it cannot clean up
  kill(running_.pid, SIGKILL);
  kill(helper_, SIGKILL);
  host_->Wait(std::move(running_));
  EXPECT_TRUE(Eventually([&] { return !fs::exists(absl::StrCat("/proc/", fusefs_)); }));
  EXPECT_FALSE(fs::is_empty(host_->store() + "/running"));
  Result result = host_->Shell({"--rm"}, "true");
  EXPECT_EQ(result.status, 0) << result;
  EXPECT_EQ(result.err, "");
  EXPECT_TRUE(AllGone());
  EXPECT_TRUE(Containers().empty());
  EXPECT_TRUE(fs::is_empty(host_->store() + "/names"));
}

TEST_P(LifecycleTest, ALiveContainerIsLeftAloneByOthers) {
  host_->MakeDirectory("shared");
  StartContainer({"-v", *host_ / "shared:/mnt"},
                 "touch /ready; while ! test -e /mnt/stop; do sleep 0.05; done; echo lived");
  EXPECT_EQ(host_->Shell({"--rm"}, "true").status, 0);
  EXPECT_EQ(Containers().size(), 1u);
  EXPECT_TRUE(FindProcesses());
  host_->Write("shared/stop", "");
  EXPECT_EQ(host_->Wait(std::move(running_)).out, "lived\n");
}

TEST_P(LifecycleTest, KillingFusefsEndsTheContainerAndIsReported) {
  StartContainer({}, "trap '' TERM; touch /ready; while :; do sleep 0.05; done");
  kill(fusefs_, SIGKILL);
  Result result = host_->Wait(std::move(running_));
  EXPECT_EQ(result.status, 125);
  EXPECT_THAT(result.err,
              HasSubstr("launch: fusefs, which serves the container's root, was killed by signal 9 (SIGKILL)\n"));
  EXPECT_TRUE(AllGone());
}

TEST_P(LifecycleTest, AFusefsThatEndsInOrderUnderALiveContainerIsReportedToo) {
  StartContainer({}, "trap '' TERM; touch /ready; while :; do sleep 0.05; done");
  kill(fusefs_, SIGTERM);
  Result result = host_->Wait(std::move(running_));
  EXPECT_EQ(result.status, 125);
  EXPECT_THAT(result.err, HasSubstr("launch: fusefs, which serves the container's root, exited with status 0\n"));
}

TEST_P(LifecycleTest, TheHelperAndTheLauncherHoldNoReferenceToTheUnion) {
  StartContainer({"--rm"}, "touch /ready; sleep 1000");
  for (pid_t pid : {running_.pid, helper_, fusefs_}) {
    EXPECT_THAT(ReadFileOrEmpty(absl::StrCat("/proc/", pid, "/mountinfo")),
                ::testing::Not(HasSubstr("fuse.fusefs acetate")));
    for (const auto& fd : fs::directory_iterator(absl::StrCat("/proc/", pid, "/fd"))) {
      std::string target = fs::read_symlink(fd.path());
      if (pid != fusefs_) {
        EXPECT_NE(target, "/dev/fuse");
      }
    }
  }
  kill(running_.pid, SIGTERM);
  host_->Wait(std::move(running_));
}

}  // namespace
}  // namespace acetate::launcher
