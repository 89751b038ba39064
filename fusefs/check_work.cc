#include "fusefs/check_work.h"

#include <fcntl.h>

#include <algorithm>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "fusefs/link_index.h"
#include "fusefs/whiteout.h"
#include "fusefs/work_dir.h"

namespace acetate::fusefs {
namespace {

constexpr char kInnerName[] = "work";
constexpr char kMarks[] = "incompat";  // volatile_mark.h

ErrnoOr<std::vector<std::string>> Leftovers(const Branch& branch, int work_fd) {
  std::vector<std::string> names;
  ErrnoOr<UniqueFd> inner = branch.Open(work_fd, kInnerName, O_PATH | O_DIRECTORY);
  if (inner.error() == ENOENT) return names;
  if (!inner.ok()) return inner.error();
  ACETATE_ASSIGN_OR_RETURN(std::vector<RawEntry> entries, branch.ReadDir(inner->get()));
  for (RawEntry& entry : entries) {
    if (entry.name != kWhiteoutTemplate && entry.name != kMarks) names.push_back(std::move(entry.name));
  }
  std::sort(names.begin(), names.end());
  return names;
}

// Copies of lower files with several names, of which none is left in the union: link_index.h.
Errno CheckIndex(const LayerCheck& check, std::vector<Problem>* problems) {
  const Branch& branch = *check.upper;
  ErrnoOr<UniqueFd> index = branch.Open(check.work_fd, LinkIndex::kDirectory, O_PATH | O_DIRECTORY);
  if (index.error() == ENOENT) return kOk;
  if (!index.ok()) return index.error();
  ACETATE_ASSIGN_OR_RETURN(std::vector<RawEntry> entries, branch.ReadDir(index->get()));
  std::sort(entries.begin(), entries.end(), [](const RawEntry& a, const RawEntry& b) { return a.name < b.name; });
  for (const RawEntry& entry : entries) {
    ErrnoOr<struct stat> st = branch.Stat(index->get(), entry.name.c_str());
    if (!st.ok() || S_ISDIR(st->st_mode) || st->st_nlink != 1) continue;
    ErrnoOr<Marks> marks = ReadMarks(branch, check.reading.families, index->get(), entry.name.c_str());
    const Mark* links = marks.ok() ? marks->Find(MarkKind::kNlink) : nullptr;
    // One link fewer than the index's own. Were it more, names of lower layers would lead here.
    if (links == nullptr || links->value != "U-1") continue;
    Problem problem;
    problem.in_work = true;
    problem.path = absl::StrCat(LinkIndex::kDirectory, "/", entry.name);
    problem.what = "index entry of a file whose names are all gone";
    problem.remedy = "removes it";
    problem.done = "removed";
    if (check.repair) {
      problem.failure = branch.Unlink(index->get(), entry.name.c_str());
      problem.repaired = problem.failure.ok();
    }
    problems->push_back(std::move(problem));
  }
  return kOk;
}

}  // namespace

Errno CheckWorkDir(const LayerCheck& check, std::vector<Problem>* problems) {
  ACETATE_RETURN_IF_ERROR(CheckIndex(check, problems));
  ACETATE_ASSIGN_OR_RETURN(std::vector<std::string> left, Leftovers(*check.upper, check.work_fd));
  if (left.empty()) return kOk;
  // As the next mount would; which is refused while the mark is there.
  const bool repair = check.repair && !check.is_volatile;
  Errno cleaned;
  if (repair) cleaned = WorkDir::Open(check.upper, check.work_fd).error();
  for (const std::string& name : left) {
    Problem problem;
    problem.in_work = true;
    problem.path = absl::StrCat(kInnerName, "/", name);
    problem.what = "left over from a change that did not end";
    if (!check.is_volatile) problem.remedy = "removes it";
    problem.done = "removed";
    problem.failure = cleaned;
    problem.repaired = repair && cleaned.ok();
    problems->push_back(std::move(problem));
  }
  return kOk;
}

}  // namespace acetate::fusefs
