#include "launcher/terminal_user.h"

#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <iostream>

#include "absl/strings/escaping.h"

namespace acetate::launcher {
namespace {

// Neither line is ever typed, nor printed by anything else.
constexpr char kScript[] =
    "trap : INT\n"
    "before=$(stty -g)\n"
    "\"$@\"\n"
    "echo \"[launch ended with $?]\"\n"
    "test \"$before\" = \"$(stty -g)\" && echo \"[settings restored]\" || echo \"[settings changed]\"\n";

}  // namespace

TerminalUser::TerminalUser(LaunchFixture* host, const std::vector<std::string>& words, int rows, int columns) {
  std::vector<std::string> all = {"sh", "-c", kScript, "sh"};
  for (const std::string& word : host->WithProgram(words)) all.push_back(word);
  shell_ = host->StartOnTerminal(all, rows, columns, &master_);
}

TerminalUser::~TerminalUser() {
  master_.Reset();  // hangs up
  kill(shell_, SIGKILL);
  waitpid(shell_, nullptr, 0);
}

pid_t TerminalUser::launch() const {
  for (pid_t child : ChildrenOf(shell_)) {
    if (ProgramOf(child) == "launch") return child;
  }
  return 0;
}

bool TerminalUser::ReadMore() {
  char buffer[4096];
  pollfd ready = {master_.get(), POLLIN, 0};
  poll(&ready, 1, 20);
  ssize_t n = read(master_.get(), buffer, sizeof(buffer));
  over_ = n < 0 && errno == EIO;
  if (n > 0) seen_.append(buffer, static_cast<size_t>(n));
  return n > 0;
}

void TerminalUser::Type(const std::string& keys) {
  size_t typed = 0;
  Eventually([&] {
    ssize_t n = write(master_.get(), keys.data() + typed, keys.size() - typed);
    if (n > 0) typed += static_cast<size_t>(n);
    return typed == keys.size();
  });
}

void TerminalUser::Resize(int rows, int columns) {
  winsize size = {static_cast<unsigned short>(rows), static_cast<unsigned short>(columns), 0, 0};
  ioctl(master_.get(), TIOCSWINSZ, &size);
}

bool TerminalUser::Sees(const std::string& text) {
  size_t before = found_;
  Eventually([&] {
    while (ReadMore()) {
    }
    size_t at = seen_.find(text, found_);
    if (at == std::string::npos) return over_;
    found_ = at + text.size();
    return true;
  });
  bool sees = found_ > before;
  if (!sees) std::cerr << "\"" << absl::CEscape(text) << "\" did not appear; seen: " << absl::CEscape(seen_) << "\n";
  return sees;
}

TerminalUser::End TerminalUser::WaitForEnd() {
  End end;
  if (!Sees("[launch ended with ")) return end;
  size_t at = found_;
  if (!Sees("[settings ")) return end;
  end.status = atoi(seen_.c_str() + at);
  size_t word = found_;
  if (!Sees("]")) return end;
  end.restored = seen_.compare(word, 8, "restored") == 0;
  return end;
}

}  // namespace acetate::launcher
