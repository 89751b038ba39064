#include "tests/differential/record.h"

#include <cstdlib>

#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"

namespace acetate::differential {

std::string Escape(absl::string_view bytes) {
  if (bytes.empty()) return "%";
  std::string text;
  for (const unsigned char c : bytes) {
    if (c <= ' ' || c >= 0x7f || c == '%' || c == '=' || c == '"') {
      absl::StrAppendFormat(&text, "%%%02X", c);
    } else {
      text += static_cast<char>(c);
    }
  }
  return text;
}

std::string Unescape(absl::string_view text) {
  std::string bytes;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      bytes += text[i];
    } else if (i + 2 < text.size()) {
      bytes += static_cast<char>(strtol(std::string(text.substr(i + 1, 2)).c_str(), nullptr, 16));
      i += 2;
    }
  }
  return bytes;
}

Record Record::Parse(absl::string_view line) {
  std::vector<std::string> parts = absl::StrSplit(line, ' ', absl::SkipEmpty());
  if (parts.empty()) return Record();
  Record record(parts[0]);
  for (size_t i = 1; i < parts.size(); ++i) {
    const std::pair<std::string, std::string> field = absl::StrSplit(parts[i], absl::MaxSplits('=', 1));
    record.values_[field.first] = field.second;
    record.fields_ += " " + parts[i];
  }
  return record;
}

void Record::Text(const std::string& key, absl::string_view value, absl::string_view default_value) {
  if (value == default_value) return;
  values_[key] = Escape(value);
  fields_ += " " + key + "=" + values_[key];
}

void Record::Number(const std::string& key, int64_t value, int64_t default_value) {
  if (value != default_value) Text(key, std::to_string(value));
}

void Record::Hex(const std::string& key, int64_t value, int64_t default_value) {
  if (value != default_value) Text(key, absl::StrFormat("0x%x", value));
}

void Record::Octal(const std::string& key, int64_t value, int64_t default_value) {
  if (value != default_value) Text(key, absl::StrFormat("0%o", value));
}

std::string Record::GetText(const std::string& key, absl::string_view default_value) const {
  const auto found = values_.find(key);
  return found == values_.end() ? std::string(default_value) : Unescape(found->second);
}

int64_t Record::GetNumber(const std::string& key, int64_t default_value) const {
  const auto found = values_.find(key);
  return found == values_.end() ? default_value : strtoll(found->second.c_str(), nullptr, 0);
}

std::vector<std::string> Record::Keys() const {
  std::vector<std::string> keys;
  for (const auto& [key, value] : values_) keys.push_back(key);
  return keys;
}

std::string Record::ToString() const { return word_ + fields_; }

}  // namespace acetate::differential
