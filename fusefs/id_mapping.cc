#include "fusefs/id_mapping.h"

#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace acetate::fusefs {
namespace {

// The last id; -1 stands for "none" in system calls.
constexpr uint64_t kIds = UINT32_MAX;

bool Overlap(uint32_t a, uint32_t a_count, uint32_t b, uint32_t b_count) {
  return a < uint64_t{b} + b_count && b < uint64_t{a} + a_count;
}

}  // namespace

absl::Status IdMapping::Add(absl::string_view text) {
  absl::ConsumePrefix(&text, ":");
  const std::vector<absl::string_view> words = absl::StrSplit(text, ':');
  if (words.size() % 3 != 0) return absl::InvalidArgumentError("STORED:SHOWN:COUNT, or several of these in a row");
  for (size_t i = 0; i < words.size(); i += 3) {
    Range range;
    for (const auto& [word, target] : {std::pair{words[i], &range.stored}, std::pair{words[i + 1], &range.shown},
                                       std::pair{words[i + 2], &range.count}}) {
      if (!absl::SimpleAtoi(word, target)) {
        return absl::InvalidArgumentError(absl::StrCat("made of numbers, and '", word, "' is none"));
      }
    }
    if (range.count == 0) return absl::InvalidArgumentError("made of ranges of at least one id");
    if (uint64_t{range.stored} + range.count > kIds || uint64_t{range.shown} + range.count > kIds) {
      return absl::InvalidArgumentError("made of ids up to 4294967294");
    }
    for (const Range& other : ranges_) {
      if (Overlap(range.stored, range.count, other.stored, other.count) ||
          Overlap(range.shown, range.count, other.shown, other.count)) {
        return absl::InvalidArgumentError("made of ranges that do not overlap");
      }
    }
    ranges_.push_back(range);
  }
  return absl::OkStatus();
}

std::optional<uint32_t> IdMapping::ToShown(uint32_t stored) const {
  if (ranges_.empty()) return stored;
  for (const Range& range : ranges_) {
    if (stored >= range.stored && stored - range.stored < range.count) return range.shown + (stored - range.stored);
  }
  return std::nullopt;
}

std::optional<uint32_t> IdMapping::ToStored(uint32_t shown) const {
  if (ranges_.empty()) return shown;
  for (const Range& range : ranges_) {
    if (shown >= range.shown && shown - range.shown < range.count) return range.stored + (shown - range.shown);
  }
  return std::nullopt;
}

}  // namespace acetate::fusefs
