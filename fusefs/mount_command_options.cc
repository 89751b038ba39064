#include "fusefs/mount_command_options.h"

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace acetate::fusefs {
namespace {

absl::Status ParsePosition(absl::string_view text, CommandLine* line) {
  if (text == "top") {
    line->position = 0;
  } else if (text == "bottom") {
    line->position = -1;
  } else if (!absl::SimpleAtoi(text, &line->position) || line->position < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", text, "' is no position: give a number, 0 for the topmost branch, or top or bottom"));
  }
  return absl::OkStatus();
}

// What follows the mountpoint of `fusefs branch`.
absl::Status ParseBranchWords(const std::vector<std::string>& words, CommandLine* line) {
  line->branch_verb = words.empty() ? "list" : words[0];
  const auto wants = [&](size_t count, absl::string_view usage) {
    return words.size() == count ? absl::OkStatus()
                                 : absl::InvalidArgumentError(absl::StrCat("branch ", line->branch_verb, ": write ",
                                                                           "fusefs branch MOUNTPOINT ", usage));
  };
  absl::Status status;
  if (line->branch_verb == "list") {
    return words.size() > 1 ? wants(1, "list") : absl::OkStatus();
  }
  if (line->branch_verb == "add") {
    status = wants(2, "add DIR[=MODE] [--at=POSITION]");
    if (!status.ok()) return status;
    // The last '=' separates the mode.
    const size_t equals = words[1].rfind('=');
    line->path = words[1].substr(0, equals);
    line->branch_mode = equals == std::string::npos ? "ro" : words[1].substr(equals + 1);
  } else if (line->branch_verb == "remove") {
    status = wants(2, "remove DIR|POSITION");
    if (status.ok()) line->path = words[1];
  } else if (line->branch_verb == "move") {
    status = wants(3, "move DIR|POSITION TO");
    if (!status.ok()) return status;
    line->path = words[1];
    status = ParsePosition(words[2], line);
  } else if (line->branch_verb == "mode") {
    status = wants(3, "mode DIR|POSITION MODE");
    if (!status.ok()) return status;
    line->path = words[1];
    line->branch_mode = words[2];
  } else {
    return absl::InvalidArgumentError(
        absl::StrCat("branch ", line->branch_verb, ": must be list, add, remove, move or mode"));
  }
  line->branch_mode = absl::AsciiStrToLower(line->branch_mode);
  if (status.ok() && line->path.empty()) return absl::InvalidArgumentError("the branch is empty; give a directory");
  return status;
}

}  // namespace

absl::StatusOr<CommandLine> ParseMountCommand(Action action, const std::vector<std::string>& args) {
  CommandLine line;
  line.action = action;
  std::vector<std::string> words;
  bool options_end = false;
  for (size_t i = 1; i < args.size(); ++i) {
    absl::string_view value = args[i];
    if (options_end || !absl::StartsWith(value, "-")) {
      words.push_back(args[i]);
    } else if (value == "--") {
      options_end = true;
    } else if (value == "--json") {
      line.json = true;
    } else if (absl::ConsumePrefix(&value, "--control=")) {
      line.options.control_path = std::string(value);
    } else if (action == Action::kBranch && absl::ConsumePrefix(&value, "--at=")) {
      absl::Status status = ParsePosition(value, &line);
      if (!status.ok()) return status;
    } else {
      return absl::InvalidArgumentError(absl::StrCat("unknown option ", args[i], "; see fusefs --help"));
    }
  }
  if (line.options.control_path.empty()) {
    if (words.empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat(args[0], " needs a mountpoint or --control=SOCKET: fusefs ", args[0], " MOUNTPOINT"));
    }
    line.mountpoint = words.front();
    words.erase(words.begin());
  }
  if (action == Action::kBranch) {
    absl::Status status = ParseBranchWords(words, &line);
    if (!status.ok()) return status;
    return line;
  }
  if (action == Action::kWhence && !words.empty()) {
    line.path = words.front();
    words.erase(words.begin());
  } else if (action == Action::kWhence) {
    return absl::InvalidArgumentError("whence needs a path: fusefs whence MOUNTPOINT PATH");
  }
  if (!words.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("too many arguments: '", words.front(), "'; see fusefs --help"));
  }
  return line;
}

}  // namespace acetate::fusefs
