#include "tests/differential/judge.h"

#include <linux/fs.h>
#include <sys/stat.h>

#include <algorithm>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "tests/differential/executor.h"

namespace acetate::differential {
namespace {

// The first part in which two outcomes differ: parts are " | " and lines, the whole of what an outcome tells.
struct Parts {
  std::string left;
  std::string right;
};

std::vector<std::string> Split(const std::string& text) {
  const char* separator = text.find('\n') != std::string::npos ? "\n" : " | ";
  return absl::StrSplit(text, separator);
}

Parts FirstDifference(const std::string& left, const std::string& right) {
  const std::vector<std::string> lefts = Split(left);
  const std::vector<std::string> rights = Split(right);
  // A line that only one has: name it, rather than everything that is shifted by it.
  for (size_t i = 0; i < std::max(lefts.size(), rights.size()); ++i) {
    const std::string a = i < lefts.size() ? lefts[i] : "(nothing)";
    const std::string b = i < rights.size() ? rights[i] : "(nothing)";
    if (a == b) continue;
    const absl::string_view a_path = absl::string_view(a).substr(0, a.find(' '));
    const absl::string_view b_path = absl::string_view(b).substr(0, b.find(' '));
    if (lefts.size() > rights.size() && a_path != b_path) return {a, "(nothing)"};
    if (rights.size() > lefts.size() && a_path != b_path) return {"(nothing)", b};
    return {a, b};
  }
  return {};
}

// Which fields differ: "size mtime", "ENOENT/ok".
std::string FieldsThatDiffer(const Parts& parts) {
  const std::vector<std::string> lefts = absl::StrSplit(parts.left, ' ');
  const std::vector<std::string> rights = absl::StrSplit(parts.right, ' ');
  std::string fields;
  for (size_t i = 0; i < std::max(lefts.size(), rights.size()); ++i) {
    const std::string a = i < lefts.size() ? lefts[i] : "";
    const std::string b = i < rights.size() ? rights[i] : "";
    if (a == b) continue;
    const size_t equals = a.find('=');
    absl::StrAppend(&fields, " ", equals == std::string::npos ? a + "/" + b : a.substr(0, equals));
    if (fields.size() > 60) break;
  }
  return fields;
}

}  // namespace

bool OnlyForUnions(const Op& op, const std::string& kernel) {
  // A directory of a lower layer moves only where redirects are written.
  if (op.kind == OpKind::kRename && absl::StartsWith(kernel, "EXDEV")) return true;
  // Whiteouts are made by removing, not by hand.
  if (op.kind == OpKind::kMknod && S_ISCHR(op.mode) && op.rdev == 0) return true;
  if (op.kind == OpKind::kRename && (op.flags & RENAME_WHITEOUT) != 0) return true;
  return false;
}

bool NotOffered(const Op& op, const std::string& subject) {
  // FUSE_TMPFILE needs a libfuse that passes it on.
  return op.kind == OpKind::kTmpfile && absl::StartsWith(subject, "EOPNOTSUPP");
}

bool KernelCannot(const std::string& plain) { return absl::StrContains(plain, kUnlinked); }

std::string ForgiveKernel(const Op& op, std::string text) {
  // A directory that an upper had before it was mounted is not known to hold merged children.
  if (op.kind == OpKind::kWalk) return absl::StrReplaceAll(text, {{" but d_ino is not st_ino", ""}});
  // Elsewhere, to take an access list from a file that has none is no error; here it is, for a file of a lower layer.
  absl::string_view rest = text;
  const bool removes_xattr = op.kind == OpKind::kRemovexattr || (op.kind == OpKind::kFxattr && op.flags == 3);
  if (removes_xattr && absl::StartsWith(op.name, "system.posix_acl") && absl::ConsumePrefix(&rest, "ENODATA")) {
    return absl::StrCat("ok", rest);
  }
  return text;
}

std::string Abbreviate(const std::string& text) {
  std::string shorter;
  for (size_t i = 0; i < text.size();) {
    const size_t end = std::min(text.find_first_not_of(text[i], i), text.size());
    if (end - i > 16) {
      absl::StrAppend(&shorter, text.substr(i, 1), "*", end - i);
    } else {
      shorter += text.substr(i, end - i);
    }
    i = end;
  }
  return shorter;
}

std::optional<Verdict> Judge(const Op& op, const Outcomes& outcomes, const std::string& subject_name) {
  const bool plain_was_done = !OnlyForUnions(op, outcomes.kernel);
  const std::string& expected = plain_was_done ? outcomes.plain : outcomes.kernel;
  const std::string expected_name = plain_was_done ? "plain directory" : "kernel overlayfs";
  Verdict verdict;
  if (outcomes.subject != expected) {
    const Parts parts = FirstDifference(expected, outcomes.subject);
    verdict.what = absl::StrCat(expected_name, " <", parts.left, "> but ", subject_name, " <", parts.right, ">");
    if (plain_was_done && outcomes.kernel == outcomes.subject) verdict.what += " and so does kernel overlayfs";
    verdict.signature = absl::StrCat(KindWord(op.kind), FieldsThatDiffer(parts));
    return verdict;
  }
  if (plain_was_done && outcomes.kernel != outcomes.plain) {
    const Parts parts = FirstDifference(outcomes.plain, outcomes.kernel);
    verdict.what = absl::StrCat("plain directory <", parts.left, "> but kernel overlayfs <", parts.right, ">");
    verdict.signature = absl::StrCat("kernel ", KindWord(op.kind), FieldsThatDiffer(parts));
    return verdict;
  }
  return std::nullopt;
}

}  // namespace acetate::differential
