#include "launcher/signals.h"

#include <gtest/gtest.h>

namespace acetate::launcher {
namespace {

TEST(SignalsTest, NamesAndNumbersAreRead) {
  for (const char* text : {"TERM", "SIGTERM", "term", "sigterm", "15"}) EXPECT_EQ(*ParseSignal(text), SIGTERM) << text;
  EXPECT_EQ(*ParseSignal("KILL"), SIGKILL);
  EXPECT_EQ(*ParseSignal("RTMIN"), SIGRTMIN);
  EXPECT_EQ(*ParseSignal("SIGRTMIN+3"), SIGRTMIN + 3);
  EXPECT_EQ(*ParseSignal("RTMAX-1"), SIGRTMAX - 1);
}

TEST(SignalsTest, AnythingElseIsAnError) {
  for (const char* text : {"", "SIG", "0", "-1", "65", "1x", "NONE", "RTMIN+99", "RTMAX+1", "15 "}) {
    EXPECT_FALSE(ParseSignal(text).ok()) << text;
  }
}

TEST(SignalsTest, NamesAreWritten) {
  EXPECT_EQ(SignalName(SIGTERM), "SIGTERM");
  EXPECT_EQ(SignalName(SIGRTMIN + 3), "37");
}

TEST(SignalsTest, JobControlAndFaultsStayWithLaunch) {
  sigset_t set = ForwardedSignals();
  for (int signal : {SIGTERM, SIGINT, SIGHUP, SIGWINCH, SIGUSR1}) EXPECT_EQ(sigismember(&set, signal), 1) << signal;
  for (int signal : {SIGTSTP, SIGTTIN, SIGCONT, SIGSEGV, SIGCHLD}) EXPECT_EQ(sigismember(&set, signal), 0) << signal;
}

}  // namespace
}  // namespace acetate::launcher
