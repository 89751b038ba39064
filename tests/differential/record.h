// One line of a trace: a word and key=value fields, as in
//
//   rename as=1 path=a/b path2=c flags=0x1
//
// Layers and operations are both written so: a trace file is complete, can be read, edited and run again. Bytes that
// would break the line apart are written as %XX.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"

namespace acetate::differential {

// "a b%" -> "a%20b%25"; the empty string -> "%". Unescape takes it back, ignoring a stray '%'.
std::string Escape(absl::string_view bytes);
std::string Unescape(absl::string_view text);

class Record {
 public:
  Record() = default;
  explicit Record(std::string word) : word_(std::move(word)) {}
  // Fields without '=' are dropped.
  static Record Parse(absl::string_view line);

  const std::string& word() const { return word_; }

  // A field that has its default value is left out of the line. Numbers: decimal, Hex or Octal.
  void Text(const std::string& key, absl::string_view value, absl::string_view default_value = "");
  void Number(const std::string& key, int64_t value, int64_t default_value = 0);
  void Hex(const std::string& key, int64_t value, int64_t default_value = 0);
  void Octal(const std::string& key, int64_t value, int64_t default_value = 0);

  std::string GetText(const std::string& key, absl::string_view default_value = "") const;
  int64_t GetNumber(const std::string& key, int64_t default_value = 0) const;
  std::vector<std::string> Keys() const;

  std::string ToString() const;

 private:
  std::string word_;
  std::string fields_;  // as written, in the order of the calls
  std::map<std::string, std::string> values_;
};

}  // namespace acetate::differential
