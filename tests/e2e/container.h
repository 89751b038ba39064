// Containers as a user starts them: launch and fusefs of this build, run by the unprivileged user "acetate" (or by
// whoever runs the test, when that is not root), with a store of its own for each test. For tests; one thread.
#pragma once

#include <string>
#include <vector>

#include "tests/e2e/command.h"

namespace acetate {

class ContainerHost {
 public:
  // Copies the programs to a new directory that the user can read. Throws std::runtime_error when it can't.
  ContainerHost();
  ~ContainerHost();
  ContainerHost(const ContainerHost&) = delete;
  ContainerHost& operator=(const ContainerHost&) = delete;

  // launch ARGUMENTS..., by the unprivileged user or by the caller.
  CommandResult Launch(const std::vector<std::string>& arguments) const;
  CommandResult LaunchAsCaller(const std::vector<std::string>& arguments) const;
  // launch --image IMAGE --rm -- sh -eu -c SCRIPT
  CommandResult Shell(const std::string& image, const std::string& script) const;

  // Where launch keeps containers ($XDG_DATA_HOME/acetate).
  std::string store() const { return path_ + "/data/acetate"; }

 private:
  std::vector<std::string> Command(const std::vector<std::string>& prefix,
                                   const std::vector<std::string>& arguments) const;

  std::string path_;
};

// The directory of an image that tests/setup.sh made (tests/lib/image.sh has them); empty when there is none.
// kToolsImage has a compiler, Git, SQLite and nginx; kQuickstartImage a greeting on top of Debian; kDebianImage is a
// plain root directory.
inline constexpr char kToolsImage[] = ".";
inline constexpr char kQuickstartImage[] = "quickstart";
inline constexpr char kDebianImage[] = "quickstart/debian";
std::string TestImage(const std::string& name);

}  // namespace acetate
