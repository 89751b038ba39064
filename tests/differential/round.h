// One round: layers are laid out for three trees, operations done alike on each, everything compared.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "tests/differential/layers.h"
#include "tests/differential/op.h"

namespace acetate::differential {

// By kind of operation: how many were done, and how many of them succeeded.
struct Count {
  int done = 0;
  int succeeded = 0;
};
using Tally = std::map<std::string, Count>;

struct RoundOptions {
  std::string base;        // an existing directory, emptied by the caller
  std::string union_name;  // "" fusefs; "kernel" or "kernel-rigid" the kernel's; else a program
  int max_fds = 0;         // see MountProgramUnion
  Tally* tally = nullptr;  // what is done is counted here
};

// Everything that is needed to do a round again.
struct Trace {
  uint64_t seed = 0;
  Layers layers;
  std::vector<Op> ops;
};

std::string ToText(const Trace& trace);
Trace TraceFromText(const std::string& text);

struct Difference {
  size_t index = 0;       // of the operation; the number of operations when it showed only at the end
  std::string op;         // what was done
  std::string what;       // one line: which trees differ, and where
  std::string signature;  // equal for differences that are probably one bug
};

// The next operation, or none: the round is over. `plain_root` is the plain tree as it is at that moment.
using OpSource = std::function<std::optional<Op>(const std::string& plain_root)>;

// Runs a round; what was done is appended to trace.ops. Ends at the first difference.
std::optional<Difference> RunRound(const RoundOptions& options, Trace& trace, const OpSource& source);

// The same with the operations of the trace.
std::optional<Difference> Replay(const RoundOptions& options, const Trace& trace);

}  // namespace acetate::differential
