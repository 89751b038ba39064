// New names: mknod, mkdir, symlink, link, tmpfile.
//
// As the kernel's ovl_create_or_link(): where the upper branch holds nothing under the name, the object is made in
// place; over a whiteout it is made in the work directory and put in the whiteout's place by one rename.
#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>

#include <climits>

#include "absl/cleanup/cleanup.h"
#include "fusefs/union_fs.h"
#include "fusefs/with_spare_fds.h"

namespace acetate::fusefs {

namespace {

constexpr char kDefaultAcl[] = "system.posix_acl_default";

// The default ACL of a directory, as stored; "" where there is none or the filesystem has no ACLs.
std::string DefaultAcl(const Branch& branch, int dirfd) {
  ErrnoOr<std::string> acl = OverlayXattr::Get(branch, dirfd, "", kDefaultAcl);
  return acl.ok() ? *std::move(acl) : "";
}

}  // namespace

template <typename Make>
ErrnoOr<Dentry*> UnionFs::CreateLocked(Inode* dir, const std::string& name, bool is_dir, const Caller* heir,
                                       const Make& make) {
  if (name.size() > NAME_MAX) return Errno(ENAMETOOLONG);
  Dentry* dentry = Find(dir, name);
  if (dentry != nullptr && !dentry->whiteout) return Errno(EEXIST);
  ACETATE_RETURN_IF_ERROR(MayAddToLocked(dir));
  ACETATE_RETURN_IF_ERROR(CopyUpDirLocked(dir));
  ACETATE_ASSIGN_OR_RETURN(FdRef fd, DirFd(dir->dir->upper.get()));
  const std::string acl = heir != nullptr ? DefaultAcl(*upper_, fd->get()) : "";
  const mode_t umask = heir != nullptr && acl.empty() ? heir->umask : 0;
  if (dentry == nullptr) {
    ACETATE_RETURN_IF_ERROR(make(fd->get(), name.c_str(), umask));
    return AddDentry(dir, name);
  }

  const std::string temp = work_->TempName();
  if (acl.empty()) {
    ACETATE_RETURN_IF_ERROR(make(work_->fd(), temp.c_str(), umask));
  } else {
    ACETATE_RETURN_IF_ERROR(MakeUnderAclLocked(acl, temp, make));
  }
  auto undo = absl::MakeCleanup([&] { work_->Remove(temp).IgnoreError(); });
  ACETATE_ASSIGN_OR_RETURN(struct stat parent, upper_->Stat(fd->get(), ""));
  if (heir != nullptr && (parent.st_mode & S_ISGID) != 0) {
    // What the directory would have given it, had it been made there.
    ACETATE_ASSIGN_OR_RETURN(struct stat made, upper_->Stat(work_->fd(), temp.c_str()));
    ACETATE_RETURN_IF_ERROR(upper_->Chown(work_->fd(), temp.c_str(), static_cast<uid_t>(-1), parent.st_gid));
    if (!S_ISLNK(made.st_mode)) {
      mode_t mode = (made.st_mode & 07777) | (is_dir ? S_ISGID : 0);
      ACETATE_RETURN_IF_ERROR(upper_->Chmod(work_->fd(), temp.c_str(), mode));
    }
  }
  if (is_dir) {
    // Without the mark the lower directory's children would be back.
    ACETATE_RETURN_IF_ERROR(upper_->SetXattr(work_->fd(), temp.c_str(), xattrs_.opaque().c_str(), "y", 1, 0));
    // A directory cannot be renamed over a whiteout: they change places, and the whiteout goes.
    ACETATE_RETURN_IF_ERROR(upper_->Rename(work_->fd(), temp.c_str(), fd->get(), name.c_str(), RENAME_EXCHANGE));
    return dentry;
  }
  ACETATE_RETURN_IF_ERROR(upper_->Rename(work_->fd(), temp.c_str(), fd->get(), name.c_str(), 0));
  std::move(undo).Cancel();
  return dentry;
}

template <typename Make>
Errno UnionFs::MakeUnderAclLocked(const std::string& acl, const std::string& temp, const Make& make) {
  const std::string nursery = work_->TempName();
  ACETATE_RETURN_IF_ERROR(upper_->MkDir(work_->fd(), nursery.c_str(), 0700));
  auto remove = absl::MakeCleanup([&] { work_->Remove(nursery).IgnoreError(); });
  ACETATE_RETURN_IF_ERROR(upper_->SetXattr(work_->fd(), nursery.c_str(), kDefaultAcl, acl.data(), acl.size(), 0));
  ACETATE_ASSIGN_OR_RETURN(UniqueFd fd, upper_->Open(work_->fd(), nursery.c_str(), O_PATH | O_DIRECTORY));
  ACETATE_RETURN_IF_ERROR(make(fd.get(), temp.c_str(), 0));
  return upper_->Rename(fd.get(), temp.c_str(), work_->fd(), temp.c_str(), 0);
}

ErrnoOr<Entry> UnionFs::EnterLocked(Dentry* dentry, mode_t type) {
  dentry->type = static_cast<unsigned char>(IFTODT(type));
  dentry->in_upper = true;
  dentry->lowers.clear();
  ShowDentry(dentry);
  if (dentry->inode != nullptr) return EntryLocked(dentry);
  ACETATE_ASSIGN_OR_RETURN(Location where, Locate(*dentry));
  ACETATE_ASSIGN_OR_RETURN(struct stat st, where.branch->Stat(where.dirfd(), where.c_name()));
  dentry->ino = UnionIno(*upper_, st.st_ino);
  Entry entry;
  ACETATE_ASSIGN_OR_RETURN(Inode * inode, Bind(dentry, &entry.attr));
  ++inode->lookups;
  inode->contents_known = true;
  inode->protection = Protection::kNone;
  // A new directory is empty; there is no need to read it to know.
  if (inode->is_dir()) inode->dir->listed = true;
  entry.node = IdOf(inode);
  return entry;
}

ErrnoOr<Entry> UnionFs::MkNod(NodeId parent, const std::string& name, mode_t mode, dev_t device, const Caller& caller) {
  // Whiteouts are made by removing (ovl_mknod() says EPERM too): by hand they would be names that cannot be seen.
  if (S_ISCHR(mode) && device == 0) return Errno(EPERM);
  MutexLock lock(&mu_);
  ACETATE_ASSIGN_OR_RETURN(Inode * dir, ListedDirLocked(parent));
  // A regular file is created open: most are written next, and the mode may forbid to open it again.
  UniqueFd data;
  auto make = [&](int dirfd, const char* made, mode_t umask) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    CallerScope scope(identity_, caller);
    if (!S_ISREG(mode)) return upper_->MkNod(dirfd, made, mode & ~umask, device);
    ErrnoOr<UniqueFd> fd =
        WithSpareFds([&] { return upper_->Open(dirfd, made, O_CREAT | O_EXCL | O_RDWR, mode & 07777 & ~umask); });
    if (fd.ok()) data = *std::move(fd);
    return fd.error();
  };
  ACETATE_ASSIGN_OR_RETURN(Dentry * dentry, CreateLocked(dir, name, false, &caller, make));
  ACETATE_ASSIGN_OR_RETURN(Entry entry, EnterLocked(dentry, mode));
  if (data.valid()) {
    data_fds_.Put(&dentry->inode->data, std::move(data));
    dentry->inode->data_writable = true;
  }
  return entry;
}

