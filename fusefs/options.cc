#include "fusefs/options.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "fusefs/branch_list.h"
#include "fusefs/layer_options.h"
#include "fusefs/mount_command_options.h"
#include "fusefs/option_rules.h"

namespace acetate::fusefs {
namespace {

absl::Status ApplyOptionList(Draft& draft, absl::string_view list) {
  for (const std::string& option : SplitEscaped(list, ',')) {
    if (option.empty()) continue;
    absl::Status status = ApplyOption(draft, "-o ", option);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

// `--NAME-IN-WORDS=VALUE` is `--NAME_IN_WORDS=VALUE`.
absl::Status ApplyLongOption(Draft& draft, absl::string_view text) {
  const size_t equals = std::min(text.find('='), text.size());
  return ApplyOption(draft, "--",
                     absl::StrCat(absl::StrReplaceAll(text.substr(0, equals), {{"-", "_"}}), text.substr(equals)));
}

// Sorts the arguments into options and positionals.
absl::Status ReadArguments(const std::vector<std::string>& args, Draft& draft, std::vector<std::string>& positionals) {
  for (size_t i = 0; i < args.size(); ++i) {
    absl::string_view arg = args[i];
    absl::Status status;
    if (arg == "--") {
      positionals.insert(positionals.end(), args.begin() + i + 1, args.end());
      break;
    }
    if (arg == "-o") {
      if (i + 1 == args.size()) return absl::InvalidArgumentError("option -o needs a value: -o NAME=VALUE,...");
      status = ApplyOptionList(draft, args[++i]);
    } else if (absl::StartsWith(arg, "--")) {
      status = ApplyLongOption(draft, arg.substr(2));
    } else if (absl::StartsWith(arg, "-o")) {
      status = ApplyOptionList(draft, arg.substr(2));
    } else if (arg == "-f") {
      draft.line.options.foreground = true;
    } else if (arg == "-d") {
      status = ApplyOption(draft, "--", "debug");
    } else if (arg == "-h") {
      draft.line.action = Action::kHelp;
    } else if (arg == "-V") {
      draft.line.action = Action::kVersion;
    } else if (arg != "-s" && arg.size() > 1 && arg[0] == '-') {  // -s: one thread, a wish of other FUSE programs
      status = absl::InvalidArgumentError(absl::StrCat("unknown option ", arg, "; see fusefs --help"));
    } else if (arg != "-s") {
      positionals.emplace_back(arg);
    }
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

// Where work directories were not given, they are beside their branches.
absl::Status AssignWorkDirs(Draft& draft) {
  std::vector<BranchSpec>& branches = draft.line.options.branches;
  const auto writable = std::count_if(branches.begin(), branches.end(), std::mem_fn(&BranchSpec::writable));
  if (writable > 1 && !draft.workdir.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("workdir=", draft.workdir,
                     ": is for one writable branch; leave it out, and each has its own at DIR/.NAME.work beside it"));
  }
  for (BranchSpec& branch : branches) {
    if (!branch.writable()) continue;
    branch.workdir = draft.workdir;
    if (!branch.workdir.empty()) continue;
    if (draft.upperdir.has_value()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "upperdir=", branch.path, " needs a workdir: add workdir=DIR, an empty directory on the same filesystem"));
    }
    branch.workdir = SiblingWorkDir(branch.path);
    branch.make_workdir = true;
    if (branch.workdir.empty()) {
      return absl::InvalidArgumentError(absl::StrCat("cannot name a work directory beside '", branch.path,
                                                     "': add --workdir=DIR, on the same filesystem"));
    }
  }
  return absl::OkStatus();
}

absl::Status AssembleBranches(Draft& draft) {
  Options& options = draft.line.options;
  if (draft.branches.has_value()) {
    if (draft.lowerdir.has_value() || draft.upperdir.has_value()) {
      return absl::InvalidArgumentError("branches and lowerdir/upperdir exclude each other; use one way to name them");
    }
    absl::StatusOr<std::vector<BranchSpec>> branches = ParseBranches(*draft.branches);
    if (!branches.ok()) return branches.status();
    options.branches = *std::move(branches);
    options.find_engine_layers = false;
    if (draft.dotwh) {
      return absl::InvalidArgumentError("dotwh goes with lowerdir; with branches add +dotwh to a branch's mode");
    }
  } else if (draft.lowerdir.has_value()) {
    absl::StatusOr<std::vector<BranchSpec>> lowers =
        ParseLowerDirs(*draft.lowerdir, draft.dotwh ? WhiteoutFormat::kDotWh : WhiteoutFormat::kOverlay);
    if (!lowers.ok()) return lowers.status();
    options.branches = *std::move(lowers);
    if (draft.upperdir.has_value()) {
      BranchSpec upper;
      upper.path = Unescape(*draft.upperdir);
      if (upper.path.empty()) return absl::InvalidArgumentError("upperdir= is empty; give a directory");
      upper.mode = BranchMode::kReadWrite;
      options.branches.insert(options.branches.begin(), std::move(upper));
    }
  } else {
    return absl::InvalidArgumentError("no layers: give -o lowerdir=DIR:... or --branches=DIR=MODE:...");
  }

  return AssignWorkDirs(draft);
}

absl::StatusOr<CommandLine> Finish(Draft draft, std::vector<std::string> positionals) {
  CommandLine& line = draft.line;
  Options& options = line.options;
  if (line.action == Action::kHelp || line.action == Action::kVersion) return line;
  if (options.allow_other && options.allow_root) {
    return absl::InvalidArgumentError("allow_other and allow_root exclude each other; give one");
  }
  if (options.passthrough && options.writeback) {
    return absl::InvalidArgumentError(
        "passthrough and writeback exclude each other: the kernel collects no writes of files that it writes by "
        "itself; "
        "give one");
  }
  if (options.passthrough && options.owner_records != OwnerRecords::kNone) {
    return absl::InvalidArgumentError(
        "passthrough and xattr_permissions exclude each other: what the kernel writes by itself would not clear setuid "
        "bits that only an xattr records; give one");
  }
  absl::Status status = AssembleBranches(draft);
  if (!status.ok()) return status;
  if (options.udba == Udba::kReval && !draft.has_timeout) options.timeout = 0;
  if (options.show_whiteouts && options.can_change()) {
    return absl::InvalidArgumentError("show_whiteouts goes with a union that cannot be changed; add ro");
  }
  if (positionals.empty()) return absl::InvalidArgumentError("no mountpoint: it is the last argument");
  if (positionals.size() > 2) {
    return absl::InvalidArgumentError(
        absl::StrCat("too many arguments: '", positionals[2], "'; give one mountpoint, after all options"));
  }
  // mount(8) calls `fusefs SOURCE MOUNTPOINT -o OPTIONS`.
  if (positionals.size() == 2 && !draft.has_fsname) options.fsname = positionals[0];
  options.mountpoint = positionals.back();
  if (IsMountedFd(options.mountpoint)) {
    options.foreground = true;
  } else if (options.confine) {
    return absl::InvalidArgumentError(
        "confine goes with a mountpoint /dev/fd/N: a confined process can neither mount nor unmount");
  }
  return line;
}

}  // namespace

bool IsMountedFd(absl::string_view mountpoint) {
  unsigned fd;
  return absl::ConsumePrefix(&mountpoint, "/dev/fd/") && absl::SimpleAtoi(mountpoint, &fd);
}

absl::StatusOr<CommandLine> ParseCommandLine(const std::vector<std::string>& args) {
  if (!args.empty() && args[0] == "stats") return ParseMountCommand(Action::kStats, args);
  if (!args.empty() && args[0] == "branch") return ParseMountCommand(Action::kBranch, args);
  if (!args.empty() && args[0] == "whence") return ParseMountCommand(Action::kWhence, args);
  if (!args.empty() && args[0] == "diff") return ParseLayerCommand(Action::kDiff, args);
  if (!args.empty() && args[0] == "check") return ParseLayerCommand(Action::kCheck, args);
  Draft draft;
  std::vector<std::string> positionals;
  absl::Status status = ReadArguments(args, draft, positionals);
  if (!status.ok()) return status;
  return Finish(std::move(draft), std::move(positionals));
}

}  // namespace acetate::fusefs
