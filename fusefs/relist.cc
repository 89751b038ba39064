// What the layers of a listed directory hold under its names, read anew where it may have changed.
//
// The kernel's overlayfs has none of this: there, layers change by the overlay alone, and do not come and go.
#include <dirent.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "fusefs/complain.h"
#include "fusefs/union_fs.h"

namespace acetate::fusefs {

ErrnoOr<MergedEntry> UnionFs::ReadNameLocked(const Directory& dir, const std::string& name) {
  std::vector<LayerListing> listings;
  listings.reserve(dir.layers.size());
  for (const LayerDirRef& layer : dir.layers) {
    ACETATE_ASSIGN_OR_RETURN(FdRef fd, DirFd(layer.get()));
    ACETATE_ASSIGN_OR_RETURN(LayerListing listing, ReadLayerName(*layer->branch, xattrs_, fd->get(), name));
    listings.push_back(std::move(listing));
  }
  std::vector<MergedEntry> merged = MergeDir(listings);
  if (merged.empty()) return MergedEntry{name};
  return std::move(merged.front());
}

void UnionFs::ApplyLocked(const Directory& dir, const MergedEntry& entry, Dentry* dentry) {
  auto id_of = [&](uint16_t layer) { return dir.layers[layer]->branch->id(); };
  dentry->below = entry.below;
  dentry->end = entry.end == MergedEntry::kNone ? kNoBranch : id_of(entry.end);
  dentry->type = entry.type;
  dentry->layers.clear();
  for (uint16_t layer : entry.layers) dentry->layers.push_back(id_of(layer));
  dentry->whiteout = options_.show_whiteouts && dentry->hidden() && dentry->end != kNoBranch;
  if (dentry->whiteout) {
    dentry->type = DT_CHR;
    dentry->layers = {dentry->end};
  }
  if (dentry->hidden()) return;
  dentry->ino = branches_.UnionIno(dentry->home(), entry.ino);
  dentry->ino_settled = branches_.writable(dentry->home()) == nullptr;
}

void UnionFs::RefreshLocked(Dentry* dentry) {
  const Directory& dir = *dentry->parent->dir;
  ErrnoOr<MergedEntry> entry = ReadNameLocked(dir, dentry->name);
  if (!entry.ok()) {
    dentry->below = true;  // a whiteout too many is better than one too few
    return;
  }
  dentry->below = entry->below;
  dentry->end = entry->end == MergedEntry::kNone ? kNoBranch : dir.layers[entry->end]->branch->id();
  if (dentry->inode == nullptr || !dentry->inode->is_dir()) return;
  Directory& own = *dentry->inode->dir;
  // Unless the directory itself says that nothing below counts, that is said by what its name meets there.
  if (own.floor == kNoBranch || own.In(own.floor) == nullptr) own.floor = dentry->end;
}

bool UnionFs::IsSameLocked(const Directory& dir, const MergedEntry& entry, const Dentry& dentry) const {
  if (entry.type != dentry.type) return false;
  const bool same_home = dir.layers[entry.layers.front()]->branch->id() == dentry.home();
  // A directory that more or fewer layers make up is the same.
  if (!same_home) return entry.type == DT_DIR;
  const Inode* inode = dentry.inode;
  return inode == nullptr || inode->object_ino == 0 || inode->object_ino == entry.ino;
}

void UnionFs::LoseNameLocked(Dentry* dentry) {
  Inode* inode = dentry->inode;
  if (inode != nullptr) {
    if (inode->is_dir()) {
      // Whoever stands in it keeps it.
      ErrnoOr<FdRef> held = DirFd(inode->dir->top());
      if (held.ok()) inode->dir->top()->pinned = *std::move(held);
      inode->dir->removed = true;
    } else if (inode->names.size() == 1) {
      KeepOrphanLocked(dentry).IgnoreError();  // it may be gone from its branch, too
    }
    Unbind(dentry);
    if (inode->names.empty()) orphans_.insert(inode);
  }
  HideDentry(dentry);
  dentry->layers.clear();
  if (inode != nullptr) FreeIfUnused(inode);
}

bool UnionFs::ReconcileLocked(Inode* dir, MergedEntry entry) {
  Dentry* dentry = Find(dir, entry.name);
  const bool was_shown = dentry != nullptr && !dentry->hidden();
  if (entry.whiteout()) {
    if (was_shown) LoseNameLocked(dentry);
    if (entry.end == MergedEntry::kNone || !MattersLocked(*dir->dir->layers[entry.end]->branch)) {
      if (dentry != nullptr) dir->dir->entries.erase(entry.name);
      return was_shown;
    }
    if (dentry == nullptr) dentry = AddDentry(dir, entry.name);
    ApplyLocked(*dir->dir, entry, dentry);
    return was_shown;
  }
  if (was_shown && IsSameLocked(*dir->dir, entry, *dentry)) {
    const uint64_t ino = dentry->ino;
    const bool settled = dentry->ino_settled;
    ApplyLocked(*dir->dir, entry, dentry);
    if (dentry->inode != nullptr) {
      dentry->ino = ino;
      dentry->ino_settled = settled;
    }
    return false;
  }
  if (was_shown) LoseNameLocked(dentry);
  if (dentry == nullptr) dentry = AddDentry(dir, entry.name);
  ApplyLocked(*dir->dir, entry, dentry);
  ShowDentry(dentry);
  return true;
}

Errno UnionFs::RelistLocked(Inode* dir, std::vector<KernelNote>* notes) {
  WatchLocked(dir);
  ACETATE_ASSIGN_OR_RETURN(std::vector<MergedEntry> merged, ReadListingLocked(*dir->dir));
  // Names that no layer has any more, too.
  absl::flat_hash_set<std::string> found;
  for (const MergedEntry& entry : merged) found.insert(entry.name);
  for (const auto& [name, dentry] : dir->dir->entries) {
    if (!found.contains(name)) merged.push_back({std::string(name)});
  }
  bool changed = false;
  for (MergedEntry& entry : merged) {
    std::string name = entry.name;
    if (!ReconcileLocked(dir, std::move(entry))) continue;
    changed = true;
    if (notes != nullptr) notes->push_back({IdOf(dir), std::move(name), 0, false});
  }
  if (changed && notes != nullptr) notes->push_back({0, "", IdOf(dir), true});
  return kOk;
}

bool UnionFs::RestackDirLocked(Dentry* dentry) {
  Directory& dir = *dentry->inode->dir;
  ErrnoOr<LayerStack> stack = StackOf(*dentry);
  if (!stack.ok() || stack->layers.empty()) {
    Complain(absl::StrCat("directory ", dentry->name, " cannot be put together anew; it stays as it was"));
    return false;
  }
  const auto same_branch = [](const LayerDirRef& a, const LayerDirRef& b) { return a->branch == b->branch; };
  const bool same =
      std::equal(dir.layers.begin(), dir.layers.end(), stack->layers.begin(), stack->layers.end(), same_branch);
  dir.layers = std::move(stack->layers);
  dir.floor = stack->floor;
  return !same;
}

void UnionFs::RestackBelowLocked(Inode* top, std::vector<KernelNote>* notes) {
  // Each is held as long as it is in the list.
  std::vector<Inode*> dirs = {top};
  ++top->children;
  for (size_t i = 0; i < dirs.size(); ++i) {
    Inode* dir = dirs[i];
    if (!dir->dir->listed) continue;
    if (!RelistLocked(dir, notes).ok()) Complain("a directory could not be read anew; it is shown as it was");
    for (const auto& [name, dentry] : dir->dir->entries) {
      Inode* inode = dentry->inode;
      if (inode == nullptr) continue;
      if (inode->is_dir()) {
        // Its attributes may be those of another layer.
        if (RestackDirLocked(dentry.get()) && notes != nullptr) notes->push_back({0, "", IdOf(inode), true});
        ++inode->children;
        dirs.push_back(inode);
      } else if (inode->lower_data == nullptr || !inode->lower_data->partial) {
        // Where its contents are may have changed with the layers.
        inode->lower_data = nullptr;
        inode->contents_known = false;
        data_fds_.Drop(&inode->data);
      }
    }
  }
  for (Inode* dir : dirs) {
    --dir->children;
    FreeIfUnused(dir);
  }
}

Errno UnionFs::ReexamineLocked(Inode* dir, const std::string& name, std::vector<KernelNote>* notes) {
  ACETATE_ASSIGN_OR_RETURN(MergedEntry entry, ReadNameLocked(*dir->dir, name));
  ++dir->children;  // held: what it loses may be all that it is known for
  bool changed = ReconcileLocked(dir, std::move(entry));
  Dentry* dentry = Find(dir, name);
  if (dentry != nullptr && dentry->inode != nullptr && dentry->inode->is_dir() && RestackDirLocked(dentry)) {
    changed = true;
    // With reval, what is in it is looked at when it is looked up.
    if (options_.udba == Udba::kNotify) RestackBelowLocked(dentry->inode, notes);
  }
  --dir->children;
  if (changed && notes != nullptr) {
    notes->push_back({IdOf(dir), name, 0, false});
    notes->push_back({0, "", IdOf(dir), true});
  }
  return kOk;
}

void UnionFs::RestackLocked(std::vector<KernelNote>* notes) {
  Directory& root = *root_->dir;
  root.layers.clear();
  for (BranchId id : branches_.order()) root.layers.push_back(RootLayer(id));
  RestackBelowLocked(root_.get(), notes);
}

}  // namespace acetate::fusefs
