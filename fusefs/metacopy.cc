// Metadata-only copies: an upper file that has attributes of its own, while its contents are still in a lower layer.
//
// As the kernel's metacopy: the upper file is as long as the lower one and holds nothing, and is marked
// overlay.metacopy. Its contents are found below by its name or by its redirect, and fetched when they are first
// written; then the mark goes.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "fusefs/complain.h"
#include "fusefs/union_fs.h"
#include "fusefs/with_spare_fds.h"

namespace acetate::fusefs {

Dentry* UnionFs::NameIn(const Inode* inode) const {
  for (Dentry* dentry : inode->names) {
    if (dentry->home() == inode->home) return dentry;
  }
  return nullptr;
}

Errno UnionFs::FindContentsLocked(Inode* inode) {
  if (inode->contents_known || inode->type != S_IFREG) return kOk;
  ACETATE_ASSIGN_OR_RETURN(Location where, Locate(inode));
  const Dentry* dentry = NameIn(inode);
  Trail trail;
  if (dentry != nullptr) {
    trail.parent = dentry->parent->dir.get();
    trail.where.names = {dentry->name};
  }
  const Branch* branch = where.branch;
  FdRef fd = where.fd;
  std::string name = where.name;
  std::unique_ptr<LowerData> found;
  for (;;) {
    ErrnoOr<std::string> mark = Errno(ENODATA);
    if (!IsLast(*branch)) mark = OverlayXattr::Get(*branch, fd->get(), name.c_str(), xattrs_.metacopy());
    if (mark.error() == ENODATA) break;
    if (!mark.ok()) return mark.error();
    ErrnoOr<std::string> value = OverlayXattr::Get(*branch, fd->get(), name.c_str(), xattrs_.redirect());
    ErrnoOr<Redirect> redirect = value.ok() ? Redirect::Parse(*value) : value.error();
    if (redirect.ok() && (redirect->absolute || !trail.where.names.empty())) {
      trail.where =
          trail.where.names.empty() ? *redirect : trail.where.Through(trail.where.names.size() - 1, *redirect);
    } else if (!(redirect.error() == ENODATA) || trail.where.names.empty()) {
      return ContentsAreLost(*branch, name);
    }
    trail.position = branches_.position(branch->id());
    ACETATE_ASSIGN_OR_RETURN(Below below, NextBelowLocked(&trail));
    if (below.held != Held::kOther) return ContentsAreLost(*branch, name);
    ACETATE_ASSIGN_OR_RETURN(fd, DirFd(below.dir.get()));
    branch = below.dir->branch;
    name = below.name;
    ACETATE_ASSIGN_OR_RETURN(struct stat st, branch->Stat(fd->get(), name.c_str()));
    if (!S_ISREG(st.st_mode)) return ContentsAreLost(*branch, name);
    if (found == nullptr) found = std::make_unique<LowerData>();
    found->dir = below.dir;
    found->name = name;
  }
  if (found != nullptr) {
    ACETATE_ASSIGN_OR_RETURN(struct stat st, where.branch->Stat(where.dirfd(), where.c_name()));
    found->size = st.st_size;
    ACETATE_RETURN_IF_ERROR(ReadPartialLocked(where, found.get()));
  }
  inode->lower_data = std::move(found);
  inode->contents_known = true;
  return kOk;
}

Errno UnionFs::ReadPartialLocked(const Location& where, LowerData* data) {
  ErrnoOr<std::string> value = OverlayXattr::Get(*where.branch, where.dirfd(), where.c_name(), xattrs_.partial());
  if (value.error() == ENODATA) return kOk;
  if (!value.ok()) return value.error();
  int64_t floor;
  const bool writable = branches_.writable(where.branch->id()) != nullptr;
  if (!absl::SimpleAtoi(*value, &floor) || floor < 0 || !writable) {
    Complain(absl::StrCat("branch ", where.branch->spec().path, ": file ", where.name,
                          writable ? " is partly copied, and does not say how much"
                                   : " is partly copied; mount the layer writable over those below it, and "
                                     "unmount it, to have it finished"));
    return Errno(EIO);
  }
  data->partial = true;
  data->size = std::min<off_t>(data->size, floor);
  return kOk;
}

ErrnoOr<UnionFs::Location> UnionFs::LocateContents(const Inode* inode) {
  if (inode->lower_data == nullptr) return Locate(inode);
  LayerDir* dir = inode->lower_data->dir.get();
  ACETATE_ASSIGN_OR_RETURN(FdRef fd, DirFd(dir));
  return Location{dir->branch, std::move(fd), inode->lower_data->name};
}

Errno UnionFs::ContentsAreLost(const Branch& branch, const std::string& name) {
  Complain(absl::StrCat("branch ", branch.spec().path, ": file ", name,
                        " is a metadata-only copy, and no layer below holds its contents"));
  return Errno(EIO);
}

Errno UnionFs::FetchContentsLocked(Inode* inode, off_t size_limit) {
  ACETATE_RETURN_IF_ERROR(FindContentsLocked(inode));
  if (inode->lower_data == nullptr) return kOk;
  ACETATE_ASSIGN_OR_RETURN(Location where, Locate(inode));
  ACETATE_ASSIGN_OR_RETURN(FdRef source, DataFdLocked(inode, false));
  ACETATE_ASSIGN_OR_RETURN(UniqueFd data,
                           WithSpareFds([&] { return where.branch->Open(where.dirfd(), where.c_name(), O_RDWR); }));
  ACETATE_ASSIGN_OR_RETURN(struct stat st, where.branch->Stat(data.get(), ""));
  off_t size = st.st_size;
  if (size_limit >= 0 && size_limit < size) {
    // The file is that long from now on, whether its contents are here or below.
    if (ftruncate(data.get(), size_limit) != 0) return Errno::Last();
    size = size_limit;
    inode->lower_data->size = size;
  }
  ACETATE_RETURN_IF_ERROR(CopyContentsLocked(inode, source->get(), data.get(), size));
  ACETATE_RETURN_IF_ERROR(RemoveMetacopyMarks(*where.branch, data.get()));
  inode->lower_data.reset();
  KeepDataFdLocked(inode, std::move(data), /*writable=*/true);
  return kOk;
}

Errno UnionFs::RemoveMetacopyMarks(const Branch& branch, int fd) const {
  ACETATE_RETURN_IF_ERROR(branch.RemoveXattr(fd, "", xattrs_.metacopy().c_str()));
  for (const std::string* key : {&xattrs_.partial(), &xattrs_.redirect()}) {
    branch.RemoveXattr(fd, "", key->c_str()).IgnoreError();
  }
  return kOk;
}

Errno UnionFs::RedirectFileLocked(Inode* inode) {
  ACETATE_RETURN_IF_ERROR(FindContentsLocked(inode));
  const Dentry* dentry = NameIn(inode);
  if (inode->lower_data == nullptr || dentry == nullptr) return kOk;
  ACETATE_ASSIGN_OR_RETURN(Location where, Locate(inode));
  std::string name = dentry->name;
  ErrnoOr<std::string> value = OverlayXattr::Get(*where.branch, where.dirfd(), where.c_name(), xattrs_.redirect());
  if (value.ok()) {
    ACETATE_ASSIGN_OR_RETURN(Redirect redirect, Redirect::Parse(*value));
    if (redirect.absolute) return kOk;
    name = redirect.names.front();
  }
  std::vector<std::string> names = NamesBelow(dentry->parent, inode->home);
  names.push_back(std::move(name));
  return WriteRedirectLocked(names, where);
}

}  // namespace acetate::fusefs
