#include "fusefs/check_command.h"

#include <sys/stat.h>

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "fusefs/open_layer.h"
#include "fusefs/path_text.h"
#include "fusefs/volatile_mark.h"

namespace acetate::fusefs {
namespace {

std::string Reason(Errno error) { return std::string(ErrnoToStatus(error, "not repaired").message()); }

std::string Outcome(const Problem& problem, bool repair) {
  if (problem.remedy.empty()) return "no repair";
  if (!repair) return absl::StrCat("--repair ", problem.remedy);
  return problem.repaired ? problem.done : Reason(problem.failure);
}

nlohmann::json ToJson(const Problem& problem, bool repair) {
  nlohmann::json object = {
      {"in", problem.in_work ? "work" : "upper"}, {"problem", problem.what}, {"repaired", problem.repaired}};
  PutPath(&object, "path", problem.path);
  if (!problem.remedy.empty()) object["remedy"] = problem.remedy;
  if (repair && !problem.failure.ok()) object["error"] = Reason(problem.failure);
  return object;
}

}  // namespace

std::string FormatCheck(const std::vector<Problem>& problems, bool is_volatile, const CommandLine& line) {
  if (line.json) {
    nlohmann::json list = nlohmann::json::array();
    for (const Problem& problem : problems) list.push_back(ToJson(problem, line.repair));
    return absl::StrCat(nlohmann::json({{"problems", std::move(list)}, {"volatile", is_volatile}}).dump(), "\n");
  }
  std::string text;
  for (const Problem& problem : problems) {
    const BranchSpec& upper = line.options.branches.front();
    const std::string& root = problem.in_work ? upper.workdir : upper.path;
    absl::StrAppend(&text, PathText(absl::StrCat(root, problem.path.empty() ? "" : "/", problem.path)), ": ",
                    problem.what, "; ", Outcome(problem, line.repair), "\n");
  }
  if (is_volatile) {
    const std::string& work = line.options.branches.front().workdir;
    absl::StrAppend(&text, PathText(work), ": its writable layer ", PathText(VolatileMark::Advice(work)), "\n");
  }
  return text;
}

absl::StatusOr<CheckResult> RunCheck(const CommandLine& line) {
  absl::StatusOr<OpenedLayer> layer = OpenLayer(line, /*exclusive=*/true);
  if (!layer.ok()) return layer.status();
  absl::StatusOr<bool> is_volatile = false;
  if (layer->work_fd.valid())
    is_volatile = VolatileMark::IsThere(layer->work_fd.get(), line.options.branches.front().workdir);
  if (!is_volatile.ok()) return is_volatile.status();
  LayerCheck check;
  check.upper = layer->upper.get();
  check.reading = layer->reading;
  check.lowers = layer->lowers.get();
  check.work_fd = layer->work_fd.get();
  check.is_volatile = *is_volatile;
  check.repair = line.repair;
  umask(0);
  ErrnoOr<std::vector<Problem>> problems = CheckLayer(check);
  if (!problems.ok()) return ErrnoToStatus(problems.error(), "check the layer");
  CheckResult result;
  result.output = FormatCheck(*problems, *is_volatile, line);
  if (!problems->empty()) result.exit_status = kCheckFound;
  if (*is_volatile) result.exit_status = kCheckVolatile;
  return result;
}

}  // namespace acetate::fusefs
