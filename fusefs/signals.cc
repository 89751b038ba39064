#include "fusefs/signals.h"

#include <sys/time.h>

#include <atomic>
#include <cerrno>
#include <csignal>

#include "fusefs/libfuse.h"

namespace acetate::fusefs {
namespace {

// Handlers get no argument, so this is the one global of the daemon.
std::atomic<fuse_session*> ending_session{nullptr};

// Main notices the session's end when what it waits in is interrupted. A signal that comes just before that interrupts
// nothing; so the timer goes on to interrupt it until the loop has returned.
void EndSession(int) {
  const int saved_errno = errno;
  if (fuse_session* session = ending_session.load()) fuse_session_exit(session);
  const itimerval every_20ms = {{0, 20000}, {0, 20000}};
  setitimer(ITIMER_REAL, &every_20ms, nullptr);
  errno = saved_errno;
}

void Interrupt(int) {}

void Handle(int signal, void (*handler)(int)) {
  struct sigaction action = {};
  action.sa_handler = handler;  // no SA_RESTART: read() must return
  sigaction(signal, &action, nullptr);
}

// nohup, and a shell that starts a job in the background, ignore signals on behalf of what they run.
bool IsIgnored(int signal) {
  struct sigaction action;
  return sigaction(signal, nullptr, &action) == 0 && action.sa_handler == SIG_IGN;
}

}  // namespace

EndOnSignals::EndOnSignals(fuse_session* session) {
  ending_session = session;
  Handle(SIGALRM, Interrupt);
  for (int signal : {SIGHUP, SIGINT, SIGTERM}) {
    if (!IsIgnored(signal)) Handle(signal, EndSession);
  }
  Handle(SIGPIPE, SIG_IGN);
}

EndOnSignals::~EndOnSignals() {
  // Neither another signal nor the timer may interrupt main while it unmounts: libfuse waits once for fusermount3.
  for (int signal : {SIGHUP, SIGINT, SIGTERM, SIGALRM}) Handle(signal, SIG_IGN);
  const itimerval off = {};
  setitimer(ITIMER_REAL, &off, nullptr);
  ending_session = nullptr;
}

}  // namespace acetate::fusefs
