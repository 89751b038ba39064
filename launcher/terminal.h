// Terminals: those made for containers, and the user's own.
#pragma once

#include <termios.h>

#include "common/errno_or.h"
#include "common/unique_fd.h"
#include "launcher/protocol.h"

namespace acetate::launcher {

struct Terminal {
  UniqueFd master;
  UniqueFd slave;
};

// A new terminal of the devpts on /dev/pts below `root`, whose slave is opened through the master (TIOCGPTPEER): no
// path decides what it is. ENODEV when something else is there. Does not allocate.
ErrnoOr<Terminal> OpenTerminal(int root);

// The size of the window of a terminal; zeros when `fd` is none.
WindowSize SizeOf(int fd);

// The user's terminal in raw mode, in which every key is the container's, for as long as the object lives. One thread.
class RawMode {
 public:
  RawMode() = default;
  RawMode(const RawMode&) = delete;
  RawMode& operator=(const RawMode&) = delete;
  ~RawMode() { Leave(); }

  // Does nothing when `fd` is no terminal, or when it is in raw mode already.
  void Enter(int fd);
  // As it was before.
  void Leave();

 private:
  int fd_ = -1;  // not owned; -1 when not in raw mode
  termios saved_ = {};
};

}  // namespace acetate::launcher
