#include "fusefs/union_fs.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <climits>

#include "fusefs/with_spare_fds.h"

namespace acetate::fusefs {
namespace {

// What the threads that read requests keep open, and the like, which comes later.
constexpr size_t kOwnLater = 12;

// A quarter of the fds that are to be had besides what is open: for directories, for file contents, and for objects
// that lost their names. The last quarter is for what is open for a moment.
size_t FdShare() {
  struct rlimit limit = {};
  getrlimit(RLIMIT_NOFILE, &limit);
  // The lowest free number: as many are open, at the least.
  const UniqueFd next(dup(STDIN_FILENO));
  const size_t own = kOwnLater + static_cast<size_t>(std::max(next.get(), 0));
  const size_t most = std::min<size_t>(limit.rlim_cur, 65536);
  return std::max<size_t>((most - std::min(most, own)) / 4, 8);
}

// Files that are copied in the background, at once. Each keeps two fds open: of those for contents, half at the most.
constexpr size_t kMostLazy = 16;

bool UseTrustedXattrs(XattrNamespace wanted) {
  if (wanted == XattrNamespace::kAuto) return OverlayXattr::MayUseTrusted();
  return wanted == XattrNamespace::kTrusted;
}

}  // namespace

UnionFs::UnionFs(const Options& options, const Identity& identity, Stats* stats)
    : options_(options),
      identity_(identity),
      xattrs_(UseTrustedXattrs(options.xattr_namespace)),
      stats_(stats),
      fd_share_(FdShare()),
      max_lazy_(std::min(kMostLazy, fd_share_ / 4)),
      dir_fds_(fd_share_),
      data_fds_(fd_share_),
      root_(std::make_unique<Inode>()) {}

UnionFs::~UnionFs() {
  EndWatching();
  EndBackground();
  // What the kernel never forgot hangs below the root, or is an orphan.
  MutexLock lock(&mu_);
  std::vector<Inode*> known(orphans_.begin(), orphans_.end());
  known.push_back(root_.get());
  absl::flat_hash_set<Inode*> seen = orphans_;
  for (size_t i = 0; i < known.size(); ++i) {
    if (!known[i]->is_dir()) continue;
    for (auto& [name, dentry] : known[i]->dir->entries) {
      if (dentry->inode != nullptr && seen.insert(dentry->inode).second) known.push_back(dentry->inode);
    }
  }
  for (Inode* inode : seen) {
    ReleaseOrphanLocked(inode);
    delete inode;
  }
  for (BranchId id : branches_.writables()) branches_.writable(id)->work->Sweep();
}

ErrnoOr<std::unique_ptr<UnionFs>> UnionFs::Create(const Options& options, std::vector<NewBranch> branches,
                                                  const Identity& identity, Stats* stats) {
  auto fs = std::unique_ptr<UnionFs>(new UnionFs(options, identity, stats));
  MutexLock lock(&fs->mu_);
  ACETATE_RETURN_IF_ERROR(fs->HoldOwnMountpoint());
  fs->root_->type = S_IFDIR;
  fs->root_->dir = std::make_unique<Directory>();
  for (NewBranch& added : branches) {
    ACETATE_ASSIGN_OR_RETURN(BranchSet::Member member, fs->MakeMember(std::move(added)));
    const BranchId id = member.branch->id();
    ACETATE_RETURN_IF_ERROR(fs->branches_.Insert(fs->branches_.order().size(), std::move(member)));
    fs->root_->dir->layers.push_back(fs->RootLayer(id));
  }
  const Branch& top = fs->branches_.branch(fs->branches_.order().front());
  ACETATE_ASSIGN_OR_RETURN(struct stat st, top.Stat(top.root_fd(), ""));
  fs->root_->ino = fs->branches_.UnionIno(top.id(), st.st_ino);
  // Now: one that a request's thread started would have that thread's CPU and priority.
  fs->copier_ = std::thread(&UnionFs::CopyInBackground, fs.get());
  return fs;
}

LayerDirRef UnionFs::RootLayer(BranchId branch) const {
  auto layer = std::make_shared<LayerDir>();
  layer->branch = &branches_.branch(branch);
  return layer;
}

ErrnoOr<Inode*> UnionFs::ListedDirLocked(NodeId node) {
  Inode* dir = Get(node);
  if (!dir->is_dir()) return Errno(ENOTDIR);
  if (dir->dir->removed) return Errno(ENOENT);
  ACETATE_RETURN_IF_ERROR(ListLocked(dir));
  return dir;
}

ErrnoOr<std::vector<MergedEntry>> UnionFs::ReadListingLocked(const Directory& dir) {
  std::vector<LayerListing> listings;
  listings.reserve(dir.layers.size());
  for (const LayerDirRef& layer : dir.layers) {
    ACETATE_ASSIGN_OR_RETURN(FdRef fd, DirFd(layer.get()));
    // Once: a listing that is read anew is read because something may have changed.
    std::optional<DirMarks> marks = std::exchange(layer->marks, std::nullopt);
    if (options_.udba != Udba::kNone) marks.reset();
    if (branches_.writable(layer->branch->id()) != nullptr) {
      if (!marks.has_value()) marks = ListMarks(*layer->branch, xattrs_, fd->get());
      layer->impure = marks->impure && OverlayXattr::Get(*layer->branch, fd->get(), "", xattrs_.impure()).ok();
    }
    ErrnoOr<LayerListing> listing = WithSpareFds([&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
      const bool unread = std::exchange(layer->unread, false) && fd == layer->slot.fd();
      return ReadLayer(*layer->branch, xattrs_, fd->get(), marks.value_or(DirMarks{}), unread);
    });
    if (!listing.ok()) return listing.error();
    listings.push_back(*std::move(listing));
  }
  return MergeDir(listings);
}

Errno UnionFs::ListLocked(Inode* inode) {
  Directory& dir = *inode->dir;
  if (dir.listed) return kOk;
  WatchLocked(inode);
  ACETATE_ASSIGN_OR_RETURN(std::vector<MergedEntry> merged, ReadListingLocked(dir));
  dir.entries.reserve(merged.size());
  dir.order.reserve(merged.size());
  for (MergedEntry& entry : merged) {
    if (entry.whiteout() && !options_.show_whiteouts && !MattersLocked(*dir.layers[entry.end]->branch)) continue;
    Dentry* dentry = AddDentry(inode, std::move(entry.name));
    ApplyLocked(dir, entry, dentry);
    if (!dentry->hidden()) ShowDentry(dentry);
  }
  dir.listed = true;
  return kOk;
}

bool UnionFs::MattersLocked(const Branch& hider) const {
  return !branches_.writables().empty() && !branches_.Above(branches_.writables().back(), hider.id());
}

Dentry* UnionFs::Find(const Inode* dir, absl::string_view name) const {
  auto it = dir->dir->entries.find(name);
  return it == dir->dir->entries.end() ? nullptr : it->second.get();
}

ErrnoOr<Dentry*> UnionFs::FindShown(const Inode* dir, const std::string& name) const {
  if (name.size() > NAME_MAX) return Errno(ENAMETOOLONG);
  Dentry* dentry = Find(dir, name);
  if (dentry == nullptr || dentry->hidden()) return Errno(ENOENT);
  return dentry;
}

Dentry* UnionFs::AddDentry(Inode* dir, std::string name) {
  auto dentry = std::make_unique<Dentry>();
  dentry->parent = dir;
  dentry->name = std::move(name);
  absl::string_view key = dentry->name;
  return dir->dir->entries.emplace(key, std::move(dentry)).first->second.get();
}

void UnionFs::ShowDentry(Dentry* dentry) {
  Directory& dir = *dentry->parent->dir;
  dentry->cookie = dir.next_cookie++;
  dir.order.emplace_back(dentry->cookie, dentry);
  ++dir.shown;
}

void UnionFs::HideDentry(Dentry* dentry) {
  if (dentry->cookie == 0) return;
  Directory& dir = *dentry->parent->dir;
  auto position = std::lower_bound(dir.order.begin(), dir.order.end(), dentry->cookie,
                                   [](const auto& slot, uint64_t cookie) { return slot.first < cookie; });
  position->second = nullptr;
  dentry->cookie = 0;
  --dir.shown;
  if (++dir.gone > 32 && dir.gone > dir.order.size() / 2) {
    auto is_gone = [](const auto& slot) { return slot.second == nullptr; };
    dir.order.erase(std::remove_if(dir.order.begin(), dir.order.end(), is_gone), dir.order.end());
    dir.gone = 0;
  }
}

void UnionFs::DropDentry(Dentry* dentry, BranchId hider) {
  HideDentry(dentry);
  dentry->layers.clear();
  if (hider != kNoBranch) {
    dentry->end = hider;
    dentry->below = true;
  } else if (dentry->end == kNoBranch || !MattersLocked(branches_.branch(dentry->end))) {
    dentry->parent->dir->entries.erase(dentry->name);
  } else {
    // A whiteout that was further down, or beside the object, hides the name now.
    RefreshLocked(dentry);
  }
}

void UnionFs::BindTo(Dentry* dentry, Inode* inode) {
  dentry->inode = inode;
  inode->names.push_back(dentry);
  orphans_.erase(inode);
  ++dentry->parent->children;
}

void UnionFs::Unbind(Dentry* dentry) {
  Inode* inode = dentry->inode;
  if (inode == nullptr) return;
  inode->names.erase(std::find(inode->names.begin(), inode->names.end(), dentry));
  dentry->inode = nullptr;
  --dentry->parent->children;
}

ErrnoOr<Inode*> UnionFs::Bind(Dentry* dentry, struct stat* st) {
  if (dentry->inode != nullptr) {
    ACETATE_ASSIGN_OR_RETURN(*st, AttrLocked(dentry->inode));
    return dentry->inode;
  }
  ACETATE_ASSIGN_OR_RETURN(Location where, Locate(*dentry));
  ACETATE_ASSIGN_OR_RETURN(*st, where.branch->Stat(where.dirfd(), where.c_name()));
  return BindFoundLocked(dentry, where, /*made=*/false, st);
}

ErrnoOr<Inode*> UnionFs::Bind(Dentry* dentry) {
  if (dentry->inode != nullptr) return dentry->inode;
  struct stat st;
  return Bind(dentry, &st);
}

ErrnoOr<Inode*> UnionFs::BindFoundLocked(Dentry* dentry, const Location& where, bool made, struct stat* st) {
  if (dentry->whiteout) st->st_mode = (st->st_mode & 07777) | S_IFCHR;
  LayerStack stack;
  if (made && S_ISDIR(st->st_mode) && !dentry->below) {
    // There is nothing that it could hide, so it carries no marks.
    stack.layers.push_back(ChildLayer(dentry->parent->dir->In(dentry->home()), dentry->name));
    stack.floor = dentry->end;
  } else if (S_ISDIR(st->st_mode)) {
    ACETATE_ASSIGN_OR_RETURN(stack, StackOf(*dentry));
    ACETATE_RETURN_IF_ERROR(TakeInoLocked(stack, dentry));
  } else {
    ACETATE_RETURN_IF_ERROR(SettleInoLocked(dentry));
  }
  std::unique_ptr<LowerLinks> links;
  BranchId home = dentry->home();
  if (!S_ISDIR(st->st_mode)) {
    ACETATE_ASSIGN_OR_RETURN(Inode * known, FindLinkedLocked(*dentry, where, *st, &links, &home));
    if (known != nullptr) {
      ACETATE_ASSIGN_OR_RETURN(*st, AttrLocked(known));
      BindTo(dentry, known);
      return known;
    }
  }
  auto inode = std::make_unique<Inode>();
  inode->type = st->st_mode & S_IFMT;
  inode->ino = dentry->ino;
  inode->home = home;
  if (options_.udba != Udba::kNone) inode->object_ino = st->st_ino;
  const bool indexed = links != nullptr && links->indexed;
  EnterLinksLocked(inode.get(), std::move(links));
  WritableBranch* writable = HomeOf(inode.get());
  if (home != dentry->home()) {
    // The object is the copy in the index.
    ACETATE_ASSIGN_OR_RETURN(
        *st, writable->branch->Stat(writable->index->fd()->get(), LinkIndex::NameOf(inode->links->origin).c_str()));
  }
  inode->own_ino = writable == nullptr || dentry->ino == branches_.UnionIno(home, st->st_ino);
  if (S_ISDIR(st->st_mode)) {
    inode->dir = std::make_unique<Directory>();
    inode->home = kNoBranch;
    inode->dir->layers = std::move(stack.layers);
    inode->dir->floor = stack.floor;
  } else if (writable != nullptr && (st->st_nlink > 1 || indexed)) {
    inode->linked_ino = st->st_ino;
    writable->linked[st->st_ino] = inode.get();
  }
  BindTo(dentry, inode.get());
  CountKnown(1);
  Inode* bound = inode.release();
  if (Errno error = PresentLocked(bound, st); !error.ok()) {
    FreeIfUnused(bound);
    return error;
  }
  return bound;
}

void UnionFs::CountKnown(int64_t change) {
  known_ += change;
  most_known_ = std::max(most_known_, known_);
  stats_->Set(Gauge::kKnownInodes, known_);
}

void UnionFs::FreeIfUnused(Inode* inode) {
  while (inode != root_.get() && inode->lookups == 0 && inode->children == 0 && !inode->copying && !inode->queued) {
    LeaveLinksLocked(inode);
    if (inode->is_dir()) UnwatchLocked(inode);
    orphans_.erase(inode);
    ReleaseOrphanLocked(inode);
    // Its directories may go with it. Each is held as long as it is in the list: freeing one may reach another.
    absl::InlinedVector<Inode*, 1> holders;
    while (!inode->names.empty()) {
      holders.push_back(inode->names.back()->parent);
      ++holders.back()->children;
      Unbind(inode->names.back());
    }
    delete inode;
    CountKnown(-1);
    if (holders.empty()) return;
    for (; holders.size() > 1; holders.pop_back()) {
      --holders.back()->children;
      FreeIfUnused(holders.back());
    }
    inode = holders.front();
    --inode->children;
  }
}

ErrnoOr<struct stat> UnionFs::AttrLocked(Inode* inode) {
  ACETATE_ASSIGN_OR_RETURN(Location where, Locate(inode));
  ACETATE_ASSIGN_OR_RETURN(struct stat st, where.branch->Stat(where.dirfd(), where.c_name()));
  ACETATE_RETURN_IF_ERROR(PresentLocked(inode, &st));
  return st;
}

Errno UnionFs::PresentLocked(Inode* inode, struct stat* st) {
  if (options_.show_whiteouts && S_ISCHR(inode->type)) {
    // As overlayfs's layers have it, whatever encoding this one has.
    st->st_mode = (st->st_mode & 07777) | S_IFCHR;
    st->st_size = st->st_blocks = 0;
  }
  if (S_ISREG(st->st_mode) && st->st_blocks * 512 < st->st_size) {
    // A file with holes: or one whose contents are in a lower layer, whose space is shown.
    ACETATE_RETURN_IF_ERROR(FindContentsLocked(inode));
    if (LowerData* data = inode->lower_data.get(); data != nullptr && data->blocks.has_value()) {
      st->st_blocks = *data->blocks;
    } else if (data != nullptr) {
      ACETATE_ASSIGN_OR_RETURN(FdRef fd, DirFd(data->dir.get()));
      ACETATE_ASSIGN_OR_RETURN(struct stat lower, data->dir->branch->Stat(fd->get(), data->name.c_str()));
      st->st_blocks = lower.st_blocks;
      if (StaysAsItIs(*data->dir->branch)) data->blocks = lower.st_blocks;
    }
  }
  st->st_ino = inode->ino;
  st->st_uid = identity_.ShownUid(st->st_uid);
  st->st_gid = identity_.ShownGid(st->st_gid);
  if (inode->is_dir()) {
    // As the kernel's ovl_getattr(): counting a merged directory's children would mean reading them all; 1 tells find
    // and its like not to rely on the count.
    if (inode->dir->merged()) st->st_nlink = 1;
    if (inode->dir->removed) st->st_nlink = 0;
    return kOk;
  }
  const bool indexed = inode->links != nullptr && inode->links->indexed;
  if (indexed) st->st_nlink = static_cast<nlink_t>(static_cast<int64_t>(st->st_nlink) + inode->links->excess);
  if (inode->parked) {
    --st->st_nlink;  // the link in the work directory
  } else if (!indexed && inode->names.empty() && inode->orphan_dir != nullptr) {
    st->st_nlink = 0;
  }
  return kOk;
}

ErrnoOr<Entry> UnionFs::EntryLocked(Dentry* dentry) {
  Entry entry;
  ACETATE_ASSIGN_OR_RETURN(Inode * inode, Bind(dentry, &entry.attr));
  ++inode->lookups;
  entry.node = IdOf(inode);
  return entry;
}

}  // namespace acetate::fusefs
