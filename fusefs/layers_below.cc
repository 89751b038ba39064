// What continues an object in the layers below it: the other directories that a directory merges, the contents of a
// metadata-only copy; by name, or by the redirect that a rename left.
//
// As the kernel's ovl_lookup() and ovl_lookup_layer(): the layers are gone through from the top; a directory may say of
// all layers below its own that nothing is merged (opaque) or where to look instead (redirect), and so may each
// directory on the way of a redirect.
#include <dirent.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "fusefs/complain.h"
#include "fusefs/origin.h"
#include "fusefs/union_fs.h"

namespace acetate::fusefs {

LayerDirRef UnionFs::ChildLayer(const LayerDirRef& in, const std::string& name) const {
  auto layer = std::make_shared<LayerDir>();
  layer->branch = in->branch;
  layer->parent = in;
  layer->name = name;
  if (IsOwnMountpoint(*in, name)) layer->pinned = own_mountpoint_;
  return layer;
}

LayerDirRef UnionFs::StartBelow(const Trail& trail) const {
  // Redirects by path count from the roots. Only objects without a name have no parent; they are found by path alone.
  const Directory* start = trail.where.absolute ? root_->dir.get() : trail.parent;
  if (start == nullptr) return nullptr;
  for (const LayerDirRef& layer : start->layers) {
    if (branches_.position(layer->branch->id()) > trail.position) return layer;
  }
  return nullptr;
}

Errno UnionFs::ReadMarksLocked(LayerDir* dir, size_t rest, bool more_by_name, Trail* trail) {
  if (IsLast(*dir->branch)) return kOk;
  ACETATE_ASSIGN_OR_RETURN(FdRef fd, DirFd(dir));
  if (!options_.follow_redirects && !more_by_name) return kOk;
  // Most directories have none: one look at the list says so.
  dir->marks = ListMarks(*dir->branch, xattrs_, fd->get());
  ErrnoOr<std::string> value = Errno(ENODATA);
  if (options_.follow_redirects && dir->marks->redirect)
    value = OverlayXattr::Get(*dir->branch, fd->get(), "", xattrs_.redirect());
  if (!value.ok() && !(value.error() == ENODATA)) return value.error();
  if ((value.ok() || more_by_name) && IsOpaque(*dir->branch, xattrs_, fd->get(), *dir->marks)) {
    trail->ended = true;
    return kOk;
  }
  if (!value.ok()) return kOk;
  ErrnoOr<Redirect> redirect = Redirect::Parse(*value);
  if (!redirect.ok()) {
    Complain(absl::StrCat("branch ", dir->branch->spec().path, ": the redirect of directory ", dir->name,
                          " is neither a name nor an absolute path"));
    return redirect.error();
  }
  trail->where = trail->where.Through(trail->where.names.size() - 1 - rest, *redirect);
  trail->redirected = true;
  dir->redirect = std::make_unique<Redirect>(trail->where);
  return kOk;
}

ErrnoOr<UnionFs::Below> UnionFs::NextBelowLocked(Trail* trail) {
  while (!trail->ended) {
    LayerDirRef at = StartBelow(*trail);
    if (at == nullptr) break;
    trail->position = branches_.position(at->branch->id());
    // What a directory on the way says is for the layers below this one.
    const std::vector<std::string> names = trail->where.names;
    for (size_t i = 0;; ++i) {
      ACETATE_ASSIGN_OR_RETURN(FdRef fd, DirFd(at.get()));
      ACETATE_ASSIGN_OR_RETURN(Probe probe, ProbeLayer(*at->branch, xattrs_, fd->get(), names[i]));
      const bool arrived = i + 1 == names.size();
      if (probe.held == Held::kNothing) break;
      const bool blocked = probe.held == Held::kWhiteout || (probe.held == Held::kOther && !arrived);
      if (blocked || probe.ends) trail->ended = true;
      if (blocked) break;
      if (arrived) return Below{at, names[i], probe.held};
      at = ChildLayer(at, names[i]);
      ACETATE_RETURN_IF_ERROR(ReadMarksLocked(at.get(), names.size() - 1 - i, /*more_by_name=*/true, trail));
    }
  }
  return Below{};
}

ErrnoOr<UnionFs::LayerStack> UnionFs::StackOf(const Dentry& dentry) {
  const Directory& parent = *dentry.parent->dir;
  LayerStack stack;
  stack.floor = dentry.end;
  Trail trail;
  trail.parent = &parent;
  trail.where.names = {dentry.name};
  // Above a writable branch, what a layer says of those below matters even if none of them holds anything now.
  const size_t last_writable = branches_.writables().empty() ? 0 : branches_.position(branches_.writables().back());
  // By name: the listing has found them.
  for (size_t i = 0; i < dentry.layers.size() && !trail.ended && !trail.redirected; ++i) {
    stack.layers.push_back(ChildLayer(parent.In(dentry.layers[i]), dentry.name));
    trail.position = branches_.position(dentry.layers[i]);
    const bool more = trail.position < last_writable || i + 1 < dentry.layers.size();
    ACETATE_RETURN_IF_ERROR(ReadMarksLocked(stack.layers.back().get(), 0, more, &trail));
    if (trail.ended || trail.redirected) stack.floor = dentry.layers[i];
  }
  while (trail.redirected && !trail.ended) {
    ACETATE_ASSIGN_OR_RETURN(Below below, NextBelowLocked(&trail));
    if (below.held != Held::kDirectory) break;
    stack.layers.push_back(ChildLayer(below.dir, below.name));
    ACETATE_RETURN_IF_ERROR(ReadMarksLocked(stack.layers.back().get(), 0, /*more_by_name=*/true, &trail));
  }
  return stack;
}

std::vector<std::string> UnionFs::NamesBelow(const Inode* dir, BranchId branch) const {
  std::vector<std::string> names;
  for (; dir != root_.get(); dir = dir->names.front()->parent) {
    const Redirect* redirect = nullptr;
    for (const LayerDirRef& layer : dir->dir->layers) {
      if (branches_.Above(branch, layer->branch->id())) break;
      if (layer->redirect != nullptr) redirect = layer->redirect.get();
    }
    if (redirect == nullptr) {
      names.insert(names.begin(), dir->names.front()->name);
      continue;
    }
    names.insert(names.begin(), redirect->names.begin(), redirect->names.end());
    if (redirect->absolute) break;
  }
  return names;
}

Errno UnionFs::WriteRedirectLocked(const std::vector<std::string>& names, const Location& where) {
  const std::string value = absl::StrCat("/", absl::StrJoin(names, "/"));
  Errno error =
      where.branch->SetXattr(where.dirfd(), where.c_name(), xattrs_.redirect().c_str(), value.data(), value.size(), 0);
  // A path that is too long for the filesystem cannot be moved by redirect; callers like mv copy then.
  if (error == ENOSPC || error == ERANGE || error == E2BIG || error == EOPNOTSUPP) return Errno(EXDEV);
  return error;
}

Errno UnionFs::RedirectDirLocked(Dentry* dentry) {
  Directory& dir = *dentry->inode->dir;
  LayerDir* top = dir.top();
  if (top->redirect != nullptr && top->redirect->absolute) return kOk;
  auto redirect = std::make_unique<Redirect>();
  redirect->absolute = true;
  redirect->names = NamesBelow(dentry->inode, top->branch->id());
  ACETATE_ASSIGN_OR_RETURN(Location where, Locate(dentry->inode));
  ACETATE_RETURN_IF_ERROR(WriteRedirectLocked(redirect->names, where));
  top->redirect = std::move(redirect);
  dir.floor = top->branch->id();
  return kOk;
}

Errno UnionFs::SettleInoLocked(Dentry* dentry) {
  if (dentry->ino_settled) return kOk;
  const LayerDirRef parent = dentry->parent->dir->In(dentry->home());
  if (dentry->type == DT_DIR) {
    // Only a directory that was moved can have a lower part where the listing found none.
    if (dentry->layers.size() > 1 || parent->impure) {
      ACETATE_ASSIGN_OR_RETURN(LayerStack stack, StackOf(*dentry));
      ACETATE_RETURN_IF_ERROR(TakeInoLocked(stack, dentry));
    }
  } else if (parent->impure) {
    ACETATE_ASSIGN_OR_RETURN(FdRef fd, DirFd(parent.get()));
    ErrnoOr<std::string> value = OverlayXattr::Get(*parent->branch, fd->get(), dentry->name.c_str(), xattrs_.ino());
    // A number that makes no sense, or is of layers that are not here, is as good as none.
    ErrnoOr<Origin> origin = value.ok() ? Origin::Parse(*value) : value.error();
    if (origin.ok()) {
      for (BranchId branch : branches_.order()) {
        if (branch == dentry->home() || branches_.member(branch).layer_id != origin->layer) continue;
        dentry->ino = branches_.UnionIno(branch, origin->ino);
        break;
      }
    }
  }
  dentry->ino_settled = true;
  return kOk;
}

Errno UnionFs::TakeInoLocked(const LayerStack& stack, Dentry* dentry) {
  if (dentry->ino_settled || stack.layers.size() < 2) return kOk;
  // A merged directory has the number that it had before there was an upper part: that of its topmost read-only layer,
  // or else of the lowest.
  const LayerDirRef* layer = &stack.layers.back();
  for (const LayerDirRef& candidate : stack.layers) {
    if (branches_.writable(candidate->branch->id()) != nullptr) continue;
    layer = &candidate;
    break;
  }
  ACETATE_ASSIGN_OR_RETURN(FdRef fd, DirFd(layer->get()));
  const Branch& branch = *(*layer)->branch;
  ACETATE_ASSIGN_OR_RETURN(struct stat st, branch.Stat(fd->get(), ""));
  dentry->ino = branches_.UnionIno(branch.id(), st.st_ino);
  dentry->ino_settled = true;
  return kOk;
}

}  // namespace acetate::fusefs
