// Lists of branches as users type them, to BranchSpecs: overlayfs's `lowerdir=A:B` and AUFS's `A=rw:B=ro`. In both a
// backslash takes the next character as it is. Pure.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "fusefs/options.h"

namespace acetate::fusefs {

// Splits at every `separator` that no backslash precedes. Backslashes stay, so that parts can be split again.
std::vector<std::string> SplitEscaped(absl::string_view text, char separator);

// Removes one level of backslashes.
std::string Unescape(absl::string_view text);

// `A:B:C`, topmost first: read-only branches whose whiteouts count.
absl::StatusOr<std::vector<BranchSpec>> ParseLowerDirs(absl::string_view text, WhiteoutFormat format);

// `U=rw:A=ro:B=ro+wh`, topmost first. Modes are rw, ro and ro+wh; each may end in +dotwh. The last `=` separates the
// mode. Without one the first branch is rw and the others are ro, as in AUFS.
absl::StatusOr<std::vector<BranchSpec>> ParseBranches(absl::string_view text);

// The mode as ParseBranches reads it: "rw", "ro", "ro+wh+dotwh"...
std::string FormatMode(const BranchSpec& branch);

// `DIR/NAME` to `DIR/.NAME.work`: the work directory beside a writable branch, on the same filesystem unless that
// branch is a mountpoint. Empty for paths that end in no name ("/", ".", "..").
std::string SiblingWorkDir(absl::string_view branch);

}  // namespace acetate::fusefs
