#include "launcher/detach_keys.h"

#include "absl/strings/ascii.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace acetate::launcher {

absl::StatusOr<std::string> ParseDetachKeys(absl::string_view text) {
  std::string keys;
  if (text.empty()) return keys;
  for (absl::string_view key : absl::StrSplit(text, ',')) {
    bool control = absl::ConsumePrefix(&key, "ctrl-");
    if (key.size() != 1) {
      return absl::InvalidArgumentError("is not a list of keys, such as ctrl-p,ctrl-q or a,b");
    }
    char c = absl::ascii_toupper(static_cast<unsigned char>(key[0]));
    // The control characters of ASCII stand 64 below their letters.
    if (control && (c < '@' || c > '_')) {
      return absl::InvalidArgumentError("has a ctrl- that is not followed by a letter or one of @ [ \\ ] ^ _");
    }
    keys.push_back(control ? static_cast<char>(c - '@') : key[0]);
  }
  return keys;
}

bool DetachKeys::Filter(absl::string_view typed, std::string* out) {
  if (keys_.empty()) {
    out->append(typed.data(), typed.size());
    return false;
  }
  for (char c : typed) {
    while (matched_ > 0 && c != keys_[matched_]) {
      // What was held back is none: its first byte goes out, and the rest of it may still begin the keys.
      std::string held = keys_.substr(0, matched_);
      size_t shift = 1;
      while (shift < held.size() && keys_.compare(0, held.size() - shift, held, shift) != 0) ++shift;
      out->append(held, 0, shift);
      matched_ = held.size() - shift;
    }
    if (c == keys_[matched_]) {
      if (++matched_ == keys_.size()) {
        matched_ = 0;
        return true;
      }
    } else {
      out->push_back(c);
    }
  }
  return false;
}

}  // namespace acetate::launcher
