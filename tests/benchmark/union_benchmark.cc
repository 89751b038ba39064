// What the union does for a request, without the kernel: the merge of listings, lookups that hit and miss, nodes that
// come and go. The argument is the number of layers; a directory's cost must not grow with it once it is listed.
#include <benchmark/benchmark.h>
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/syscalls.h"
#include "common/temp_dir.h"
#include "fusefs/branch.h"
#include "fusefs/merge_dir.h"
#include "fusefs/union_fs.h"

namespace acetate::fusefs {
namespace {

constexpr int kNames = 1024;  // in the union's directory, dealt out to the layers

// A union of read-only layers with one directory of kNames files.
class Stack {
 public:
  explicit Stack(int layers) {
    std::vector<UnionFs::NewBranch> branches;
    for (int i = 0; i < layers; ++i) {
      BranchSpec spec;
      spec.path = temp_ / absl::StrCat(i);
      MakeDirs(spec.path + "/dir");
      for (int n = i; n < kNames; n += layers) WriteFile(absl::StrCat(spec.path, "/dir/name", n), "");
      ErrnoOr<UniqueFd> fd = sys::OpenAt(AT_FDCWD, spec.path.c_str(), O_PATH | O_DIRECTORY);
      branches.push_back(
          {std::make_unique<DirectoryBranch>(spec, static_cast<BranchId>(branches.size()), *std::move(fd)), {}});
    }
    fs_ = *UnionFs::Create(options_, std::move(branches), Identity::OfProcess(), &stats_);
    dir_ = fs_->Lookup(kRootId, "dir")->node;
  }

  UnionFs& fs() { return *fs_; }
  NodeId dir() const { return dir_; }

 private:
  TempDir temp_;
  Options options_;
  Stats stats_;
  std::unique_ptr<UnionFs> fs_;
  NodeId dir_ = 0;
};

void Merge(benchmark::State& state) {
  std::vector<LayerListing> listings(static_cast<size_t>(state.range(0)));
  for (size_t n = 0; n < kNames; ++n) {
    LayerEntry entry;
    entry.name = absl::StrCat("name", n);
    entry.ino = n;
    entry.type = DT_REG;
    listings[n % listings.size()].entries.push_back(entry);
  }
  for (auto _ : state) benchmark::DoNotOptimize(MergeDir(listings));
  state.SetItemsProcessed(state.iterations() * kNames);
}
BENCHMARK(Merge)->Arg(1)->Arg(16)->Arg(128);

void LookupOfAKnownNode(benchmark::State& state) {
  Stack stack(static_cast<int>(state.range(0)));
  std::vector<std::string> names;
  for (int n = 0; n < kNames; ++n) names.push_back(absl::StrCat("name", n));
  for (const std::string& name : names) stack.fs().Lookup(stack.dir(), name).error().IgnoreError();
  size_t next = 0;
  for (auto _ : state) {
    ErrnoOr<Entry> entry = stack.fs().Lookup(stack.dir(), names[next++ % names.size()]);
    benchmark::DoNotOptimize(entry);
    stack.fs().Forget(entry->node, 1);
  }
}
BENCHMARK(LookupOfAKnownNode)->Arg(1)->Arg(16)->Arg(128);

void LookupThatMakesANode(benchmark::State& state) {
  Stack stack(static_cast<int>(state.range(0)));
  size_t next = 0;
  for (auto _ : state) {
    ErrnoOr<Entry> entry = stack.fs().Lookup(stack.dir(), absl::StrCat("name", next++ % kNames));
    stack.fs().Forget(entry->node, 1);
  }
}
BENCHMARK(LookupThatMakesANode)->Arg(1)->Arg(16)->Arg(128);

void LookupOfAMissingName(benchmark::State& state) {
  Stack stack(static_cast<int>(state.range(0)));
  for (auto _ : state) benchmark::DoNotOptimize(stack.fs().Lookup(stack.dir(), "missing"));
}
BENCHMARK(LookupOfAMissingName)->Arg(1)->Arg(16)->Arg(128);

// Reads a listing with attributes, as READDIRPLUS does.
class AllOfIt : public DirSink {
 public:
  bool Fits(absl::string_view) override { return true; }
  void Add(const std::string& name, uint64_t, uint64_t, mode_t, const Entry* entry) override {
    if (entry != nullptr && name != "." && name != "..") nodes.push_back(entry->node);
  }
  std::vector<NodeId> nodes;
};

void ListWithAttributes(benchmark::State& state) {
  Stack stack(static_cast<int>(state.range(0)));
  for (auto _ : state) {
    AllOfIt sink;
    stack.fs().ReadDir(stack.dir(), 0, /*plus=*/true, &sink).IgnoreError();
    for (NodeId node : sink.nodes) stack.fs().Forget(node, 1);
  }
  state.SetItemsProcessed(state.iterations() * kNames);
}
BENCHMARK(ListWithAttributes)->Arg(1)->Arg(16)->Arg(128);

}  // namespace
}  // namespace acetate::fusefs

BENCHMARK_MAIN();
