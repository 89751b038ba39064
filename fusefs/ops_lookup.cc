// Names: lookup, forget, listing, and the filesystem's size.
#include <dirent.h>
#include <malloc.h>

#include <algorithm>
#include <climits>

#include "fusefs/union_fs.h"

namespace acetate::fusefs {
namespace {

// As many are worth giving their memory back: some 10 MiB.
constexpr int64_t kManyInodes = 25000;

}  // namespace

ErrnoOr<Entry> UnionFs::Lookup(NodeId parent, const std::string& name) {
  MutexLock lock(&mu_);
  ACETATE_ASSIGN_OR_RETURN(Inode * dir, ListedDirLocked(parent));
  if (options_.udba == Udba::kReval && name.size() <= NAME_MAX)
    ACETATE_RETURN_IF_ERROR(ReexamineLocked(dir, name, nullptr));
  ACETATE_ASSIGN_OR_RETURN(Dentry * dentry, FindShown(dir, name));
  return EntryLocked(dentry);
}

void UnionFs::Forget(NodeId node, uint64_t lookups) {
  if (node == kRootId) return;
  {
    MutexLock lock(&mu_);
    Inode* inode = Get(node);
    inode->lookups -= std::min(lookups, inode->lookups);
    FreeIfUnused(inode);
    if (most_known_ - known_ < kManyInodes || known_ > most_known_ / 2) return;
    most_known_ = known_;
  }
  // Of itself the C library gives nothing back while something later is in use.
  malloc_trim(0);
}

Errno UnionFs::ReadDir(NodeId node, uint64_t offset, bool plus, DirSink* sink) {
  MutexLock lock(&mu_);
  Inode* inode = Get(node);
  if (!inode->is_dir()) return Errno(ENOTDIR);
  Directory& dir = *inode->dir;
  if (dir.removed) return kOk;
  const bool again = options_.udba == Udba::kReval && offset == 0 && dir.listed;
  ACETATE_RETURN_IF_ERROR(again ? RelistLocked(inode, nullptr) : ListLocked(inode));

  const Inode* parent = inode->names.empty() ? inode : inode->names.front()->parent;
  if (offset < 1) {
    if (!sink->Fits(".")) return kOk;
    sink->Add(".", 1, inode->ino, S_IFDIR, nullptr);
  }
  if (offset < 2) {
    if (!sink->Fits("..")) return kOk;
    sink->Add("..", 2, parent->ino, S_IFDIR, nullptr);
  }
  auto position = std::upper_bound(dir.order.begin(), dir.order.end(), offset,
                                   [](uint64_t cookie, const auto& slot) { return cookie < slot.first; });
  for (; position != dir.order.end(); ++position) {
    Dentry* dentry = position->second;
    if (dentry == nullptr) continue;
    if (!sink->Fits(dentry->name)) return kOk;
    const mode_t type = DTTOIF(dentry->type);
    if (plus) {
      ErrnoOr<Entry> entry = EntryLocked(dentry);
      if (entry.ok()) {
        sink->Add(dentry->name, position->first, entry->attr.st_ino, type, &*entry);
        continue;
      }
    }
    SettleInoLocked(dentry).IgnoreError();  // a number is told in any case
    uint64_t ino = dentry->inode != nullptr ? dentry->inode->ino : dentry->ino;
    sink->Add(dentry->name, position->first, ino, type, nullptr);
  }
  return kOk;
}

ErrnoOr<struct statvfs> UnionFs::StatFs() {
  MutexLock lock(&mu_);
  const BranchId first = branches_.writables().empty() ? branches_.order().front() : branches_.writables().front();
  ACETATE_ASSIGN_OR_RETURN(struct statvfs sum, branches_.branch(first).StatFs(branches_.branch(first).root_fd()));
  sum.f_namemax = NAME_MAX;
  // All that can be written to, each filesystem once.
  absl::InlinedVector<uint64_t, 4> counted = {branches_.member(first).device};
  for (BranchId id : branches_.writables()) {
    const uint64_t device = branches_.member(id).device;
    if (std::find(counted.begin(), counted.end(), device) != counted.end()) continue;
    counted.push_back(device);
    ErrnoOr<struct statvfs> st = branches_.branch(id).StatFs(branches_.branch(id).root_fd());
    if (!st.ok() || sum.f_frsize == 0) continue;
    const auto blocks = [&](fsblkcnt_t count) { return count * st->f_frsize / sum.f_frsize; };
    sum.f_blocks += blocks(st->f_blocks);
    sum.f_bfree += blocks(st->f_bfree);
    sum.f_bavail += blocks(st->f_bavail);
    sum.f_files += st->f_files;
    sum.f_ffree += st->f_ffree;
    sum.f_favail += st->f_favail;
  }
  return sum;
}

}  // namespace acetate::fusefs
