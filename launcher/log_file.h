// What a container wrote, kept as the files log and log.1 (the older piece) of its directory in the store. A line of
// them is what container runtimes of Kubernetes write, too:
//
//   2026-11-25T09:30:00.123456789Z stdout F the text
//
// F ends a line of the container's, P is a piece of one that goes on. The text is binary-safe: all but the newline that
// ends it is the container's. One process appends; any number read, also while it does.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "common/errno_or.h"
#include "common/unique_fd.h"

namespace acetate::launcher {

enum class Stream { kOut, kErr };

// Splits what each stream writes into lines and appends them. One thread.
class LogWriter {
 public:
  // Appends to what an earlier run left. When `max_bytes` (0: no limit) are reached the file becomes log.1.
  static ErrnoOr<LogWriter> Open(const std::string& container, uint64_t max_bytes);

  // Keeps the part behind the last newline until its line is complete, has 16 KiB, or Flush is called. What the disk
  // does not take is lost.
  void Append(Stream stream, absl::string_view data);
  void Flush();

 private:
  LogWriter(std::string path, uint64_t max_bytes, UniqueFd fd, uint64_t size)
      : path_(std::move(path)), max_bytes_(max_bytes), fd_(std::move(fd)), size_(size) {}
  void Write(Stream stream, bool ends, absl::string_view text);

  std::string path_;
  uint64_t max_bytes_;
  UniqueFd fd_;
  uint64_t size_;
  std::array<std::string, 2> partial_;  // by stream
};

struct LogLine {
  absl::string_view time;
  Stream stream = Stream::kOut;
  bool ends = true;
  absl::string_view text;
};

// False for a line that is malformed, such as one that a full disk cut off.
bool ParseLogLine(absl::string_view line, LogLine* parsed);

// Reads the log from its beginning, and goes on where it stopped when asked again. One thread.
class LogReader {
 public:
  explicit LogReader(const std::string& container);

  // The complete lines that have come since the last call, without their newlines. None when there is no log.
  std::vector<std::string> ReadLines();

  // Whether there is a log.
  bool exists() const { return fd_.valid(); }

 private:
  void ReadToEnd(std::vector<std::string>* lines);

  const std::string path_;
  UniqueFd fd_;
  std::string rest_;  // a line that is not complete yet
};

}  // namespace acetate::launcher