ErrnoOr<Entry> UnionFs::MkDir(NodeId parent, const std::string& name, mode_t mode, const Caller& caller) {
  MutexLock lock(&mu_);
  ACETATE_ASSIGN_OR_RETURN(Inode * dir, ListedDirLocked(parent));
  auto make = [&](int dirfd, const char* made, mode_t umask) {
    CallerScope scope(identity_, caller);
    return upper_->MkDir(dirfd, made, mode & 07777 & ~umask);
  };
  ACETATE_ASSIGN_OR_RETURN(Dentry * dentry, CreateLocked(dir, name, true, &caller, make));
  return EnterLocked(dentry, S_IFDIR);
}

ErrnoOr<Entry> UnionFs::SymLink(const std::string& target, NodeId parent, const std::string& name,
                                const Caller& caller) {
  MutexLock lock(&mu_);
  ACETATE_ASSIGN_OR_RETURN(Inode * dir, ListedDirLocked(parent));
  auto make = [&](int dirfd, const char* made, mode_t) {
    CallerScope scope(identity_, caller);
    return upper_->SymLink(target.c_str(), dirfd, made);
  };
  ACETATE_ASSIGN_OR_RETURN(Dentry * dentry, CreateLocked(dir, name, false, &caller, make));
  return EnterLocked(dentry, S_IFLNK);
}

