#include "tests/differential/minimise.h"

#include <algorithm>
#include <chrono>

namespace acetate::differential {
namespace {

// Takes out runs of elements, long runs first, as long as `keeps_failing` holds for what is left.
template <typename T>
bool Shrink(std::vector<T>& elements, const std::function<bool(const std::vector<T>&)>& keeps_failing) {
  bool shrunk = false;
  for (size_t run = std::max<size_t>(elements.size() / 2, 1); run > 0; run /= 2) {
    for (size_t end = elements.size(); end > 0; end -= std::min(run, end)) {
      const size_t begin = end - std::min(run, end);
      std::vector<T> fewer(elements.begin(), elements.begin() + begin);
      fewer.insert(fewer.end(), elements.begin() + end, elements.end());
      if (!keeps_failing(fewer)) continue;
      elements = std::move(fewer);
      shrunk = true;
    }
  }
  return shrunk;
}

}  // namespace

Trace Minimise(Trace trace, const std::function<bool(const Trace&)>& fails, double budget_seconds) {
  using Clock = std::chrono::steady_clock;
  const auto deadline = Clock::now() + std::chrono::duration<double>(budget_seconds);
  const auto still_fails = [&](const Trace& candidate) { return Clock::now() < deadline && fails(candidate); };

  const auto fewer_ops = [&](const std::vector<Op>& ops) {
    Trace candidate = trace;
    candidate.ops = ops;
    return still_fails(candidate);
  };
  const auto fewer_entries = [&](const std::vector<Entry>& entries) {
    // The roots of the layers always stay.
    for (int layer = 0, roots = 0; layer < trace.layers.count; ++layer, roots = 0) {
      for (const Entry& entry : entries) roots += entry.layer == layer && entry.path.empty();
      if (roots == 0) return false;
    }
    Trace candidate = trace;
    candidate.layers.entries = entries;
    candidate.layers = Sound(candidate.layers);
    return still_fails(candidate);
  };
  bool shrunk = true;
  while (shrunk && Clock::now() < deadline) {
    shrunk = Shrink<Op>(trace.ops, fewer_ops);
    shrunk |= Shrink<Entry>(trace.layers.entries, fewer_entries);
    trace.layers = Sound(trace.layers);
  }
  return trace;
}

}  // namespace acetate::differential
