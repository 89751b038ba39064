#include "fusefs/overlay_xattr.h"

#include <linux/capability.h>
#include <linux/limits.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace acetate::fusefs {

OverlayXattr::OverlayXattr(bool trusted)
    : prefix_(trusted ? "trusted.overlay." : "user.overlay."),
      escaped_(absl::StrCat(prefix_, "overlay.")),
      opaque_(absl::StrCat(prefix_, "opaque")),
      whiteout_(absl::StrCat(prefix_, "whiteout")),
      redirect_(absl::StrCat(prefix_, "redirect")),
      metacopy_(absl::StrCat(prefix_, "metacopy")),
      impure_(absl::StrCat(prefix_, "impure")),
      partial_(absl::StrCat(prefix_, "partial")),
      ino_(absl::StrCat(prefix_, "ino")),
      origin_(absl::StrCat(prefix_, "origin")),
      nlink_(absl::StrCat(prefix_, "nlink")),
      protattr_(absl::StrCat(prefix_, "protattr")) {}

bool OverlayXattr::MayUseTrusted() {
  __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2] = {};
  if (syscall(SYS_capget, &header, data) != 0 || (data[0].effective & (1U << CAP_SYS_ADMIN)) == 0) return false;
  // The kernel takes them from the initial user namespace only, whose file has this number (PROC_USER_INIT_INO). Its
  // map tells nothing: root may give another namespace the same.
  constexpr ino_t kInitial = 0xEFFFFFFD;
  struct stat ns;
  return stat("/proc/self/ns/user", &ns) == 0 && ns.st_ino == kInitial;
}

bool OverlayXattr::IsOwn(absl::string_view key) const {
  return absl::StartsWith(key, prefix_) && !absl::StartsWith(key, escaped_);
}

std::string OverlayXattr::Escape(absl::string_view key) const {
  if (!absl::StartsWith(key, prefix_)) return std::string(key);
  return absl::StrCat(escaped_, key.substr(prefix_.size()));
}

std::string OverlayXattr::Visible(absl::string_view stored_list, bool trusted) const {
  std::string list;
  for (absl::string_view key : absl::StrSplit(stored_list, '\0', absl::SkipEmpty())) {
    if (IsOwn(key) || (!trusted && absl::StartsWith(key, "trusted."))) continue;
    if (absl::StartsWith(key, escaped_)) {
      absl::StrAppend(&list, prefix_, key.substr(escaped_.size()));
    } else {
      absl::StrAppend(&list, key);
    }
    list.push_back('\0');
  }
  return list;
}

std::vector<std::string> OverlayXattr::ToCopy(absl::string_view stored_list) const {
  std::vector<std::string> keys;
  for (absl::string_view key : absl::StrSplit(stored_list, '\0', absl::SkipEmpty())) {
    if (!IsOwn(key)) keys.emplace_back(key);
  }
  return keys;
}

bool OverlayXattr::Lists(absl::string_view list, absl::string_view key) {
  for (absl::string_view listed : absl::StrSplit(list, '\0', absl::SkipEmpty())) {
    if (listed == key) return true;
  }
  return false;
}

ErrnoOr<std::string> OverlayXattr::Get(const Branch& branch, int dirfd, const char* name, const std::string& key) {
  char small[256];
  ErrnoOr<size_t> size = branch.GetXattr(dirfd, name, key.c_str(), small, sizeof(small));
  if (size.ok()) return std::string(small, *size);
  if (size.error() == EOPNOTSUPP) return Errno(ENODATA);
  if (!(size.error() == ERANGE)) return size.error();
  std::string value(XATTR_SIZE_MAX, '\0');
  ACETATE_ASSIGN_OR_RETURN(size_t length, branch.GetXattr(dirfd, name, key.c_str(), value.data(), value.size()));
  value.resize(length);
  return value;
}

Opaque OverlayXattr::GetOpaque(const Branch& branch, int dirfd, const char* name) const {
  char value[2];
  ErrnoOr<size_t> size = branch.GetXattr(dirfd, name, opaque_.c_str(), value, sizeof(value));
  if (!size.ok() || *size != 1) return Opaque::kNo;
  if (value[0] == 'y') return Opaque::kYes;
  return value[0] == 'x' ? Opaque::kXattrWhiteouts : Opaque::kNo;
}

bool OverlayXattr::IsXattrWhiteout(const Branch& branch, int dirfd, const char* name) const {
  return branch.GetXattr(dirfd, name, whiteout_.c_str(), nullptr, 0).ok();
}

}  // namespace acetate::fusefs
