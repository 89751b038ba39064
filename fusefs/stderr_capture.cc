#include "fusefs/stderr_capture.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"

namespace acetate::fusefs {

StderrCapture::StderrCapture()
    : saved_(fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3)), captured_(memfd_create("stderr", MFD_CLOEXEC)) {
  if (saved_.valid() && captured_.valid()) dup2(captured_.get(), STDERR_FILENO);
}

StderrCapture::~StderrCapture() {
  if (saved_.valid() && captured_.valid()) dup2(saved_.get(), STDERR_FILENO);
}

std::string StderrCapture::Finish() {
  if (!saved_.valid() || !captured_.valid()) return "";
  dup2(saved_.get(), STDERR_FILENO);
  saved_.Reset();
  std::string text(16384, '\0');
  text.resize(std::max<ssize_t>(pread(captured_.get(), text.data(), text.size(), 0), 0));
  return text;
}

std::string OneLine(const std::string& text) {
  const std::vector<absl::string_view> lines = absl::StrSplit(text, '\n', absl::SkipWhitespace());
  return absl::StrJoin(lines, "; ");
}

}  // namespace acetate::fusefs