ErrnoOr<Entry> UnionFs::Link(NodeId node, NodeId new_parent, const std::string& new_name) {
  MutexLock lock(&mu_);
  Inode* inode = Get(node);
  if (inode->is_dir()) return Errno(EPERM);
  ACETATE_RETURN_IF_ERROR(MayChangeLocked(inode));
  ACETATE_RETURN_IF_ERROR(CopyUpLocked(inode));
  ACETATE_RETURN_IF_ERROR(RedirectFileLocked(inode));
  ACETATE_ASSIGN_OR_RETURN(Inode * dir, ListedDirLocked(new_parent));
  auto make = [&](int dirfd, const char* made, mode_t) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) -> Errno {
    ACETATE_ASSIGN_OR_RETURN(Location where, Locate(inode));
    return upper_->Link(where.dirfd(), where.c_name(), dirfd, made);
  };
  ACETATE_ASSIGN_OR_RETURN(Dentry * dentry, CreateLocked(dir, new_name, false, nullptr, make));
  if (inode->upper_ino == 0) {
    // Names that are not in any listing yet must find this object when they are looked up.
    ACETATE_ASSIGN_OR_RETURN(Location where, Locate(inode));
    ACETATE_ASSIGN_OR_RETURN(struct stat st, where.branch->Stat(where.dirfd(), where.c_name()));
    inode->upper_ino = st.st_ino;
    linked_[st.st_ino] = inode;
  }
  if (!inode->own_ino) ACETATE_RETURN_IF_ERROR(MarkImpureLocked(dir));
  dentry->ino = inode->ino;
  BindTo(dentry, inode);
  return EnterLocked(dentry, inode->type);
}

ErrnoOr<Entry> UnionFs::TmpFile(NodeId parent, mode_t mode, const Caller& caller) {
  MutexLock lock(&mu_);
  ACETATE_ASSIGN_OR_RETURN(Inode * dir, ListedDirLocked(parent));
  ACETATE_RETURN_IF_ERROR(MayAddToLocked(dir));
  ACETATE_RETURN_IF_ERROR(CopyUpDirLocked(dir));
  ACETATE_ASSIGN_OR_RETURN(FdRef dir_fd, DirFd(dir->dir->upper.get()));
  if (DefaultAcl(*upper_, dir_fd->get()).empty()) mode &= ~caller.umask;
  UniqueFd fd;
  {
    CallerScope scope(identity_, caller);
    ACETATE_ASSIGN_OR_RETURN(
        fd, WithSpareFds([&] { return upper_->Open(dir_fd->get(), ".", O_TMPFILE | O_RDWR, mode & 07777); }));
  }
  ACETATE_ASSIGN_OR_RETURN(struct stat st, upper_->Stat(fd.get(), ""));
  auto inode = std::make_unique<Inode>();
  inode->type = S_IFREG;
  inode->upper = true;
  inode->ino = UnionIno(*upper_, st.st_ino);
  inode->lookups = 1;
  HoldByFdLocked(inode.get(), std::move(fd));
  inode->contents_known = true;
  inode->protection = Protection::kNone;
  ACETATE_RETURN_IF_ERROR(PresentLocked(inode.get(), &st));
  orphans_.insert(inode.get());
  stats_->Set(Gauge::kKnownInodes, ++known_);
  Entry entry;
  entry.attr = st;
  entry.node = IdOf(inode.release());
  return entry;
}

}  // namespace acetate::fusefs
