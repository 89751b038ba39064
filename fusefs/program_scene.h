// For tests of the program as a whole: a directory that every user can reach, holding a copy of fusefs, and ways to run
// programs there as root or as a user without privileges.
#pragma once

#include <sys/types.h>

#include <set>
#include <string>
#include <vector>

#include "common/temp_dir.h"

namespace acetate::fusefs {

struct Finished {
  int status = 0;  // exit status, or 128 + signal
  std::string out;
  std::string err;
};

// Programs run in the scene's directory, found by name there first. One at a time per test process: daemons that are
// left behind become children of it.
class ProgramScene {
 public:
  // Makes the layers a and b with one file each (fa, fb), upper, work and the mountpoint mnt, all of `user`.
  explicit ProgramScene(uid_t user = 0);
  // Ends what was started and takes away what is mounted.
  ~ProgramScene();

  // Why programs cannot run as `user` here; empty when they can.
  static std::string Obstacle(uid_t user);

  std::string operator/(const std::string& name) const { return temp_ / name; }
  const std::string& path() const { return temp_.path(); }

  // Runs to the end. The streams are read until every holder has closed them: a daemon that keeps one is a hang.
  Finished Run(const std::vector<std::string>& command);
  // The same, after `setup` commands by root in a mount namespace of its own.
  Finished RunAfter(const std::vector<std::vector<std::string>>& setup, const std::vector<std::string>& command);
  // Runs on, with its streams discarded.
  pid_t Start(const std::vector<std::string>& command);
  // The status of a process that was started, or of a daemon that was left behind; pid -1 means any. -1: none ended
  // within a minute.
  int Await(pid_t pid);

  // `lowerdir=a:b,upperdir=upper,workdir=work`.
  std::string Writable() const;
  // The mounts below the scene's directory: their mountpoints relative to it.
  std::set<std::string> Mounts() const;
  // Waits until `mnt` is a mount, or is none; false after a minute.
  bool AwaitMount(bool mounted) const;
  // Every path below the scene with type, mode and size; not what is inside mounts.
  std::set<std::string> Listing() const;

 private:
  pid_t Spawn(const std::vector<std::vector<std::string>>& setup, const std::vector<std::string>& command, int out,
              int err);

  const uid_t user_;
  const TempDir temp_;
};

// A user that owns nothing and is nobody special, known to fusermount3.
uid_t PlainUser();

}  // namespace acetate::fusefs
