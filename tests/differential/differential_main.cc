// The differential test: random operations done alike on kernel overlayfs, on the union under test and on a plain
// directory. Exit status 0 when all three agree throughout, 1 at a difference, 2 when it could not run.
#include <gflags/gflags.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "common/temp_dir.h"
#include "tests/differential/bases.h"
#include "tests/differential/judge.h"
#include "tests/differential/minimise.h"
#include "tests/differential/op_generator.h"
#include "tests/differential/round.h"
#include "tests/fixture/mounted_union.h"

DEFINE_uint64(seed, 0, "Run this seed only; 0: the fixed seeds, then fresh ones.");
DEFINE_int32(rounds, 24, "How many fixed seeds.");
DEFINE_int32(fresh, 0, "How many fresh seeds, which are printed.");
DEFINE_int32(ops, 900, "Operations in a round.");
DEFINE_string(union, "",
              "What is tested: a program with fuse-overlayfs's command line, or 'kernel' or 'kernel-rigid' "
              "(the kernel's overlayfs against itself, with and without redirects). Empty: this build's fusefs.");
DEFINE_string(base, "both", "Where the layers live: 'tmpfs', 'disk' ($TEST_TMPDIR or /tmp), or 'both' in turn.");
DEFINE_int32(few_fds, 48, "How many files the daemon may have open in every third round; 0: no limit.");
DEFINE_string(omit, "", "Leave out paths that hold this text, such as '.wh.' for a union that hides such names.");
DEFINE_string(replay, "", "Run the operations of this trace file.");
DEFINE_string(trace, "",
              "Where a failing trace is written; empty: differential-SEED.trace in $TEST_UNDECLARED_OUTPUTS_DIR "
              "or /tmp.");
DEFINE_double(minimise_seconds, 60,
              "How long to look for a smaller trace that fails the same way; "
              "with --replay only when it is given.");
DEFINE_bool(tally, false, "At the end, print how many operations of each kind were done and how many succeeded.");
DEFINE_bool(keep_going, false, "Go on with the next seed after a difference.");
DEFINE_bool(expect_difference, false, "Succeed only when a difference is found: the test of the test.");

