// launch as its users start it, for end-to-end tests: the programs of this build and an image of two layers with
// BusyBox, in a directory of the user's own. One thread.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <map>
#include <ostream>
#include <string>
#include <vector>

#include "common/unique_fd.h"

namespace acetate::launcher {

// Who launches: each gets another kind of user namespace.
enum class Who {
  kRoot,   // every id is itself
  kPlain,  // the user "acetate", who has subordinate ids
  kLone,   // a number that no file knows: a single id
};
std::string NameOf(Who who);

struct Result {
  int status = -1;  // exit status; 128 + signal when killed by one
  std::string out;
  std::string err;
};
std::ostream& operator<<(std::ostream& stream, const Result& result);

// A launch that has been started.
struct Running {
  pid_t pid = -1;
  UniqueFd out;
  UniqueFd err;
};

class LaunchFixture {
 public:
  // Throws std::runtime_error with the reason when the machine lacks what is needed.
  explicit LaunchFixture(Who who);
  ~LaunchFixture();
  LaunchFixture(const LaunchFixture&) = delete;
  LaunchFixture& operator=(const LaunchFixture&) = delete;

  // launch --image IMAGE FLAGS... -- COMMAND...
  Result Run(const std::vector<std::string>& flags, const std::vector<std::string>& command);
  // The same with sh -c SCRIPT for a command.
  Result Shell(const std::vector<std::string>& flags, const std::string& script);
  // launch WORDS...
  Result Launch(const std::vector<std::string>& words) { return Exec(WithProgram(words)); }
  // Any program, as the user and with the environment of launch.
  Result Exec(const std::vector<std::string>& words) { return Wait(Start(words)); }

  Running Start(const std::vector<std::string>& words);
  // Starts a program as the leader of a session on a new terminal; returns its pid.
  pid_t StartOnTerminal(const std::vector<std::string>& words, int rows, int columns, UniqueFd* master);
  std::vector<std::string> WithProgram(const std::vector<std::string>& words) const;
  // Reads to the end and reaps.
  Result Wait(Running running);

  // Names, types, sizes, modes and contents of all below a directory, one line each.
  static std::string Describe(const std::string& directory);

  // Makes a file or directory that belongs to the user.
  void Write(const std::string& name, const std::string& contents, unsigned mode = 0644);
  void MakeDirectory(const std::string& name);
  void Own(const std::string& path) const;

  const std::string& path() const { return path_; }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }
  std::string image() const { return path_ + "/image"; }
  std::string store() const { return path_ + "/data/acetate"; }
  std::string runtime() const { return path_ + "/run/acetate"; }
  uid_t uid() const { return uid_; }
  std::map<std::string, std::string>& environment() { return environment_; }

  // The only container that is kept; throws when there are none or several.
  std::string OnlyContainer() const;

 private:
  void MakeImage();
  // In a forked child: becomes the user and the program.
  [[noreturn]] void Become(char* const* argv, char* const* envp) const;
  std::vector<std::string> Settings() const;

  uid_t uid_ = 0;
  gid_t gid_ = 0;
  std::string path_;
  std::map<std::string, std::string> environment_;
};

// The children of a process, from /proc.
std::vector<pid_t> ChildrenOf(pid_t pid);
// The name of the program that a process runs; empty when it is gone.
std::string ProgramOf(pid_t pid);
// The directories of a container's cgroups, anywhere, and of its launch's.
std::vector<std::string> CgroupsOf(const std::string& short_id);

// Waits until `condition` holds; returns whether it does. The limit, by the clock, is for what never comes: on a busy
// machine everything may take many seconds.
template <typename Condition>
bool Eventually(Condition condition) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return condition();
    usleep(10000);
  }
  return true;
}

}  // namespace acetate::launcher
