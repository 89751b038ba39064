// What libfuse and the programs it runs print when something fails, as text: fusefs says it in one line of its own.
#pragma once

#include <string>

#include "common/unique_fd.h"

namespace acetate::fusefs {

// From construction to Finish() stderr goes to memory, that of child processes too. For main, before there are threads.
class StderrCapture {
 public:
  StderrCapture();
  ~StderrCapture();
  StderrCapture(const StderrCapture&) = delete;
  StderrCapture& operator=(const StderrCapture&) = delete;

  // Puts stderr back and returns what was written.
  std::string Finish();

 private:
  UniqueFd saved_;
  const UniqueFd captured_;  // a memfd; when it could not be made, stderr stays as it is
};

// The lines of `text` in one, separated by "; ".
std::string OneLine(const std::string& text);

}  // namespace acetate::fusefs
