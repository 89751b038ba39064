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

std::string DotWhName(absl::string_view name) { return absl::StrCat(kDotWhPrefix, name); }

bool IsWhiteoutDevice(mode_t mode, dev_t device) { return S_ISCHR(mode) && device == makedev(0, 0); }

DirMarks ListMarks(const Branch& branch, const OverlayXattr& xattrs, int dirfd) {
  DirMarks marks;
  ErrnoOr<std::string> list = branch.ListXattr(dirfd, "");
  if (!list.ok()) return marks;
  marks.opaque = OverlayXattr::Lists(*list, xattrs.opaque());
  marks.redirect = OverlayXattr::Lists(*list, xattrs.redirect());
  marks.impure = OverlayXattr::Lists(*list, xattrs.impure());
  marks.foreign_opaque = OverlayXattr::Lists(*list, kForeignOpaque);
  return marks;
}

ErrnoOr<LayerListing> ReadLayer(const Branch& branch, const OverlayXattr& xattrs, int dirfd, const DirMarks& marks,
                                bool unread) {
  ACETATE_ASSIGN_OR_RETURN(std::vector<RawEntry> raw, branch.ReadDir(dirfd, unread));
  const bool dot_wh = branch.spec().format == WhiteoutFormat::kDotWh;
  const bool has_file = std::any_of(raw.begin(), raw.end(), [](const RawEntry& entry) { return entry.type == DT_REG; });
  const bool xattr_whiteouts =
      has_file && marks.opaque && xattrs.GetOpaque(branch, dirfd, "") == Opaque::kXattrWhiteouts;
  const bool has_whiteout = std::any_of(raw.begin(), raw.end(), [](const RawEntry& entry) {
    return entry.type == DT_CHR && entry.name == kForeignOpaqueWhiteout;
  });
  const bool foreign_opaque =
      has_whiteout && !xattrs.trusted() && marks.foreign_opaque && HasForeignOpaque(branch, dirfd);
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

ErrnoOr<LayerListing> ReadLayerName(const Branch& branch, const OverlayXattr& xattrs, int dirfd,
                                    const std::string& name) {
  const bool dot_wh = branch.spec().format == WhiteoutFormat::kDotWh;
  LayerListing listing;
  listing.count_whiteouts = branch.spec().count_whiteouts;
  if (dot_wh && IsDotWhName(name)) return listing;
  if (IsForeignOpaqueName(name) && !xattrs.trusted() && HasForeignOpaque(branch, dirfd)) return listing;
  ErrnoOr<struct stat> st = branch.Stat(dirfd, name.c_str());
  if (!st.ok() && !(st.error() == ENOENT)) return st.error();
  if (st.ok()) {
    const bool whiteout =
        IsWhiteoutDevice(st->st_mode, st->st_rdev) ||
        (S_ISREG(st->st_mode) && st->st_size == 0 && xattrs.IsXattrWhiteout(branch, dirfd, name.c_str()) &&
         xattrs.GetOpaque(branch, dirfd, "") == Opaque::kXattrWhiteouts);
    listing.entries.push_back({name, st->st_ino, static_cast<unsigned char>(IFTODT(st->st_mode)), whiteout});
  }
  if (!dot_wh) return listing;
  ErrnoOr<struct stat> mark = branch.Stat(dirfd, DotWhName(name).c_str());
  if (mark.ok()) listing.entries.push_back({name, mark->st_ino, DT_REG, true});
  return listing;
}

ErrnoOr<Probe> ProbeLayer(const Branch& branch, const OverlayXattr& xattrs, int dirfd, const std::string& name) {
  ACETATE_ASSIGN_OR_RETURN(LayerListing listing, ReadLayerName(branch, xattrs, dirfd, name));
  Probe probe;
  for (const LayerEntry& entry : listing.entries) {
    if (!entry.whiteout) {
      probe.held = entry.type == DT_DIR ? Held::kDirectory : Held::kOther;
    } else if (listing.count_whiteouts) {
      // An object comes before the whiteout beside it.
      probe.ends = true;
      if (probe.held == Held::kNothing) probe.held = Held::kWhiteout;
    }
  }
  return probe;
}

bool HasForeignOpaque(const Branch& branch, int dirfd) {
  char value[2];
  ErrnoOr<size_t> size = branch.GetXattr(dirfd, "", kForeignOpaque, value, sizeof(value));
  if (!size.ok() || *size != 1 || value[0] != 'y') return false;
  ErrnoOr<struct stat> st = branch.Stat(dirfd, kForeignOpaqueWhiteout);
  return st.ok() && IsWhiteoutDevice(st->st_mode, st->st_rdev);
}

bool IsForeignOpaqueName(absl::string_view name) { return name == kForeignOpaqueWhiteout || name == kDotWhOpaqueName; }

bool IsOpaque(const Branch& branch, const OverlayXattr& xattrs, int dirfd, const DirMarks& marks) {
  if (marks.opaque && xattrs.GetOpaque(branch, dirfd, "") == Opaque::kYes) return true;
  if (!xattrs.trusted() && marks.foreign_opaque && HasForeignOpaque(branch, dirfd)) return true;
  return branch.spec().format == WhiteoutFormat::kDotWh && branch.Stat(dirfd, kDotWhOpaqueName).ok();
}

WhiteoutWriter::WhiteoutWriter(const Branch* branch, const OverlayXattr* xattrs, int work_fd, WhiteoutEncoding encoding)
    : branch_(branch),
      xattrs_(xattrs),
      work_fd_(work_fd),
      beside_(branch->spec().format == WhiteoutFormat::kDotWh),
      encoding_(encoding) {}

Errno WhiteoutWriter::MakeTemplate() {
  if (made_) return kOk;
  Errno error = branch_->Unlink(work_fd_, kWhiteoutTemplate);
  if (!error.ok() && !(error == ENOENT)) return error;
  if (beside_) {
    ACETATE_RETURN_IF_ERROR(branch_->MkNod(work_fd_, kWhiteoutTemplate, S_IFREG | 0444, 0));
    made_ = true;
    return kOk;
  }
  if (encoding_ != WhiteoutEncoding::kXattr) {
    error = branch_->MkNod(work_fd_, kWhiteoutTemplate, S_IFCHR, makedev(0, 0));
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
  ACETATE_RETURN_IF_ERROR(branch_->MkNod(work_fd_, kWhiteoutTemplate, S_IFREG | 0644, 0));
  ACETATE_RETURN_IF_ERROR(branch_->SetXattr(work_fd_, kWhiteoutTemplate, xattrs_->whiteout().c_str(), "y", 1, 0));
  made_ = true;
  return kOk;
}

Errno WhiteoutWriter::PlaceLink(int dirfd, const char* name) {
  ACETATE_RETURN_IF_ERROR(MakeTemplate());
  Errno error = branch_->Link(work_fd_, kWhiteoutTemplate, dirfd, name);
  if (error == EMLINK || error == ENOENT) {
    // The inode has all the links it can have, or somebody cleaned the work directory: start another.
    made_ = false;
    ACETATE_RETURN_IF_ERROR(MakeTemplate());
    error = branch_->Link(work_fd_, kWhiteoutTemplate, dirfd, name);
  }
  return error;
}

Errno WhiteoutWriter::Place(int dirfd, const char* name) {
  if (!beside_) return PlaceLink(dirfd, name);
  Errno error = PlaceLink(dirfd, DotWhName(name).c_str());
  // One that is there already, beside what it also hid from below, serves.
  return error == EEXIST ? kOk : error;
}

Errno WhiteoutWriter::RemoveBeside(int dirfd, const char* name) {
  Errno error = branch_->Unlink(dirfd, DotWhName(name).c_str());
  return error == ENOENT ? kOk : error;
}

Errno WhiteoutWriter::PrepareDir(int dirfd) {
  if (beside_) return kOk;
  ACETATE_RETURN_IF_ERROR(MakeTemplate());
  if (encoding_ != WhiteoutEncoding::kXattr) return kOk;
  if (xattrs_->GetOpaque(*branch_, dirfd, "") != Opaque::kNo) return kOk;
  return branch_->SetXattr(dirfd, "", xattrs_->opaque().c_str(), "x", 1, 0);
}

bool WhiteoutWriter::RenameLeavesWhiteout() {
  return !beside_ && MakeTemplate().ok() && encoding_ == WhiteoutEncoding::kCharDevice;
}

Errno WhiteoutWriter::MakeOpaque(int dirfd, const char* name) {
  if (!beside_) return branch_->SetXattr(dirfd, name, xattrs_->opaque().c_str(), "y", 1, 0);
  ACETATE_ASSIGN_OR_RETURN(UniqueFd dir, branch_->Open(dirfd, *name == '\0' ? "." : name, O_PATH | O_DIRECTORY));
  Errno error = PlaceLink(dir.get(), kDotWhOpaqueName);
  return error == EEXIST ? kOk : error;
}

}  // namespace acetate::fusefs
