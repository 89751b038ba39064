#include "fusefs/whiteout.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/sysmacros.h>

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace acetate::fusefs {
namespace {

constexpr absl::string_view kDotWhPrefix = ".wh.";
// As fuse-overlayfs 1.x names them.
constexpr char kForeignOpaque[] = "user.fuseoverlayfs.opaque";
constexpr char kForeignOpaqueWhiteout[] = ".wh..opq";

}  // namespace

bool IsDotWhName(absl::string_view name) { return absl::StartsWith(name, kDotWhPrefix); }

absl::string_view DotWhHidden(absl::string_view name) {
  name.remove_prefix(kDotWhPrefix.size());
  return IsDotWhName(name) ? "" : name;
}

bool IsWhiteoutDevice(mode_t mode, dev_t device) { return S_ISCHR(mode) && device == makedev(0, 0); }

ErrnoOr<LayerListing> ReadLayer(const Branch& branch, const OverlayXattr& xattrs, int dirfd) {
  ACETATE_ASSIGN_OR_RETURN(std::vector<RawEntry> raw, branch.ReadDir(dirfd));
  const bool dot_wh = branch.spec().format == WhiteoutFormat::kDotWh;
  const bool xattr_whiteouts = xattrs.GetOpaque(branch, dirfd, "") == Opaque::kXattrWhiteouts;
  const bool has_whiteout = std::any_of(raw.begin(), raw.end(), [](const RawEntry& entry) {
    return entry.type == DT_CHR && entry.name == kForeignOpaqueWhiteout;
  });
  const bool foreign_opaque = has_whiteout && !xattrs.trusted() && HasForeignOpaque(branch, dirfd);
  LayerListing listing;
  listing.count_whiteouts = branch.spec().count_whiteouts;
  listing.entries.reserve(raw.size());
  for (RawEntry& entry : raw) {
    if (foreign_opaque && IsForeignOpaqueName(entry.name)) continue;
    bool whiteout = false;
    if (dot_wh && IsDotWhName(entry.name)) {
      entry.name = std::string(DotWhHidden(entry.name));
      if (entry.name.empty()) continue;
      whiteout = true;
    } else if (entry.type == DT_CHR) {
      ErrnoOr<struct stat> st = branch.Stat(dirfd, entry.name.c_str());
      whiteout = st.ok() && IsWhiteoutDevice(st->st_mode, st->st_rdev);
    } else if (entry.type == DT_REG && xattr_whiteouts) {
      ErrnoOr<struct stat> st = branch.Stat(dirfd, entry.name.c_str());
      whiteout = st.ok() && st->st_size == 0 && xattrs.IsXattrWhiteout(branch, dirfd, entry.name.c_str());
    }
    listing.entries.push_back({std::move(entry.name), entry.ino, entry.type, whiteout});
  }
  return listing;
}

ErrnoOr<Held> ProbeLayer(const Branch& branch, const OverlayXattr& xattrs, int dirfd, const std::string& name) {
  const bool dot_wh = branch.spec().format == WhiteoutFormat::kDotWh;
  const Held hidden = branch.spec().count_whiteouts ? Held::kWhiteout : Held::kNothing;
  if (dot_wh && IsDotWhName(name)) return Held::kNothing;
  ErrnoOr<struct stat> st = branch.Stat(dirfd, name.c_str());
  if (st.error() == ENOENT) {
    const bool marked = dot_wh && branch.Stat(dirfd, absl::StrCat(kDotWhPrefix, name).c_str()).ok();
    return marked ? hidden : Held::kNothing;
  }
  if (!st.ok()) return st.error();
  if (S_ISDIR(st->st_mode)) return Held::kDirectory;
  if (IsWhiteoutDevice(st->st_mode, st->st_rdev)) return hidden;
  if (S_ISREG(st->st_mode) && st->st_size == 0 && xattrs.IsXattrWhiteout(branch, dirfd, name.c_str()) &&
      xattrs.GetOpaque(branch, dirfd, "") == Opaque::kXattrWhiteouts) {
    return hidden;
  }
  return Held::kOther;
}

bool HasForeignOpaque(const Branch& branch, int dirfd) {
  char value[2];
  ErrnoOr<size_t> size = branch.GetXattr(dirfd, "", kForeignOpaque, value, sizeof(value));
  if (!size.ok() || *size != 1 || value[0] != 'y') return false;
  ErrnoOr<struct stat> st = branch.Stat(dirfd, kForeignOpaqueWhiteout);
  return st.ok() && IsWhiteoutDevice(st->st_mode, st->st_rdev);
}

bool IsForeignOpaqueName(absl::string_view name) { return name == kForeignOpaqueWhiteout || name == kDotWhOpaqueName; }

bool IsOpaque(const Branch& branch, const OverlayXattr& xattrs, int dirfd) {
  if (xattrs.GetOpaque(branch, dirfd, "") == Opaque::kYes) return true;
  if (!xattrs.trusted() && HasForeignOpaque(branch, dirfd)) return true;
  return branch.spec().format == WhiteoutFormat::kDotWh && branch.Stat(dirfd, kDotWhOpaqueName).ok();
}

WhiteoutWriter::WhiteoutWriter(const Branch* upper, const OverlayXattr* xattrs, int work_fd, WhiteoutEncoding encoding)
    : upper_(upper), xattrs_(xattrs), work_fd_(work_fd), encoding_(encoding) {}

Errno WhiteoutWriter::MakeTemplate() {
  if (made_) return kOk;
  Errno error = upper_->Unlink(work_fd_, kWhiteoutTemplate);
  if (!error.ok() && !(error == ENOENT)) return error;
  if (encoding_ != WhiteoutEncoding::kXattr) {
    error = upper_->MkNod(work_fd_, kWhiteoutTemplate, S_IFCHR, makedev(0, 0));
    if (error.ok()) {
      encoding_ = WhiteoutEncoding::kCharDevice;
      made_ = true;
      return kOk;
    }
    // Filesystems that keep no device nodes refuse in one of these ways.
    bool refused = error == EPERM || error == EOPNOTSUPP || error == ENOSYS || error == EINVAL;
    if (!refused || encoding_ == WhiteoutEncoding::kCharDevice) return error;
    encoding_ = WhiteoutEncoding::kXattr;
  }
  ACETATE_RETURN_IF_ERROR(upper_->MkNod(work_fd_, kWhiteoutTemplate, S_IFREG | 0644, 0));
  ACETATE_RETURN_IF_ERROR(upper_->SetXattr(work_fd_, kWhiteoutTemplate, xattrs_->whiteout().c_str(), "y", 1, 0));
  made_ = true;
  return kOk;
}

Errno WhiteoutWriter::Place(int dirfd, const char* name) {
  ACETATE_RETURN_IF_ERROR(MakeTemplate());
  Errno error = upper_->Link(work_fd_, kWhiteoutTemplate, dirfd, name);
  if (error == EMLINK || error == ENOENT) {
    // The inode has all the links it can have, or somebody cleaned the work directory: start another.
    made_ = false;
    ACETATE_RETURN_IF_ERROR(MakeTemplate());
    error = upper_->Link(work_fd_, kWhiteoutTemplate, dirfd, name);
  }
  return error;
}

Errno WhiteoutWriter::PrepareDir(int dirfd) {
  ACETATE_RETURN_IF_ERROR(MakeTemplate());
  if (encoding_ != WhiteoutEncoding::kXattr) return kOk;
  if (xattrs_->GetOpaque(*upper_, dirfd, "") != Opaque::kNo) return kOk;
  return upper_->SetXattr(dirfd, "", xattrs_->opaque().c_str(), "x", 1, 0);
}

bool WhiteoutWriter::RenameLeavesWhiteout() {
  return MakeTemplate().ok() && encoding_ == WhiteoutEncoding::kCharDevice;
}

}  // namespace acetate::fusefs
