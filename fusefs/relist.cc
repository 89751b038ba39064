// What the layers of a listed directory hold under its names, read anew where it may have changed.
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

}  // namespace acetate::fusefs
