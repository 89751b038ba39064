#include "launcher/limits.h"

#include <algorithm>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "launcher/digits.h"

namespace acetate::launcher {
namespace {

constexpr uint64_t kMostCpus = 8192;         // of any kernel
constexpr uint64_t kSmallestQuotaUs = 1000;  // the kernel's
constexpr uint64_t kSmallestShares = 2;      // MIN_SHARES and MAX_SHARES of the kernel
constexpr uint64_t kLargestShares = 1 << 18;
constexpr uint64_t kSmallestBlkio = 10;
constexpr uint64_t kLargestBlkio = 1000;
constexpr uint64_t kLargestWeight = 10000;  // of v2; the smallest is 1

bool ParseNumber(absl::string_view text, uint64_t* number) { return AllDigits(text) && absl::SimpleAtoi(text, number); }

// Where `value` of one range lies in v2's range of weights.
uint64_t ToWeight(uint64_t value, uint64_t smallest, uint64_t largest) {
  return 1 + (value - smallest) * (kLargestWeight - 1) / (largest - smallest);
}

}  // namespace

absl::StatusOr<uint64_t> ParseCpus(absl::string_view text) {
  const absl::Status malformed = absl::InvalidArgumentError("is not a number of CPUs such as 2 or 0.5");
  std::vector<absl::string_view> parts = absl::StrSplit(text, '.');
  uint64_t whole = 0;
  uint64_t fraction_us = 0;
  if (parts.size() > 2 || !ParseNumber(parts[0].empty() && parts.size() == 2 ? "0" : parts[0], &whole)) {
    return malformed;
  }
  if (parts.size() == 2) {
    uint64_t digits;
    if (!ParseNumber(parts[1], &digits) || parts[1].size() > 9) return malformed;
    // Five places are a microsecond of the period; the kernel knows nothing finer.
    std::string places = std::string(parts[1].substr(0, 5));
    places.resize(5, '0');
    if (!ParseNumber(places, &fraction_us)) return malformed;
  }
  if (whole > kMostCpus) return absl::InvalidArgumentError("is more CPUs than any machine has");
  const uint64_t quota = whole * kCpuPeriodUs + fraction_us;
  if (quota == 0 && text.find_first_not_of("0.") == text.npos) return 0;
  if (quota < kSmallestQuotaUs)
    return absl::InvalidArgumentError("is less than 0.01, below which the kernel cannot go");
  return quota;
}

absl::StatusOr<uint64_t> ParseCpuShares(absl::string_view text) {
  uint64_t shares;
  if (!ParseNumber(text, &shares) || shares == 1 || shares > kLargestShares) {
    return absl::InvalidArgumentError("is not a number from 2 to 262144, or 0 for the usual share");
  }
  return shares;
}

absl::StatusOr<uint64_t> ParseBlkioWeight(absl::string_view text) {
  uint64_t weight;
  if (!ParseNumber(text, &weight) || weight > kLargestBlkio || (weight != 0 && weight < kSmallestBlkio)) {
    return absl::InvalidArgumentError("is not a number from 10 to 1000, or 0 for the usual weight");
  }
  return weight;
}

absl::StatusOr<std::vector<uint64_t>> ParseNumberList(absl::string_view text) {
  const absl::Status malformed = absl::InvalidArgumentError("is not a list such as 0-2,4");
  std::set<uint64_t> numbers;
  for (absl::string_view range : absl::StrSplit(text, ',')) {
    std::vector<absl::string_view> ends = absl::StrSplit(range, '-');
    uint64_t first, last;
    if (ends.size() > 2 || !ParseNumber(ends.front(), &first) || !ParseNumber(ends.back(), &last)) return malformed;
    if (first > last) return absl::InvalidArgumentError("has a range that ends before it begins");
    if (last >= kMostListed) return absl::InvalidArgumentError("has a number above 8191");
    for (uint64_t number = first; number <= last; ++number) numbers.insert(number);
  }
  return std::vector<uint64_t>(numbers.begin(), numbers.end());
}

std::vector<uint64_t> MissingFrom(absl::string_view present, absl::string_view wanted) {
  absl::StatusOr<std::vector<uint64_t>> have = ParseNumberList(absl::StripAsciiWhitespace(present));
  absl::StatusOr<std::vector<uint64_t>> want = ParseNumberList(wanted);
  std::vector<uint64_t> missing;
  if (!want.ok()) return missing;
  if (!have.ok()) return *want;
  std::set_difference(want->begin(), want->end(), have->begin(), have->end(), std::back_inserter(missing));
  return missing;
}

absl::Status CheckLimits(const ResourceLimits& limits) {
  if (limits.memory_swap == 0) return absl::OkStatus();
  if (limits.memory_bytes == 0) {
    return absl::InvalidArgumentError("--memory-swap is the limit of memory and swap together: give --memory as well");
  }
  if (limits.memory_swap != kUnlimitedSwap && static_cast<uint64_t>(limits.memory_swap) < limits.memory_bytes) {
    return absl::InvalidArgumentError(
        "--memory-swap is the limit of memory and swap together: it cannot be less than --memory");
  }
  return absl::OkStatus();
}

uint64_t CpuWeight(uint64_t shares) { return ToWeight(shares, kSmallestShares, kLargestShares); }

uint64_t IoWeight(uint64_t blkio_weight) { return ToWeight(blkio_weight, kSmallestBlkio, kLargestBlkio); }

}  // namespace acetate::launcher
