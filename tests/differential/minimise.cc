#include "tests/differential/minimise.h"

#include <algorithm>
#include <chrono>
#include <string>

#include "absl/strings/match.h"

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

// Most failures need only the last few operations: the fewest of 1, 2, 4... that still fail.
void KeepLastFew(Trace& trace, const std::function<bool(const Trace&)>& still_fails) {
  for (size_t few = 1; few < trace.ops.size(); few *= 2) {
    Trace candidate = trace;
    candidate.ops.assign(trace.ops.end() - few, trace.ops.end());
    if (!still_fails(candidate)) continue;
    trace = std::move(candidate);
    return;
  }
}

bool IsAbove(const std::string& path, const std::string& below) {
  return path.empty() || below == path || absl::StartsWith(below, path + "/");
}

// And only the entries that lie above or below what they name.
void KeepWhatIsNamed(Trace& trace, const std::function<bool(const Trace&)>& still_fails) {
  Trace candidate = trace;
  candidate.layers.entries.clear();
  for (const Entry& entry : trace.layers.entries) {
    const bool named = std::any_of(trace.ops.begin(), trace.ops.end(), [&](const Op& op) {
      return IsAbove(entry.path, op.path) || IsAbove(entry.path, op.path2) ||
             (!op.path.empty() && IsAbove(op.path, entry.path)) || (!op.path2.empty() && IsAbove(op.path2, entry.path));
    });
    if (named) candidate.layers.entries.push_back(entry);
  }
  candidate.layers = Sound(candidate.layers);
  if (still_fails(candidate)) trace = std::move(candidate);
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
  KeepLastFew(trace, still_fails);
  KeepWhatIsNamed(trace, still_fails);
  bool shrunk = true;
  while (shrunk && Clock::now() < deadline) {
    shrunk = Shrink<Op>(trace.ops, fewer_ops);
    shrunk |= Shrink<Entry>(trace.layers.entries, fewer_entries);
    trace.layers = Sound(trace.layers);
  }
  return trace;
}

}  // namespace acetate::differential
