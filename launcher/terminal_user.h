// A user at a terminal, for tests: types, and reads what appears. The program, under a shell that says afterwards how
// it ended and whether the terminal's settings are what they were, leads the terminal's session. One thread.
#pragma once

#include <string>
#include <vector>

#include "common/unique_fd.h"
#include "launcher/launch_fixture.h"

namespace acetate::launcher {

class TerminalUser {
 public:
  // Starts `launch WORDS...` on a terminal of this size.
  TerminalUser(LaunchFixture* host, const std::vector<std::string>& words, int rows = 24, int columns = 80);
  ~TerminalUser();
  TerminalUser(const TerminalUser&) = delete;
  TerminalUser& operator=(const TerminalUser&) = delete;

  void Type(const std::string& keys);
  void Resize(int rows, int columns);

  // Waits until `text` appears behind what was found before; false, having said what appeared, when it does not or no
  // one is left who could write it.
  bool Sees(const std::string& text);

  struct End {
    int status = -1;        // of launch; -1 when it did not end
    bool restored = false;  // the terminal's settings are those from before
  };
  // Waits for launch to end.
  End WaitForEnd();

  // All that has appeared so far.
  const std::string& seen() const { return seen_; }
  // launch itself, the shell's child; 0 while there is none.
  pid_t launch() const;

 private:
  bool ReadMore();

  pid_t shell_ = 0;
  UniqueFd master_;
  std::string seen_;
  size_t found_ = 0;   // end of what Sees found last
  bool over_ = false;  // the shell has ended
};

}  // namespace acetate::launcher
