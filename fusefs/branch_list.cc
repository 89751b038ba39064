#include "fusefs/branch_list.h"

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace acetate::fusefs {
namespace {

// Sets the mode of `branch` from `rw`, `ro`, `ro+wh`, `ro+dotwh`...; false when `text` is not a mode.
bool ParseMode(absl::string_view text, BranchSpec* branch) {
  const std::string lower = absl::AsciiStrToLower(text);
  const std::vector<absl::string_view> parts = absl::StrSplit(lower, '+');
  if (parts[0] == "rw") {
    branch->mode = BranchMode::kReadWrite;
  } else if (parts[0] == "ro") {
    branch->mode = BranchMode::kReadOnly;
  } else {
    return false;
  }
  branch->count_whiteouts = branch->mode == BranchMode::kReadWrite;
  for (size_t i = 1; i < parts.size(); ++i) {
    if (parts[i] == "dotwh") {
      branch->format = WhiteoutFormat::kDotWh;
    } else if (parts[i] != "wh") {
      return false;
    }
    branch->count_whiteouts = true;
  }
  return true;
}

}  // namespace

std::vector<std::string> SplitEscaped(absl::string_view text, char separator) {
  std::vector<std::string> parts(1);
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == separator) {
      parts.emplace_back();
      continue;
    }
    parts.back().push_back(text[i]);
    if (text[i] == '\\' && i + 1 < text.size()) parts.back().push_back(text[++i]);
  }
  return parts;
}

std::string Unescape(absl::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 1 < text.size()) ++i;
    out.push_back(text[i]);
  }
  return out;
}

absl::StatusOr<std::vector<BranchSpec>> ParseLowerDirs(absl::string_view text, WhiteoutFormat format) {
  std::vector<BranchSpec> branches;
  for (const std::string& part : SplitEscaped(text, ':')) {
    if (part.empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat("lowerdir=", text, ": has an empty entry; separate directories by one ':'"));
    }
    BranchSpec branch;
    branch.path = Unescape(part);
    branch.format = format;
    branches.push_back(std::move(branch));
  }
  return branches;
}

absl::StatusOr<std::vector<BranchSpec>> ParseBranches(absl::string_view text) {
  std::vector<BranchSpec> branches;
  for (const std::string& part : SplitEscaped(text, ':')) {
    BranchSpec branch;
    absl::string_view path = part;
    const size_t equals = path.rfind('=');
    if (equals != absl::string_view::npos) {
      const absl::string_view mode = path.substr(equals + 1);
      if (!ParseMode(mode, &branch)) {
        return absl::InvalidArgumentError(absl::StrCat("branches: '", mode, "' in '", part,
                                                       "' is not a mode; use rw, ro or ro+wh, with +dotwh for .wh. "
                                                       "files"));
      }
      path = path.substr(0, equals);
    } else if (branches.empty()) {
      branch.mode = BranchMode::kReadWrite;
    } else {
      branch.count_whiteouts = false;
    }
    if (path.empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat("branches=", text, ": has an empty entry; write DIR=MODE, separated by one ':'"));
    }
    branch.path = Unescape(path);
    branches.push_back(std::move(branch));
  }
  return branches;
}

std::string FormatMode(const BranchSpec& branch) {
  if (branch.format == WhiteoutFormat::kDotWh) {
    return branch.mode == BranchMode::kReadWrite ? "rw+dotwh" : "ro+dotwh";
  }
  if (branch.mode == BranchMode::kReadWrite) return "rw";
  return branch.count_whiteouts ? "ro+wh" : "ro";
}

std::string SiblingWorkDir(absl::string_view branch) {
  while (branch.size() > 1 && absl::EndsWith(branch, "/")) branch.remove_suffix(1);
  const size_t slash = branch.rfind('/');
  const absl::string_view name = slash == absl::string_view::npos ? branch : branch.substr(slash + 1);
  if (name.empty() || name == "." || name == "..") return "";
  return absl::StrCat(branch.substr(0, branch.size() - name.size()), ".", name, ".work");
}

}  // namespace acetate::fusefs
