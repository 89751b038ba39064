#include "fusefs/layer_marks.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "fusefs/overlay_xattr.h"
#include "fusefs/redirect.h"

namespace acetate::fusefs {
namespace {

constexpr absl::string_view kTrustedPrefix = "trusted.overlay.";
constexpr absl::string_view kUserPrefix = "user.overlay.";
// An attribute of an application's, stored one level deeper.
constexpr absl::string_view kEscape = "overlay.";

// The key without its prefix; false where it is none that counts.
bool ConsumeMarkPrefix(MarkFamilies families, absl::string_view* key) {
  const bool consumed = (families != MarkFamilies::kUser && absl::ConsumePrefix(key, kTrustedPrefix)) ||
                        (families != MarkFamilies::kTrusted && absl::ConsumePrefix(key, kUserPrefix));
  return consumed && !absl::StartsWith(*key, kEscape);
}

MarkKind KindOf(absl::string_view name) {
  if (name == "opaque") return MarkKind::kOpaque;
  if (name == "redirect") return MarkKind::kRedirect;
  if (name == "metacopy") return MarkKind::kMetacopy;
  if (name == "partial") return MarkKind::kPartial;
  if (name == "origin" || name == "ino") return MarkKind::kOrigin;  // the kernel's, and ours
  if (name == "nlink") return MarkKind::kNlink;
  if (name == "whiteout") return MarkKind::kWhiteout;
  return MarkKind::kOther;
}

// struct ovl_metacopy of the kernel: version, length, flags, digest algorithm, digest. Nothing at all is the form of
// kernels before 6.6.
bool IsMetacopy(absl::string_view value) {
  return value.empty() ||
         (value.size() >= 4 && value[0] == 0 && static_cast<unsigned char>(value[1]) == value.size() && value[2] == 0);
}

// Link count of the union's object, counted from that of the upper (U) or the lower one (L): "U+1", "L-2".
bool IsNlink(absl::string_view value) {
  int difference;
  if (value.size() < 3 || (value[0] != 'U' && value[0] != 'L') || (value[1] != '+' && value[1] != '-')) return false;
  return std::all_of(value.begin() + 2, value.end(), absl::ascii_isdigit) &&
         absl::SimpleAtoi(value.substr(1), &difference);
}

}  // namespace

const Mark* Marks::Find(MarkKind kind) const {
  const auto found = std::find_if(all_.begin(), all_.end(), [&](const Mark& mark) { return mark.kind == kind; });
  return found == all_.end() ? nullptr : &*found;
}

bool Marks::OpaqueIs(absl::string_view value) const {
  return std::any_of(all_.begin(), all_.end(),
                     [&](const Mark& mark) { return mark.kind == MarkKind::kOpaque && mark.value == value; });
}

ErrnoOr<Marks> ReadMarks(const Branch& branch, MarkFamilies families, int dirfd, const char* name) {
  ErrnoOr<std::string> list = branch.ListXattr(dirfd, name);
  if (list.error() == EOPNOTSUPP) return Marks();
  if (!list.ok()) return list.error();
  std::vector<Mark> marks;
  for (absl::string_view key : absl::StrSplit(*list, '\0', absl::SkipEmpty())) {
    absl::string_view rest = key;
    if (!ConsumeMarkPrefix(families, &rest)) continue;
    Mark mark{KindOf(rest), std::string(key), ""};
    ACETATE_ASSIGN_OR_RETURN(mark.value, OverlayXattr::Get(branch, dirfd, name, mark.key));
    marks.push_back(std::move(mark));
  }
  std::sort(marks.begin(), marks.end(), [](const Mark& a, const Mark& b) {
    const bool a_user = absl::StartsWith(a.key, kUserPrefix), b_user = absl::StartsWith(b.key, kUserPrefix);
    return a_user != b_user ? b_user : a.key < b.key;
  });
  return Marks(std::move(marks));
}

bool HasMarkPrefix(absl::string_view key) {
  return absl::StartsWith(key, kTrustedPrefix) || absl::StartsWith(key, kUserPrefix);
}

std::string SiblingKey(absl::string_view key, absl::string_view name) {
  return absl::StrCat(absl::StartsWith(key, kUserPrefix) ? kUserPrefix : kTrustedPrefix, name);
}

bool IsRedirect(absl::string_view value) { return Redirect::Parse(value).ok(); }

std::string MarkFault(const Mark& mark, mode_t type) {
  switch (mark.kind) {
    case MarkKind::kOpaque:
      if (!S_ISDIR(type)) return "opaque mark on what is no directory";
      if (mark.value != "y" && mark.value != "x") return "opaque mark of no meaning";
      return "";
    case MarkKind::kRedirect:
      if (!S_ISDIR(type) && !S_ISREG(type)) return "redirect on what is no file or directory";
      return IsRedirect(mark.value) ? "" : "malformed redirect";
    case MarkKind::kMetacopy:
      if (!S_ISREG(type)) return "metacopy mark on what is no file";
      return IsMetacopy(mark.value) ? "" : "malformed metacopy mark";
    case MarkKind::kNlink:
      if (S_ISDIR(type)) return "link count on a directory";
      return IsNlink(mark.value) ? "" : "malformed link count";
    case MarkKind::kPartial:
    case MarkKind::kOrigin:
    case MarkKind::kWhiteout:
    case MarkKind::kOther:
      break;
  }
  return "";
}

}  // namespace acetate::fusefs
