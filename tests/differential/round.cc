#include "tests/differential/round.h"

#include <sys/stat.h>

#include <ctime>
#include <memory>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "tests/differential/judge.h"
#include "tests/differential/trees.h"

namespace acetate::differential {
namespace {

std::unique_ptr<Tree> MountSubject(const RoundOptions& options, const UnionDirectories& directories) {
  if (options.union_name == "kernel") return MountKernelUnion("kernel as subject", directories, kIdealUnion);
  if (options.union_name == "kernel-rigid") {
    return MountKernelUnion("kernel without redirects", directories, "redirect_dir=off,metacopy=off,index=off");
  }
  return MountProgramUnion(options.union_name, directories, options.max_fds);
}

class Round {
 public:
  Round(const RoundOptions& options, const Layers& layers)
      : kernel_directories_(MaterialiseLayers(layers, options.base + "/kernel")),
        subject_directories_(MaterialiseLayers(layers, options.base + "/subject")),
        options_(options) {
    for (const std::string& lower : subject_directories_.lowers) lowers_before_ += WalkText(lower, began_) + "\n";
    plain_ = MakePlainTree(layers, options.base);
    kernel_ = MountKernelUnion("kernel overlayfs", kernel_directories_, kIdealUnion);
    subject_ = MountSubject(options, subject_directories_);
    EnterTrees();
  }

  const std::string& plain_root() const { return plain_->root(); }

  std::optional<Verdict> Do(const Op& op) {
    if (op.kind == OpKind::kRemount) return Remount(op.flags != 0);
    if (op.kind == OpKind::kRename && NamesOneFile(op)) return std::nullopt;
    Outcomes outcomes;
    if (op.kind == OpKind::kTmpfile) {
      outcomes.subject = subject_->worker().Run(op);
      if (NotOffered(op, outcomes.subject)) return std::nullopt;
    } else {
      subject_->worker().Send(op);
    }
    const bool rename = op.kind == OpKind::kRename && !OnlyForUnions(op, "");
    if (IsSlotOp(op.kind) || rename) outcomes.plain = plain_->worker().Run(op);
    // Where a directory is in the way, the kernel's overlayfs has moved a directory's time before it says so.
    if (KernelCannot(outcomes.plain) || (rename && absl::StartsWith(outcomes.plain, "ENOTEMPTY"))) {
      outcomes.kernel = outcomes.plain;
    } else {
      outcomes.kernel = ForgiveKernel(op, kernel_->worker().Run(op));
    }
    if (outcomes.subject.empty()) outcomes.subject = subject_->worker().Receive();
    if (absl::StartsWith(options_.union_name, "kernel")) {
      outcomes.subject = KernelCannot(outcomes.plain) ? outcomes.plain : ForgiveKernel(op, std::move(outcomes.subject));
    }
    if (outcomes.plain.empty() && !OnlyForUnions(op, outcomes.kernel)) outcomes.plain = plain_->worker().Run(op);
    if (options_.tally != nullptr) {
      Count& count = (*options_.tally)[KindWord(op.kind)];
      ++count.done;
      if (absl::StartsWith(outcomes.plain, "ok") || op.kind == OpKind::kWalk) ++count.succeeded;
    }
    return Judge(op, outcomes, subject_->name());
  }

  std::optional<Verdict> Remount(bool kill) {
    if (kill) {
      subject_->Kill();
    } else if (std::string wrong = subject_->Close(); !wrong.empty()) {
      return Verdict{wrong, "close"};
    }
    subject_.reset();
    subject_ = MountSubject(options_, subject_directories_);
    EnterTrees();
    return Do(Op());
  }

