// Runs a program to its end and keeps what it wrote. For tests; one thread.
#pragma once

#include <ostream>
#include <string>
#include <vector>

namespace acetate {

struct CommandResult {
  int status = -1;  // the exit status; 128 + signal when killed by one
  std::string out;
  std::string err;
};

// For the messages of failed expectations.
std::ostream& operator<<(std::ostream& stream, const CommandResult& result);

// Runs argv[0], found in PATH, with an empty standard input. A program that has not ended after five minutes is killed.
// Throws std::runtime_error when the program cannot be started at all.
CommandResult RunCommand(const std::vector<std::string>& argv);

}  // namespace acetate