namespace acetate::differential {
namespace {

RoundOptions Options(Bases& bases, uint64_t seed) {
  RoundOptions options;
  options.base = bases.Fresh(FLAGS_base == "tmpfs" || (FLAGS_base == "both" && seed % 2 == 0));
  options.union_name = FLAGS_union;
  // Every third round, the daemon has so few fds that its caches are always at their limit.
  if (seed % 3 == 0) options.max_fds = FLAGS_few_fds;
  return options;
}

std::string TracePath(uint64_t seed) {
  if (!FLAGS_trace.empty()) return FLAGS_trace;
  const char* outputs = getenv("TEST_UNDECLARED_OUTPUTS_DIR");
  return std::string(outputs != nullptr ? outputs : "/tmp") + "/differential-" + std::to_string(seed) + ".trace";
}

void Report(uint64_t seed, const Trace& trace, const Difference& difference) {
  printf("DIFFERENCE seed %lu, operation %zu of %zu: %s\n  %s\n", seed, difference.index, trace.ops.size(),
         Abbreviate(difference.op).c_str(), Abbreviate(difference.what).c_str());
}

// Makes the trace small, prints it and keeps it in a file.
void Minimised(Bases& bases, Trace trace, const Difference& difference) {
  const auto replay = [&](const Trace& candidate) { return Replay(Options(bases, trace.seed), candidate); };
  const auto fails = [&](const Trace& candidate) {
    const std::optional<Difference> again = replay(candidate);
    return again && again->signature == difference.signature;
  };
  trace = Minimise(std::move(trace), fails, FLAGS_minimise_seconds);
  const std::string path = TracePath(trace.seed);
  WriteFile(path, ToText(trace));
  printf("Smaller, in %s (--replay=FILE runs it):\n", path.c_str());
  if (trace.ops.size() + trace.layers.entries.size() <= 60) fputs(Abbreviate(ToText(trace)).c_str(), stdout);
  if (const std::optional<Difference> again = replay(trace)) Report(trace.seed, trace, *again);
}

bool Omitted(const std::string& path) { return !FLAGS_omit.empty() && absl::StrContains(path, FLAGS_omit); }

Layers LayersWithoutOmitted(Random& random) {
  Layers layers = RandomLayers(random);
  Layers kept;
  kept.count = layers.count;
  for (Entry& entry : layers.entries) {
    if (!Omitted(entry.path)) kept.entries.push_back(std::move(entry));
  }
  return Sound(kept);
}

void Print(const Tally& tally) {
  for (const auto& [kind, count] : tally)
    printf("%-20s %6d, succeeded %6d\n", kind.c_str(), count.done, count.succeeded);
}

// True when all agree.
bool RunSeed(Bases& bases, uint64_t seed, Tally& tally) {
  const auto start = std::chrono::steady_clock::now();
  Random random(seed);
  Trace trace;
  trace.seed = seed;
  trace.layers = LayersWithoutOmitted(random);
  OpGenerator generator(random);
  const auto source = [&](const std::string& plain_root) -> std::optional<Op> {
    if (trace.ops.size() >= static_cast<size_t>(FLAGS_ops)) return std::nullopt;
    Op op = generator.Next(plain_root);
    while (Omitted(op.path) || Omitted(op.path2)) op = generator.Next(plain_root);
    return op;
  };
  RoundOptions options = Options(bases, seed);
  options.tally = &tally;
  const std::optional<Difference> difference = RunRound(options, trace, source);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  if (!difference) {
    printf("seed %lu: %d layers, %zu operations, %.1f s: all agree\n", seed, trace.layers.count, trace.ops.size(),
           seconds);
    fflush(stdout);
    return true;
  }
  Report(seed, trace, *difference);
  fflush(stdout);
  if (!FLAGS_expect_difference) Minimised(bases, trace, *difference);
  fflush(stdout);
  return false;
}

bool RunReplay(Bases& bases) {
  const Trace trace = TraceFromText(ReadFile(FLAGS_replay));
  const std::optional<Difference> difference = Replay(Options(bases, trace.seed), trace);
  if (difference) Report(trace.seed, trace, *difference);
  const bool wants_smaller = !gflags::GetCommandLineFlagInfoOrDie("minimise_seconds").is_default;
  if (difference && wants_smaller) Minimised(bases, trace, *difference);
  if (!difference) printf("%zu operations: all agree\n", trace.ops.size());
  return !difference;
}

bool RunAll(Bases& bases) {
  if (!FLAGS_replay.empty()) return RunReplay(bases);
  std::vector<uint64_t> seeds;
  if (FLAGS_seed != 0) {
    seeds = {FLAGS_seed};
  } else {
    for (int i = 1; i <= FLAGS_rounds; ++i) seeds.push_back(i);
    for (int i = 0; i < FLAGS_fresh; ++i) {
      seeds.push_back(std::random_device()() + 1000UL);
      printf("fresh seed: %lu (again with --seed=%lu)\n", seeds.back(), seeds.back());
    }
  }
  Tally tally;
  bool all_agree = true;
  for (const uint64_t seed : seeds) {
    all_agree &= RunSeed(bases, seed, tally);
    if (!all_agree && !FLAGS_keep_going) break;
  }
  if (FLAGS_tally) Print(tally);
  return all_agree;
}

}  // namespace
}  // namespace acetate::differential

int main(int argc, char** argv) {
  gflags::ParseCommandLineFlags(&argc, &argv, true);
  try {
    acetate::EnterPrivateMountNamespace();
    acetate::differential::Bases bases;
    const bool agree = acetate::differential::RunAll(bases);
    return agree != FLAGS_expect_difference ? 0 : 1;
  } catch (const std::exception& error) {
    fprintf(stderr, "differential: %s\n", error.what());
    return 2;
  }
}
