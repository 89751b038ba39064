#include "fusefs/layer_options.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "fusefs/branch_list.h"

namespace acetate::fusefs {
namespace {

struct Draft {
  CommandLine line;
  BranchSpec upper;
  std::string lowerdir;
  bool dotwh = false;
};

absl::Status ApplyOption(Draft& draft, absl::string_view arg) {
  const bool check = draft.line.action == Action::kCheck;
  const auto given = [](absl::string_view value, std::string* target) {
    *target = std::string(value);
    return value.empty() ? absl::InvalidArgumentError("empty") : absl::OkStatus();
  };
  absl::string_view value = arg;
  absl::Status status;
  if (arg == "--json") {
    draft.line.json = true;
  } else if (arg == "--repair" && check) {
    draft.line.repair = true;
  } else if (arg == "--dotwh") {
    draft.dotwh = true;
  } else if (arg == "--userxattr" || arg == "--userxattr=on") {
    draft.line.options.xattr_namespace = XattrNamespace::kUser;
  } else if (arg == "--userxattr=off") {
    draft.line.options.xattr_namespace = XattrNamespace::kTrusted;
  } else if (arg == "--userxattr=auto") {
    draft.line.options.xattr_namespace = XattrNamespace::kAuto;
  } else if (arg == "--format=overlay") {
    draft.upper.format = WhiteoutFormat::kOverlay;
    draft.line.format_given = true;
  } else if (arg == "--format=dotwh") {
    draft.upper.format = WhiteoutFormat::kDotWh;
    draft.line.format_given = true;
  } else if (absl::ConsumePrefix(&value, "--lowerdir=")) {
    status = given(value, &draft.lowerdir);
  } else if (check && absl::ConsumePrefix(&value, "--workdir=")) {
    status = given(value, &draft.upper.workdir);
  } else if (absl::StartsWith(arg, "--format=") || absl::StartsWith(arg, "--userxattr=")) {
    return absl::InvalidArgumentError(
        absl::StrCat(arg, ": must be ", arg[2] == 'f' ? "overlay or dotwh" : "on, off or auto"));
  } else {
    return absl::InvalidArgumentError(absl::StrCat("unknown option ", arg, "; see fusefs --help"));
  }
  return status.ok() ? status : absl::InvalidArgumentError(absl::StrCat(arg, " is empty; give a directory"));
}

}  // namespace

absl::StatusOr<CommandLine> ParseLayerCommand(Action action, const std::vector<std::string>& args) {
  Draft draft;
  draft.line.action = action;
  draft.upper.mode = BranchMode::kReadWrite;
  bool options_end = false;
  for (size_t i = 1; i < args.size(); ++i) {
    if (!options_end && args[i] == "--") {
      options_end = true;
    } else if (!options_end && args[i].size() > 1 && args[i][0] == '-') {
      absl::Status status = ApplyOption(draft, args[i]);
      if (!status.ok()) return status;
    } else if (draft.upper.path.empty() && !args[i].empty()) {
      draft.upper.path = args[i];
    } else {
      return absl::InvalidArgumentError(
          absl::StrCat("too many arguments: '", args[i], "'; ", args[0], " takes one writable layer"));
    }
  }
  if (draft.upper.path.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(args[0], " needs a writable layer: fusefs ", args[0], " UPPER [--lowerdir=A:B]"));
  }
  std::vector<BranchSpec>& branches = draft.line.options.branches;
  if (!draft.lowerdir.empty()) {
    absl::StatusOr<std::vector<BranchSpec>> lowers =
        ParseLowerDirs(draft.lowerdir, draft.dotwh ? WhiteoutFormat::kDotWh : WhiteoutFormat::kOverlay);
    if (!lowers.ok()) return lowers.status();
    branches = *std::move(lowers);
  } else if (draft.dotwh) {
    return absl::InvalidArgumentError("--dotwh goes with --lowerdir; for UPPER say --format=dotwh");
  }
  branches.insert(branches.begin(), std::move(draft.upper));
  return std::move(draft.line);
}

}  // namespace acetate::fusefs
