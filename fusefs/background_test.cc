#include "fusefs/background.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <functional>
#include <string>

namespace acetate::fusefs {
namespace {

// Runs `scene` in a process of its own, as main would be, and returns that process's status as waitpid gives it.
int StatusOfProcess(const std::function<void()>& scene) {
  const pid_t child = fork();
  if (child == 0) {
    scene();
    _exit(50);
  }
  int status = -1;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  return status;
}

// The status of the daemon that a scene left behind.
int StatusOfOrphan() {
  int status = -1;
  EXPECT_GT(waitpid(-1, &status, 0), 0);
  return status;
}

class BackgroundTest : public ::testing::Test {
 protected:
  BackgroundTest() { prctl(PR_SET_CHILD_SUBREAPER, 1); }
};

TEST_F(BackgroundTest, TheParentEndsWith0WhenTheChildIsReady) {
  const int parent = StatusOfProcess([] {
    absl::StatusOr<Background> background = Background::Enter(/*foreground=*/false);
    background->Ready();
    char cwd[2];
    struct stat out, null;
    const bool detached = getcwd(cwd, sizeof(cwd)) != nullptr && getsid(0) == getpid() && fstat(1, &out) == 0 &&
                          stat("/dev/null", &null) == 0 && out.st_rdev == null.st_rdev;
    _exit(detached ? 42 : 43);
  });
  EXPECT_EQ(parent, 0);
  EXPECT_EQ(WEXITSTATUS(StatusOfOrphan()), 42);
}

TEST_F(BackgroundTest, TheParentEndsWithTheChildsStatusWhenThatEndsBefore) {
  const int parent = StatusOfProcess([] {
    absl::StatusOr<Background> background = Background::Enter(/*foreground=*/false);
    _exit(7);
  });
  EXPECT_EQ(WEXITSTATUS(parent), 7);
}

TEST_F(BackgroundTest, TheParentSaysWhatKilledTheChild) {
  ::testing::internal::CaptureStderr();
  const int parent = StatusOfProcess([] {
    absl::StatusOr<Background> background = Background::Enter(/*foreground=*/false);
    raise(SIGKILL);
  });
  EXPECT_EQ(WEXITSTATUS(parent), 1);
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "fusefs: ended before the mount was ready: Killed\n");
}

TEST_F(BackgroundTest, InTheForegroundNothingForks) {
  const int parent = StatusOfProcess([] {
    const pid_t before = getpid();
    absl::StatusOr<Background> background = Background::Enter(/*foreground=*/true);
    background->Ready();
    _exit(getpid() == before && getsid(0) != before ? 0 : 1);
  });
  EXPECT_EQ(parent, 0);
}

TEST_F(BackgroundTest, ClosedStandardFdsAreFilled) {
  const int status = StatusOfProcess([] {
    close(0);
    close(2);
    EnsureStandardFds();
    const bool filled = fcntl(0, F_GETFD) == 0 && fcntl(2, F_GETFD) == 0;
    const int next = open("/dev/null", O_RDONLY);
    _exit(filled && next > 2 ? 0 : 1);
  });
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace acetate::fusefs
