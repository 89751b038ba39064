#include "launcher/own_init.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

namespace acetate::launcher {
namespace {

// Takes in all who have ended. True, with the status, when the command is among them.
bool Reap(pid_t child, int* exit_status) {
  bool ended = false;
  int status;
  pid_t pid;
  while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
    if (pid != child) continue;
    ended = true;
    *exit_status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }
  return ended;
}

}  // namespace

void RunAsInit(pid_t child) {
  prctl(PR_SET_NAME, "launch-init", 0, 0, 0);
  // Not the command's streams: who reads its output has to see their end.
  close_range(0, ~0U, 0);
  // What is blocked is not lost on PID 1, whatever its default action, and waits until it is asked for.
  sigset_t all;
  sigfillset(&all);
  sigprocmask(SIG_BLOCK, &all, nullptr);
  for (;;) {
    int exit_status = 0;
    if (Reap(child, &exit_status)) _exit(exit_status);
    siginfo_t info;
    int signal = sigwaitinfo(&all, &info);
    if (signal <= 0 || signal == SIGCHLD) continue;
    kill(child, signal);
  }
}

}  // namespace acetate::launcher
