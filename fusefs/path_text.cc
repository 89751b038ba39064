#include "fusefs/path_text.h"

#include <cstdint>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace acetate::fusefs {
namespace {

// The length of the UTF-8 character that `text` begins with, or 0: none, too long a form, a surrogate, or out of range.
size_t CharacterLength(absl::string_view text, uint32_t* code) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  size_t length = 1;
  uint32_t smallest = 0;
  *code = byte(0);
  if (*code < 0x80) return 1;
  if (*code >= 0xf0 && *code < 0xf8) {
    length = 4, smallest = 0x10000, *code &= 0x07;
  } else if (*code >= 0xe0 && *code < 0xf0) {
    length = 3, smallest = 0x800, *code &= 0x0f;
  } else if (*code >= 0xc0 && *code < 0xe0) {
    length = 2, smallest = 0x80, *code &= 0x1f;
  } else {
    return 0;
  }
  if (text.size() < length) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
    *code = *code << 6 | (byte(i) & 0x3f);
  }
  const bool surrogate = *code >= 0xd800 && *code < 0xe000;
  return *code < smallest || *code > 0x10ffff || surrogate ? 0 : length;
}

bool IsUtf8(absl::string_view text) {
  uint32_t code;
  while (!text.empty()) {
    const size_t length = CharacterLength(text, &code);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

}  // namespace

std::string PathText(absl::string_view path) {
  std::string out;
  out.reserve(path.size());
  while (!path.empty()) {
    uint32_t code;
    const size_t length = CharacterLength(path, &code);
    const absl::string_view character = path.substr(0, length == 0 ? 1 : length);
    if (length != 0 && code == '\n') {
      out += "\\n";
    } else if (length != 0 && code == '\t') {
      out += "\\t";
    } else if (length == 0 || code < ' ' || (code >= 0x7f && code < 0xa0)) {
      for (unsigned char c : character) absl::StrAppend(&out, "\\x", absl::Hex(c, absl::kZeroPad2));
    } else if (code == '\\') {
      out += "\\\\";
    } else if (absl::StartsWith(path, " -> ")) {
      out += "\\x20";
    } else {
      absl::StrAppend(&out, character);
    }
    path.remove_prefix(character.size());
  }
  return out;
}

void PutPath(nlohmann::json* object, const std::string& key, absl::string_view path) {
  if (IsUtf8(path)) {
    (*object)[key] = std::string(path);
  } else {
    (*object)[key + "_base64"] = absl::Base64Escape(path);
  }
}

}  // namespace acetate::fusefs
