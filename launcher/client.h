// The user's side of a connection to a helper (protocol.h): passes signals on and, for a terminal or attached streams,
// what is typed and what is written. Returns when the other side has ended or the user has left. One thread.
#pragma once

#include <signal.h>
#include <sys/types.h>

#include <functional>
#include <string>

#include "common/unique_fd.h"
#include "launcher/protocol.h"

namespace acetate::launcher {

struct ClientOptions {
  UniqueFd socket;
  pid_t child = 0;               // the helper, when it is this process's child; its end is then the end
  bool terminal = false;         // the container has one: the user's goes into raw mode
  bool interactive = false;      // stdin is read and sent
  bool started = false;          // the command runs already
  bool forwards_signals = true;  // else they end the client, with the status 128 and the number
  bool leaves_at_start = false;
  std::string detach_keys;  // bytes
  std::function<void(pid_t)> on_start = [](pid_t) {};
};

struct ClientEnd {
  enum class How {
    kExited,  // the command, or the helper, has ended
    kLeft,    // it goes on without us
    kLost,    // the other side is gone without a word
  };
  How how = How::kLost;
  int status = 0;  // a wait status when there is a child, else the exit status
};

// Blocks the signals that a client takes as they come, and returns the mask from before.
sigset_t BlockClientSignals();

// Needs BlockClientSignals to have been called. The user's terminal is as before on return.
ClientEnd RunClient(ClientOptions options);

// The size of the user's window: that of the first standard stream that is a terminal.
WindowSize WindowSizeOfUser();

}  // namespace acetate::launcher
