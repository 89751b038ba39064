#include "fusefs/redirect.h"

#include <climits>

#include "absl/strings/str_split.h"

namespace acetate::fusefs {

ErrnoOr<Redirect> Redirect::Parse(absl::string_view value) {
  Redirect redirect;
  redirect.absolute = !value.empty() && value.front() == '/';
  if (redirect.absolute) value.remove_prefix(1);
  redirect.names = absl::StrSplit(value, '/');
  if (!redirect.absolute && redirect.names.size() != 1) return Errno(EIO);
  for (const std::string& name : redirect.names) {
    if (name.empty() || name == "." || name == ".." || name.size() > NAME_MAX) return Errno(EIO);
    if (name.find('\0') != std::string::npos) return Errno(EIO);
  }
  return redirect;
}

Redirect Redirect::Through(size_t i, const Redirect& other) const {
  Redirect through;
  through.absolute = absolute || other.absolute;
  if (!other.absolute) through.names.assign(names.begin(), names.begin() + static_cast<ptrdiff_t>(i));
  through.names.insert(through.names.end(), other.names.begin(), other.names.end());
  through.names.insert(through.names.end(), names.begin() + static_cast<ptrdiff_t>(i) + 1, names.end());
  return through;
}

}  // namespace acetate::fusefs
