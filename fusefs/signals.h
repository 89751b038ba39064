// SIGHUP, SIGINT and SIGTERM end the mount: the session's loop returns and main unmounts.
#pragma once

struct fuse_session;

namespace acetate::fusefs {

// From construction to destruction those signals end `session`, and SIGPIPE is ignored. Threads that must not be
// interrupted block the signals themselves. One at a time, by main.
class EndOnSignals {
 public:
  explicit EndOnSignals(fuse_session* session);
  ~EndOnSignals();
  EndOnSignals(const EndOnSignals&) = delete;
  EndOnSignals& operator=(const EndOnSignals&) = delete;
};

}  // namespace acetate::fusefs
