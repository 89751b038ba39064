#include "fusefs/check_work.h"

#include <fcntl.h>

#include <algorithm>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "fusefs/work_dir.h"

namespace acetate::fusefs {
namespace {

constexpr char kInnerName[] = "work";
// What is there without being a leftover: the whiteout that others are links to.
constexpr char kTemplateName[] = "whiteout";

ErrnoOr<std::vector<std::string>> Leftovers(const Branch& branch, int work_fd) {
  std::vector<std::string> names;
  ErrnoOr<UniqueFd> inner = branch.Open(work_fd, kInnerName, O_PATH | O_DIRECTORY);
  if (inner.error() == ENOENT) return names;
  if (!inner.ok()) return inner.error();
  ACETATE_ASSIGN_OR_RETURN(std::vector<RawEntry> entries, branch.ReadDir(inner->get()));
  for (RawEntry& entry : entries) {
    if (entry.name != kTemplateName) names.push_back(std::move(entry.name));
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace

Errno CheckWorkDir(const LayerCheck& check, std::vector<Problem>* problems) {
  ACETATE_ASSIGN_OR_RETURN(std::vector<std::string> left, Leftovers(*check.upper, check.work_fd));
  if (left.empty()) return kOk;
  // As the next mount would.
  Errno cleaned;
  if (check.repair) cleaned = WorkDir::Open(check.upper, check.work_fd).error();
  for (const std::string& name : left) {
    Problem problem;
    problem.in_work = true;
    problem.path = absl::StrCat(kInnerName, "/", name);
    problem.what = "left over from a change that did not end";
    problem.remedy = "removes it";
    problem.done = "removed";
    problem.failure = cleaned;
    problem.repaired = check.repair && cleaned.ok();
    problems->push_back(std::move(problem));
  }
  return kOk;
}

}  // namespace acetate::fusefs
