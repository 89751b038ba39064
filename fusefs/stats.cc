#include "fusefs/stats.h"

#include "absl/strings/str_cat.h"

namespace acetate::fusefs {
namespace {

constexpr const char* kOpcodeNames[] = {
#define ACETATE_NAME(enumerator, name) #name,
    ACETATE_FUSE_OPCODES(ACETATE_NAME)
#undef ACETATE_NAME
};

constexpr const char* kGaugeNames[] = {
#define ACETATE_NAME(enumerator, name) #name,
    ACETATE_GAUGES(ACETATE_NAME)
#undef ACETATE_NAME
};

}  // namespace

std::string Stats::Json() const {
  std::string json = "{\"requests\":{";
  uint64_t total = 0;
  for (size_t i = 0; i < kOpcodeCount; ++i) {
    const uint64_t count = requests_[i].load(std::memory_order_relaxed);
    total += count;
    absl::StrAppend(&json, i == 0 ? "" : ",", "\"", kOpcodeNames[i], "\":", count);
  }
  absl::StrAppend(&json, "},\"total_requests\":", total);
  for (size_t i = 0; i < kGaugeCount; ++i) {
    absl::StrAppend(&json, ",\"", kGaugeNames[i], "\":", gauges_[i].load(std::memory_order_relaxed));
  }
  json += "}";
  return json;
}

}  // namespace acetate::fusefs
