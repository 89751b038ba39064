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
                                          std::unique_ptr<LowerLinks>* links) {
  if (dentry.in_upper) {
    // Whatever the link count is by now: the object may be known by a name that is gone.
    auto known = linked_.find(st.st_ino);
    if (known != linked_.end()) return known->second;
    if (st.st_nlink == 1 || index_ == nullptr || index_->empty()) return nullptr;
    ErrnoOr<std::string> origin = OverlayXattr::Get(*upper_, where.dirfd(), where.c_name(), xattrs_.origin());
    if (!origin.ok()) return nullptr;
    ErrnoOr<struct stat> indexed = upper_->Stat(index_->fd()->get(), LinkIndex::NameOf(*origin).c_str());
    if (!indexed.ok() || indexed->st_ino != st.st_ino) return nullptr;
    *links = std::make_unique<LowerLinks>();
    (*links)->origin = *std::move(origin);
    (*links)->indexed = true;
    (*links)->excess = index_->ReadExcess(where.dirfd(), where.c_name());
    return nullptr;
  }
  if (st.st_nlink == 1 || index_ == nullptr) return nullptr;
  const LowerKey key = {device_of_[static_cast<size_t>(where.branch->index())], st.st_ino};
  auto known = lower_linked_.find(key);
  if (known != lower_linked_.end()) return known->second;
  ErrnoOr<std::string> origin = index_->OriginOf(*where.branch, where.dirfd(), where.c_name());
  if (!origin.ok()) return nullptr;  // without handles each name is a file of its own
  *links = std::make_unique<LowerLinks>();
  (*links)->lower = key;
  (*links)->origin = *std::move(origin);
  if (index_->empty()) return nullptr;
  const std::string name = LinkIndex::NameOf((*links)->origin);
  ErrnoOr<struct stat> indexed = upper_->Stat(index_->fd()->get(), name.c_str());
  if (!indexed.ok()) return nullptr;
  (*links)->indexed = true;
  (*links)->excess = index_->ReadExcess(index_->fd()->get(), name.c_str());
  auto copy = linked_.find(indexed->st_ino);
  return copy == linked_.end() ? nullptr : copy->second;
}

void UnionFs::EnterLinksLocked(Inode* inode, std::unique_ptr<LowerLinks> links) {
  if (links == nullptr) return;
  inode->links = std::move(links);
  if (inode->links->lower.second != 0) lower_linked_[inode->links->lower] = inode;
}

void UnionFs::LeaveLinksLocked(Inode* inode) {
  if (inode->upper_ino != 0) linked_.erase(inode->upper_ino);
  inode->upper_ino = 0;
  if (inode->links != nullptr) lower_linked_.erase(inode->links->lower);
  inode->links.reset();
}

Errno UnionFs::MarkForIndexLocked(Inode* inode, const struct stat& st, const char* temp, bool contents) {
  const std::string& origin = inode->links->origin;
  ACETATE_RETURN_IF_ERROR(
      upper_->SetXattr(work_->fd(), temp, xattrs_.origin().c_str(), origin.data(), origin.size(), 0));
  // In the index it has one link, where the union shows all names of the lower file.
  inode->links->excess = static_cast<int64_t>(st.st_nlink) - 1;
  ACETATE_RETURN_IF_ERROR(index_->WriteExcess(work_->fd(), temp, inode->links->excess));
  if (contents) return kOk;
  // Found by way of the index it has no name by which its contents could be looked for.
  const Dentry* dentry = inode->names.front();
  std::vector<std::string> names = LowerNames(dentry->parent);
  names.push_back(dentry->name);
  return WriteRedirectLocked(names, Location{upper_, work_layer_->pinned, temp});
}

Errno UnionFs::PublishInIndexLocked(Inode* inode, const std::string& temp) {
  const std::string name = LinkIndex::NameOf(inode->links->origin);
  ACETATE_RETURN_IF_ERROR(index_->Add(work_->fd(), temp, name));
  inode->links->indexed = true;
  inode->upper = true;
  ACETATE_ASSIGN_OR_RETURN(struct stat st, upper_->Stat(index_->fd()->get(), name.c_str()));
  inode->upper_ino = st.st_ino;
  linked_[st.st_ino] = inode;
  return kOk;
}

Errno UnionFs::LinkUpLocked(Dentry* dentry) {
  Inode* dir = dentry->parent;
  ACETATE_RETURN_IF_ERROR(CopyUpDirLocked(dir));
  ACETATE_RETURN_IF_ERROR(MarkImpureLocked(dir));
  LowerLinks& links = *dentry->inode->links;
  const std::string name = LinkIndex::NameOf(links.origin);
  ACETATE_RETURN_IF_ERROR(KeepingTimesLocked(dir->dir->upper.get(), [&](int fd) {
    return upper_->Link(index_->fd()->get(), name.c_str(), fd, dentry->name.c_str());
  }));
  dentry->in_upper = true;
  dentry->lowers.clear();
  // One link more, and no name more. Killed before this, the union shows a name too many in st_nlink.
  return index_->WriteExcess(index_->fd()->get(), name.c_str(), --links.excess);
}

ErrnoOr<bool> UnionFs::IsLastNameLocked(Inode* inode) {
  if (inode == nullptr) return false;  // not in use: nobody will miss it
  if (inode->links == nullptr || !inode->links->indexed) return inode->names.size() == 1;
  ACETATE_ASSIGN_OR_RETURN(struct stat st, AttrLocked(inode));
  return st.st_nlink <= 1;
}

Errno UnionFs::DropLinkLocked(Inode* inode, bool in_upper, bool last) {
  if (inode == nullptr || inode->links == nullptr || !inode->links->indexed) return kOk;
  LowerLinks& links = *inode->links;
  const std::string name = LinkIndex::NameOf(links.origin);
  if (last) {
    LeaveLinksLocked(inode);
    return index_->Remove(name);
  }
  if (in_upper) return kOk;  // a link went with the name
  // Killed before this, the union shows a name too many in st_nlink.
  return index_->WriteExcess(index_->fd()->get(), name.c_str(), --links.excess);
}

}  // namespace acetate::fusefs
