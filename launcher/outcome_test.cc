#include "launcher/outcome.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <cstring>

namespace acetate::launcher {
namespace {

siginfo_t Exited(int status) {
  siginfo_t info = {};
  info.si_code = CLD_EXITED;
  info.si_status = status;
  return info;
}

siginfo_t Killed(int signal) {
  siginfo_t info = {};
  info.si_code = CLD_KILLED;
  info.si_status = signal;
  return info;
}

ContainerEnd EndOf(const siginfo_t& init) {
  ContainerEnd end;
  end.init = init;
  return end;
}

InitReport Failure(int error, uint32_t step) {
  InitReport report;
  report.exit_status = 125;
  report.error = error;
  report.step = step;
  return report;
}

void ExpectOutcome(const Plan& plan, const ContainerEnd& end, int exit_status, const std::string& message) {
  const Outcome outcome = JudgeEnd(plan, end);
  EXPECT_EQ(outcome.exit_status, exit_status);
  EXPECT_EQ(outcome.message, message);
}

TEST(OutcomeTest, TheStatusIsTheCommandsOr128AndItsSignal) {
  ExpectOutcome(Plan(), EndOf(Exited(7)), 7, "");
  ExpectOutcome(Plan(), EndOf(Killed(SIGTERM)), 128 + SIGTERM, "");
  // Killed in place of a signal that the kernel keeps from PID 1.
  ContainerEnd end = EndOf(Killed(SIGKILL));
  end.ended_by = SIGINT;
  ExpectOutcome(Plan(), end, 128 + SIGINT, "");
}

TEST(OutcomeTest, WhatTheKernelKilledForWantOfMemoryIsTold) {
  Plan plan;
  plan.spec.limits.memory_bytes = 64 << 20;
  ContainerEnd end = EndOf(Killed(SIGKILL));
  end.oom_kills = 1;
  ExpectOutcome(plan, end, 137, "out of memory: the kernel killed 1 process at the limit of 64 MiB");
  end.oom_kills = 2;
  end.init = Killed(SIGSYS);
  ExpectOutcome(plan, end, 159, "out of memory: the kernel killed 2 processes at the limit of 64 MiB");
}

TEST(OutcomeTest, AForbiddenSystemCallIsToldWhereThereIsAProfile) {
  Plan plan;
  ExpectOutcome(plan, EndOf(Killed(SIGSYS)), 159,
                "a system call that the seccomp profile forbids killed the command (SIGSYS)");
  ExpectOutcome(plan, EndOf(Exited(SIGSYS)), SIGSYS, "");
  plan.spec.seccomp = kSeccompUnconfined;
  ExpectOutcome(plan, EndOf(Killed(SIGSYS)), 159, "");
}

TEST(OutcomeTest, AFailureOfPidOneIsToldByItsStepUnlessItSaysMore) {
  Plan plan;
  plan.container.push_back({"enter the new root", SwitchRoot{}});
  plan.container.push_back({"mount /proc", MountFilesystem{}});
  ContainerEnd end = EndOf(Exited(1));
  end.failure = Failure(EPERM, 0);
  ExpectOutcome(plan, end, 125, "enter the new root: Operation not permitted");
  end.failure = Failure(EPERM, 1);
  ExpectOutcome(plan, end, 125,
                "mount /proc: Operation not permitted; a container around this one covers parts of its /proc or /sys: "
                "start it without");
  end.failure = Failure(ENOMEM, 2);
  ExpectOutcome(plan, end, 125, "start: Cannot allocate memory");
  strcpy(end.failure->detail, "x: not found");
  end.failure->exit_status = 127;
  ExpectOutcome(plan, end, 127, "x: not found");
}

TEST(OutcomeTest, TheEndOfFusefsIsTheReasonOfWhatComesOfIt) {
  ContainerEnd end = EndOf(Killed(SIGKILL));
  end.daemon_failure = Killed(SIGSEGV);
  ExpectOutcome(Plan(), end, 125, "fusefs, which serves the container's root, was killed by signal 11 (SIGSEGV)");
  end.daemon_failure = Exited(1);
  end.daemon_output = "fusefs: warning: x\nfusefs: y\n";
  ExpectOutcome(Plan(), end, 125, "fusefs, which serves the container's root, exited with status 1: fusefs: y");
  end.failure = Failure(ENOTCONN, 0);
  EXPECT_TRUE(IsFusefsToBlame(end));
  end.failure = Failure(ENOENT, 0);
  EXPECT_FALSE(IsFusefsToBlame(end));
  ExpectOutcome(Plan(), end, 125, "start: No such file or directory");
}

TEST(OutcomeTest, WhatKeptTheCommandFromBeingStartedComesFirst) {
  ContainerEnd end = EndOf(Killed(SIGKILL));
  end.start_failure = "the network did not come up";
  end.daemon_failure = Exited(1);
  end.failure = Failure(ENOENT, 0);
  ExpectOutcome(Plan(), end, 125, "the network did not come up");
}

}  // namespace
}  // namespace acetate::launcher
