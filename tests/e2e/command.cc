#include "tests/e2e/command.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <stdexcept>

#include "absl/strings/str_cat.h"
#include "common/temp_dir.h"

namespace acetate {

std::ostream& operator<<(std::ostream& stream, const CommandResult& result) {
  return stream << "status " << result.status << "\nstdout:\n" << result.out << "\nstderr:\n" << result.err;
}

CommandResult RunCommand(const std::vector<std::string>& argv) {
  // Files rather than pipes: what a daemon left behind keeps open does not keep us waiting.
  const TempDir dir;
  std::vector<std::string> words = {"timeout", "--kill-after=10", "300"};
  words.insert(words.end(), argv.begin(), argv.end());
  std::vector<char*> pointers;
  for (std::string& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);

  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  const std::string out = dir / "out";
  const std::string err = dir / "err";
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, 1, out.c_str(), O_WRONLY | O_CREAT, 0644);
  posix_spawn_file_actions_addopen(&actions, 2, err.c_str(), O_WRONLY | O_CREAT, 0644);
  pid_t pid = -1;
  const int error = posix_spawnp(&pid, pointers[0], &actions, nullptr, pointers.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) throw std::runtime_error(absl::StrCat("cannot start ", pointers[0], ": ", strerror(error)));

  int status = -1;
  if (waitpid(pid, &status, 0) != pid) throw std::runtime_error("waitpid");
  return {
      .status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status),
      .out = ReadFile(out),
      .err = ReadFile(err),
  };
}

}  // namespace acetate
