#include "launcher/supervise.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/syscall.h>

namespace acetate::launcher {
namespace {

std::string Status(const char* blocked, const char* ignored, const char* caught) {
  return std::string("Name:\tx\nSigPnd:\t0000000000000000\nSigBlk:\t") + blocked + "\nSigIgn:\t" + ignored +
         "\nSigCgt:\t" + caught + "\nCapInh:\t0000000000000000\n";
}

constexpr char kNone[] = "0000000000000000";
constexpr char kTerm[] = "0000000000004000";  // bit 14

TEST(WouldBeLostTest, ASignalThatPidOneDoesNothingAboutIsLost) {
  EXPECT_TRUE(WouldBeLost(Status(kNone, kNone, kNone), SIGTERM));
  EXPECT_TRUE(WouldBeLost(Status(kNone, kNone, kTerm), SIGINT));
  EXPECT_TRUE(WouldBeLost(Status(kNone, kNone, kNone), SIGUSR1));
}

TEST(WouldBeLostTest, OneThatIsCaughtIgnoredOrBlockedIsPassedOn) {
  EXPECT_FALSE(WouldBeLost(Status(kNone, kNone, kTerm), SIGTERM));
  EXPECT_FALSE(WouldBeLost(Status(kNone, kTerm, kNone), SIGTERM));
  EXPECT_FALSE(WouldBeLost(Status(kTerm, kNone, kNone), SIGTERM));
}

TEST(WouldBeLostTest, OneThatEndsNothingIsPassedOn) {
  EXPECT_FALSE(WouldBeLost(Status(kNone, kNone, kNone), SIGWINCH));
  EXPECT_FALSE(WouldBeLost(Status(kNone, kNone, kNone), SIGCONT));
  EXPECT_FALSE(WouldBeLost(Status(kNone, kNone, kNone), SIGKILL));
}

TEST(WouldBeLostTest, WithoutProcItIsPassedOn) {
  EXPECT_FALSE(WouldBeLost("", SIGTERM));
  EXPECT_FALSE(WouldBeLost("SigCgt:\tgarbage\n", SIGTERM));
}

TEST(IsExitingTest, ReadsTheFlagWhateverTheName) {
  EXPECT_FALSE(IsExiting("7 (sh) S 1 7 7 0 -1 4194560 245 0 0 0"));
  EXPECT_TRUE(IsExiting("7 (sh) Z 1 7 7 0 -1 4194564 245 0 0 0"));
  EXPECT_TRUE(IsExiting("7 (a) S 1 2) 3) Z 1 7 7 0 -1 4194564 245 0 0 0"));
  EXPECT_FALSE(IsExiting(""));
  EXPECT_FALSE(IsExiting("7 (sh) Z 1"));
}

TEST(SuperviseTest, WhoWaitsForSignalsIsKnownByItsSystemCall) {
  std::string number = std::to_string(SYS_rt_sigtimedwait);
  EXPECT_TRUE(AwaitsSignals(number + " 0x7ffd 0x7ffe 0x0 0x8 0x0 0x0 0x7ffd 0x7f00\n"));
  EXPECT_FALSE(AwaitsSignals(number + "0 0x0\n"));
  EXPECT_FALSE(AwaitsSignals("running\n"));
  EXPECT_FALSE(AwaitsSignals(""));
}

}  // namespace
}  // namespace acetate::launcher
