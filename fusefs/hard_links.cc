// Files that have several names in a lower layer: one object under all of them, before and after it is copied up, and
// over remounts.
//
// As the kernel's overlayfs with index=on. A copy of such a file goes to the index (link_index.h) and from there, as a
// link, to the names that are in use; a name that only a lower layer holds leads to the copy by way of the index.
#include <dirent.h>

#include "fusefs/keeping_times.h"
#include "fusefs/union_fs.h"

namespace acetate::fusefs {

ErrnoOr<Inode*> UnionFs::FindLinkedLocked(const Dentry& dentry, const Location& where, const struct stat& st,
                                          std::unique_ptr<LowerLinks>* links, BranchId* home) {
  if (WritableBranch* writable = branches_.writable(dentry.home())) {
    // Whatever the link count is by now: the object may be known by a name that is gone.
    auto known = writable->linked.find(st.st_ino);
    if (known != writable->linked.end()) return known->second;
    LinkIndex* index = writable->index.get();
    if (st.st_nlink == 1 || index == nullptr || index->empty()) return nullptr;
    ErrnoOr<std::string> origin = OverlayXattr::Get(*where.branch, where.dirfd(), where.c_name(), xattrs_.origin());
    if (!origin.ok()) return nullptr;
    ErrnoOr<struct stat> indexed = where.branch->Stat(index->fd()->get(), LinkIndex::NameOf(*origin).c_str());
    if (!indexed.ok() || indexed->st_ino != st.st_ino) return nullptr;
    *links = std::make_unique<LowerLinks>();
    (*links)->origin = *std::move(origin);
    (*links)->indexed = true;
    (*links)->excess = index->ReadExcess(where.dirfd(), where.c_name());
    return nullptr;
  }
  if (st.st_nlink == 1 || branches_.writables().empty() || !options_.index) return nullptr;
  const LowerKey key = {branches_.member(dentry.home()).device, st.st_ino};
  auto known = lower_linked_.find(key);
  if (known != lower_linked_.end()) return known->second;
  LinkIndex* any = branches_.writable(branches_.writables().front())->index.get();
  ErrnoOr<std::string> origin = any->OriginOf(*where.branch, where.dirfd(), where.c_name());
  if (!origin.ok()) return nullptr;  // without handles each name is a file of its own
  *links = std::make_unique<LowerLinks>();
  (*links)->lower = key;
  (*links)->origin = *std::move(origin);
  const std::string name = LinkIndex::NameOf((*links)->origin);
  for (BranchId id : branches_.writables()) {
    const WritableBranch& writable = *branches_.writable(id);
    if (!branches_.Above(id, dentry.home()) || writable.index->empty()) continue;
    ErrnoOr<struct stat> indexed = writable->Stat(writable.index->fd()->get(), name.c_str());
    if (!indexed.ok()) continue;
    (*links)->indexed = true;
    (*links)->excess = writable.index->ReadExcess(writable.index->fd()->get(), name.c_str());
    *home = id;
    auto copy = writable.linked.find(indexed->st_ino);
    return copy == writable.linked.end() ? nullptr : copy->second;
  }
  return nullptr;
}

void UnionFs::EnterLinksLocked(Inode* inode, std::unique_ptr<LowerLinks> links) {
  if (links == nullptr) return;
  inode->links = std::move(links);
  if (inode->links->lower.second != 0) lower_linked_[inode->links->lower] = inode;
}

void UnionFs::LeaveLinksLocked(Inode* inode) {
  if (inode->linked_ino != 0) HomeOf(inode)->linked.erase(inode->linked_ino);
  inode->linked_ino = 0;
  if (inode->links != nullptr) lower_linked_.erase(inode->links->lower);
  inode->links.reset();
}

Errno UnionFs::MarkForIndexLocked(const WritableBranch& to, Inode* inode, const struct stat& st, const char* temp,
                                  bool contents) {
  const std::string& origin = inode->links->origin;
  ACETATE_RETURN_IF_ERROR(to->SetXattr(to.work_fd(), temp, xattrs_.origin().c_str(), origin.data(), origin.size(), 0));
  // In the index it has one link, where the union shows all names of the lower file.
  inode->links->excess = static_cast<int64_t>(st.st_nlink) - 1;
  ACETATE_RETURN_IF_ERROR(to.index->WriteExcess(to.work_fd(), temp, inode->links->excess));
  if (contents) return kOk;
  // Found by way of the index it has no name by which its contents could be looked for.
  const Dentry* dentry = inode->names.front();
  std::vector<std::string> names = NamesBelow(dentry->parent, to.id());
  names.push_back(dentry->name);
  return WriteRedirectLocked(names, Location{to.branch, to.work_layer->pinned, temp});
}

Errno UnionFs::PublishInIndexLocked(WritableBranch& to, Inode* inode, const std::string& temp) {
  const std::string name = LinkIndex::NameOf(inode->links->origin);
  ACETATE_RETURN_IF_ERROR(to.index->Add(to.work_fd(), temp, name));
  inode->links->indexed = true;
  inode->home = to.id();
  ACETATE_ASSIGN_OR_RETURN(struct stat st, to->Stat(to.index->fd()->get(), name.c_str()));
  inode->linked_ino = st.st_ino;
  to.linked[st.st_ino] = inode;
  return kOk;
}

Errno UnionFs::LinkUpLocked(Dentry* dentry) {
  Inode* dir = dentry->parent;
  WritableBranch& home = *HomeOf(dentry->inode);
  // Where the name would not be seen in that branch it goes on to lead to the object by way of the index.
  if (dentry->home() == home.id() || !Takes(dir, home.id()) || !WouldShow(dentry, home.id()) ||
      !MayHold(home.id(), dentry->name)) {
    return kOk;
  }
  ACETATE_RETURN_IF_ERROR(MakeDirInLocked(home, dir));
  ACETATE_RETURN_IF_ERROR(MarkImpureLocked(home, dir));
  LowerLinks& links = *dentry->inode->links;
  const std::string name = LinkIndex::NameOf(links.origin);
  ACETATE_RETURN_IF_ERROR(KeepingTimesLocked(dir->dir->In(home.id()).get(), [&](int fd) {
    return home->Link(home.index->fd()->get(), name.c_str(), fd, dentry->name.c_str());
  }));
  dentry->layers = {home.id()};
  dentry->below = true;
  // One link more, and no name more. Killed before this, the union shows a name too many in st_nlink.
  return home.index->WriteExcess(home.index->fd()->get(), name.c_str(), --links.excess);
}

ErrnoOr<bool> UnionFs::IsLastNameLocked(Inode* inode) {
  if (inode == nullptr) return false;  // not in use: nobody will miss it
  if (inode->links == nullptr || !inode->links->indexed) return inode->names.size() == 1;
  ACETATE_ASSIGN_OR_RETURN(struct stat st, AttrLocked(inode));
  return st.st_nlink <= 1;
}

Errno UnionFs::DropLinkLocked(Inode* inode, bool at_home, bool last) {
  if (inode == nullptr || inode->links == nullptr || !inode->links->indexed) return kOk;
  LowerLinks& links = *inode->links;
  const std::string name = LinkIndex::NameOf(links.origin);
  LinkIndex* index = HomeOf(inode)->index.get();
  if (last) {
    LeaveLinksLocked(inode);
    return index->Remove(name);
  }
  if (at_home) return kOk;  // a link went with the name
  // Killed before this, the union shows a name too many in st_nlink.
  return index->WriteExcess(index->fd()->get(), name.c_str(), --links.excess);
}

}  // namespace acetate::fusefs