  // After the last operation: the whole tree; then what the union leaves behind, read by the kernel's overlayfs.
  std::optional<Verdict> Finish() {
    const Op walk;
    if (auto verdict = Do(walk)) return verdict;
    const std::string plain = plain_->worker().Run(walk);
    if (std::string wrong = subject_->Close(); !wrong.empty()) return Verdict{wrong, "close"};
    std::string lowers_after;
    for (const std::string& lower : subject_directories_.lowers) lowers_after += WalkText(lower, began_) + "\n";
    if (auto verdict = Judge(walk, {lowers_before_, lowers_after, lowers_before_}, "the lowers afterwards")) {
      return verdict;
    }
    if (std::string wrong = CheckLeftovers(subject_directories_); !wrong.empty()) return Verdict{wrong, "leftovers"};
    const std::unique_ptr<Tree> again = MountKernelUnion("its upper", subject_directories_, kReader);
    again->Enter(began_);
    const std::string seen = ForgiveKernel(walk, again->worker().Run(walk));
    return Judge(walk, {plain, seen, plain}, "its upper mounted by kernel overlayfs");
  }

 private:
  // Two names of one file: nothing is renamed, but the kernel's overlayfs copies a lower one up and moves its
  // directory's time.
  bool NamesOneFile(const Op& op) const {
    struct stat a, b;
    return lstat((plain_->root() + "/" + op.path).c_str(), &a) == 0 &&
           lstat((plain_->root() + "/" + op.path2).c_str(), &b) == 0 && a.st_ino == b.st_ino;
  }

  void EnterTrees() {
    for (Tree* tree : {plain_.get(), kernel_.get(), subject_.get()}) tree->Enter(began_);
  }

  const time_t began_ = time(nullptr);
  const UnionDirectories kernel_directories_;
  const UnionDirectories subject_directories_;
  const RoundOptions options_;
  std::string lowers_before_;
  std::unique_ptr<Tree> plain_;
  std::unique_ptr<Tree> kernel_;
  std::unique_ptr<Tree> subject_;
};

}  // namespace

std::string ToText(const Trace& trace) {
  std::string text = absl::StrCat("seed value=", trace.seed, "\nlayers count=", trace.layers.count, "\n");
  for (const Entry& entry : trace.layers.entries) absl::StrAppend(&text, ToRecord(entry).ToString(), "\n");
  for (const Op& op : trace.ops) absl::StrAppend(&text, ToString(op), "\n");
  return text;
}

Trace TraceFromText(const std::string& text) {
  Trace trace;
  for (const std::string& line : std::vector<std::string>(absl::StrSplit(text, '\n', absl::SkipEmpty()))) {
    const Record record = Record::Parse(line);
    if (absl::StartsWith(line, "#")) continue;
    if (record.word() == "seed") {
      trace.seed = record.GetNumber("value");
    } else if (record.word() == "layers") {
      trace.layers.count = record.GetNumber("count");
    } else if (record.word() == "entry") {
      trace.layers.entries.push_back(EntryFromRecord(record));
    } else {
      trace.ops.push_back(OpFromRecord(record));
    }
  }
  return trace;
}

std::optional<Difference> RunRound(const RoundOptions& options, Trace& trace, const OpSource& source) {
  Round round(options, trace.layers);
  const Op walk;
  if (auto verdict = round.Do(walk))
    return Difference{0, "(just mounted)", verdict->what, "mounted " + verdict->signature};
  while (const std::optional<Op> op = source(round.plain_root())) {
    trace.ops.push_back(*op);
    if (auto verdict = round.Do(*op)) {
      return Difference{trace.ops.size() - 1, ToString(*op), verdict->what, verdict->signature};
    }
  }
  if (auto verdict = round.Finish()) {
    return Difference{trace.ops.size(), "(at the end)", verdict->what, "end " + verdict->signature};
  }
  return std::nullopt;
}

std::optional<Difference> Replay(const RoundOptions& options, const Trace& trace) {
  Trace replayed = trace;
  replayed.ops.clear();
  size_t next = 0;
  return RunRound(options, replayed, [&](const std::string&) {
    return next < trace.ops.size() ? std::optional<Op>(trace.ops[next++]) : std::nullopt;
  });
}

}  // namespace acetate::differential
