#include "launcher/log_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/syscalls.h"
#include "launcher/files.h"
#include "launcher/timestamp.h"

namespace acetate::launcher {
namespace {

constexpr size_t kLongestPiece = 16 << 10;

ErrnoOr<UniqueFd> OpenForAppending(const std::string& path) {
  return sys::OpenAt(AT_FDCWD, path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW, 0600);
}

std::string OlderPiece(const std::string& path) { return path + ".1"; }

}  // namespace

ErrnoOr<LogWriter> LogWriter::Open(const std::string& container, uint64_t max_bytes) {
  std::string path = container + "/log";
  ACETATE_ASSIGN_OR_RETURN(UniqueFd fd, OpenForAppending(path));
  struct stat st;
  if (fstat(fd.get(), &st) != 0) return Errno::Last();
  return LogWriter(std::move(path), max_bytes, std::move(fd), static_cast<uint64_t>(st.st_size));
}

void LogWriter::Append(Stream stream, absl::string_view data) {
  std::string& partial = partial_[static_cast<size_t>(stream)];
  while (!data.empty()) {
    size_t newline = data.find('\n');
    size_t room = kLongestPiece - partial.size();
    size_t taken = std::min({newline, data.size(), room});
    partial.append(data.data(), taken);
    data.remove_prefix(taken);
    if (!data.empty() && data[0] == '\n') {
      Write(stream, true, partial);
      data.remove_prefix(1);
    } else if (partial.size() == kLongestPiece) {
      Write(stream, false, partial);
    } else {
      break;
    }
    partial.clear();
  }
}

void LogWriter::Flush() {
  for (Stream stream : {Stream::kOut, Stream::kErr}) {
    std::string& partial = partial_[static_cast<size_t>(stream)];
    if (!partial.empty()) Write(stream, false, partial);
    partial.clear();
  }
}

void LogWriter::Write(Stream stream, bool ends, absl::string_view text) {
  std::string line =
      absl::StrCat(PreciseNow(), stream == Stream::kOut ? " stdout " : " stderr ", ends ? "F " : "P ", text, "\n");
  if (max_bytes_ > 0 && size_ > 0 && size_ + line.size() > max_bytes_) {
    if (rename(path_.c_str(), OlderPiece(path_).c_str()) == 0) {
      ErrnoOr<UniqueFd> fresh = OpenForAppending(path_);
      if (fresh.ok()) fd_ = *std::move(fresh);
      size_ = 0;
    }
  }
  if (WriteAll(fd_.get(), line).ok()) size_ += line.size();
}

bool ParseLogLine(absl::string_view line, LogLine* parsed) {
  std::vector<absl::string_view> fields = absl::StrSplit(line, absl::MaxSplits(' ', 3));
  if (fields.size() != 4 || (fields[1] != "stdout" && fields[1] != "stderr")) return false;
  if (fields[2] != "F" && fields[2] != "P") return false;
  *parsed = {fields[0], fields[1] == "stdout" ? Stream::kOut : Stream::kErr, fields[2] == "F", fields[3]};
  return true;
}

LogReader::LogReader(const std::string& container) : path_(container + "/log") {
  // The older piece first; when it is read to its end the log itself is another file, and so comes next.
  for (const std::string& path : {OlderPiece(path_), path_}) {
    ErrnoOr<UniqueFd> fd = sys::OpenAt(AT_FDCWD, path.c_str(), O_RDONLY | O_NOFOLLOW);
    if (!fd.ok()) continue;
    fd_ = *std::move(fd);
    return;
  }
}

void LogReader::ReadToEnd(std::vector<std::string>* lines) {
  char buffer[16384];
  ssize_t n;
  while ((n = read(fd_.get(), buffer, sizeof(buffer))) > 0) {
    absl::string_view data(buffer, static_cast<size_t>(n));
    for (size_t newline; (newline = data.find('\n')) != absl::string_view::npos; data.remove_prefix(newline + 1)) {
      lines->push_back(absl::StrCat(rest_, data.substr(0, newline)));
      rest_.clear();
    }
    rest_.append(data.data(), data.size());
  }
}

std::vector<std::string> LogReader::ReadLines() {
  std::vector<std::string> lines;
  while (fd_.valid()) {
    ErrnoOr<UniqueFd> next = sys::OpenAt(AT_FDCWD, path_.c_str(), O_RDONLY | O_NOFOLLOW);
    // What was appended before the log became the older piece is read before the step to the next.
    ReadToEnd(&lines);
    struct stat here, there;
    if (!next.ok() || fstat(fd_.get(), &here) != 0 || fstat(next->get(), &there) != 0) break;
    if (here.st_ino == there.st_ino) break;
    fd_ = *std::move(next);
    rest_.clear();
  }
  return lines;
}

}  // namespace acetate::launcher
