// Where objects of the layers are: fds of their directories, and names in these.
#include <dirent.h>
#include <fcntl.h>

#include <climits>

#include "absl/strings/str_cat.h"
#include "fusefs/union_fs.h"
#include "fusefs/whiteout.h"
#include "fusefs/with_spare_fds.h"

namespace acetate::fusefs {

ErrnoOr<UniqueFd> UnionFs::OpenFarBelow(const FdRef& ancestor, const std::vector<LayerDir*>& path) {
  std::string names;
  for (auto dir = path.rbegin(); dir != path.rend(); ++dir) {
    // Of the root there is no name, and none is needed.
    if ((*dir)->parent != nullptr) absl::StrAppend(&names, names.empty() ? "" : "/", (*dir)->name);
  }
  if (names.size() >= PATH_MAX) return Errno(ENAMETOOLONG);
  const Branch& branch = *path.front()->branch;
  const int from = ancestor == nullptr ? branch.root_fd() : ancestor->get();
  return WithSpareFds([&] { return branch.OpenBelow(from, names.c_str()); });
}

ErrnoOr<FdRef> UnionFs::DirFd(LayerDir* dir) {
  if (dir->pinned != nullptr) return dir->pinned;
  if (FdRef fd = dir_fds_.Get(&dir->slot)) return fd;
  // Down from the nearest ancestor that is open.
  std::vector<LayerDir*> path;
  FdRef fd;
  LayerDir* ancestor = dir;
  while (fd == nullptr) {
    path.push_back(ancestor);
    ancestor = ancestor->parent.get();
    if (ancestor == nullptr) break;
    fd = ancestor->pinned != nullptr ? ancestor->pinned : dir_fds_.Get(&ancestor->slot);
  }
  if (path.size() > 1) {
    ErrnoOr<UniqueFd> opened = OpenFarBelow(fd, path);
    if (opened.ok()) {
      dir->unread = true;
      return dir_fds_.Put(&dir->slot, *std::move(opened));
    }
  }
  // One name at a time, so that no depth is too deep, and those that may not be read are gone through.
  for (; !path.empty(); path.pop_back()) {
    LayerDir* next = path.back();
    const auto open = [&](int flags) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
      return WithSpareFds([&] {
        if (next->parent == nullptr) return next->branch->Open(next->branch->root_fd(), ".", flags | O_DIRECTORY, 0);
        return next->branch->Open(fd->get(), next->name.c_str(), flags | O_DIRECTORY, 0);
      });
    };
    // For all that comes: its marks, its listing, and the way to what is in it. What may not be read may still be gone
    // through.
    ErrnoOr<UniqueFd> opened = open(O_RDONLY);
    next->unread = opened.ok();
    if (opened.error() == EACCES || opened.error() == EPERM) opened = open(O_PATH);
    if (!opened.ok()) return opened.error();
    fd = dir_fds_.Put(&next->slot, *std::move(opened));
  }
  return fd;
}

ErrnoOr<UnionFs::Location> UnionFs::Locate(const Dentry& dentry) {
  const LayerDirRef layer = dentry.parent->dir->In(dentry.home());
  if (layer == nullptr) return Errno(ESTALE);  // its branch went, and the listing could not be read anew
  if (dentry.type == DT_DIR && IsOwnMountpoint(*layer, dentry.name))
    return Location{layer->branch, own_mountpoint_, ""};
  ACETATE_ASSIGN_OR_RETURN(FdRef fd, DirFd(layer.get()));
  std::string name = dentry.name;
  if (dentry.whiteout && !layer->branch->Stat(fd->get(), name.c_str()).ok()) name = DotWhName(name);
  return Location{layer->branch, std::move(fd), std::move(name)};
}

ErrnoOr<UnionFs::Location> UnionFs::Locate(const Inode* inode) {
  if (inode->is_dir()) {
    LayerDir* top = inode->dir->top();
    ACETATE_ASSIGN_OR_RETURN(FdRef fd, DirFd(top));
    return Location{top->branch, std::move(fd), ""};
  }
  if (const Dentry* dentry = NameIn(inode)) return Locate(*dentry);
  if (inode->links != nullptr && inode->links->indexed) {
    const WritableBranch& home = *HomeOf(inode);
    return Location{home.branch, home.index->fd(), LinkIndex::NameOf(inode->links->origin)};
  }
  if (inode->orphan_fd != nullptr) return Location{&branches_.branch(inode->home), inode->orphan_fd, ""};
  if (inode->orphan_dir == nullptr) return Errno(ESTALE);
  ACETATE_ASSIGN_OR_RETURN(FdRef fd, DirFd(inode->orphan_dir.get()));
  return Location{inode->orphan_dir->branch, std::move(fd), inode->orphan_name};
}

}  // namespace acetate::fusefs
