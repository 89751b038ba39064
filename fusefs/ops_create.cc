// New names: mknod, mkdir, symlink, link, tmpfile.
//
// As the kernel's ovl_create_or_link(): where the branch holds nothing under the name, the object is made in place;
// over a whiteout it is made in the work directory and put in the whiteout's place by one rename.
#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>

#include <climits>

#include "absl/cleanup/cleanup.h"
#include "fusefs/placing.h"
#include "fusefs/with_spare_fds.h"

namespace acetate::fusefs {

namespace {

constexpr char kDefaultAcl[] = "system.posix_acl_default";

}  // namespace

std::string UnionFs::DefaultAclLocked(LayerDir* dir, int dirfd) {
  // It gets one by SetXattr alone, unless others change the layer.
  if (dir->no_default_acl && options_.udba == Udba::kNone) return "";
  ErrnoOr<std::string> acl = OverlayXattr::Get(*dir->branch, dirfd, "", kDefaultAcl);
  dir->no_default_acl = acl.error() == ENODATA;
  return acl.ok() ? *std::move(acl) : "";
}

template <typename Make>
ErrnoOr<Dentry*> UnionFs::CreateLocked(Inode* dir, const std::string& name, bool is_dir, const Caller* heir,
                                       const Make& make) {
  if (name.size() > NAME_MAX) return Errno(ENAMETOOLONG);
  Dentry* dentry = Find(dir, name);
  if (dentry != nullptr && !dentry->hidden()) return Errno(EEXIST);
  ACETATE_RETURN_IF_ERROR(MayAddToLocked(dir));
  ++created_;
  const Places places = PlacesForNewLocked(dir, name);
  if (places.empty() && IsDotWhName(name) && !branches_.writables().empty()) return Errno(EPERM);  // a whiteout's name
  BranchId place = kNoBranch;
  ACETATE_RETURN_IF_ERROR(InFirstWithRoom(places, [&](WritableBranch& branch) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    place = branch.id();
    return CreateInLocked(branch, dir, name, is_dir, heir, make);
  }));
  TouchTopLocked(dir, place);
  return CreatedLocked(dir, name, place);
}

Dentry* UnionFs::CreatedLocked(Inode* dir, const std::string& name, BranchId place) {
  Dentry* dentry = Find(dir, name);
  if (dentry == nullptr) {
    dentry = AddDentry(dir, name);
    dentry->layers = {place};
    return dentry;
  }
  dentry->layers = {place};
  if (dentry->end == place) {
    dentry->end = kNoBranch;
  } else {
    dentry->below = false;
  }
  if (several()) RefreshLocked(dentry);
  return dentry;
}

template <typename Make>
Errno UnionFs::CreateInLocked(WritableBranch& branch, Inode* dir, const std::string& name, bool is_dir,
                              const Caller* heir, const Make& make) {
  ACETATE_ASSIGN_OR_RETURN(FdRef fd, DirFdIn(branch, dir));
  const Dentry* dentry = Find(dir, name);
  const std::string acl = heir != nullptr ? DefaultAclLocked(dir->dir->In(branch.id()).get(), fd->get()) : "";
  if (dentry != nullptr && dentry->end == branch.id()) {
    return CreateOverWhiteoutLocked(branch, fd->get(), name.c_str(), is_dir, heir, acl, make);
  }
  return make(*branch.branch, fd->get(), name.c_str(), heir != nullptr && acl.empty() ? heir->umask : 0);
}

template <typename Make>
Errno UnionFs::CreateOverWhiteoutLocked(WritableBranch& branch, int dirfd, const char* name, bool is_dir,
                                        const Caller* heir, const std::string& acl, const Make& make) {
  const mode_t umask = heir != nullptr && acl.empty() ? heir->umask : 0;
  const bool beside = branch.whiteouts->beside();
  if (beside && !is_dir) {
    // Beside its whiteout it is seen at once, and hides by itself what the whiteout hid.
    ACETATE_RETURN_IF_ERROR(make(*branch.branch, dirfd, name, umask));
    branch.whiteouts->RemoveBeside(dirfd, name).IgnoreError();
    return kOk;
  }
  const std::string temp = branch.work->TempName();
  if (acl.empty()) {
    ACETATE_RETURN_IF_ERROR(make(*branch.branch, branch.work_fd(), temp.c_str(), umask));
  } else {
    ACETATE_RETURN_IF_ERROR(MakeUnderAclLocked(branch, acl, temp, make));
  }
  auto undo = absl::MakeCleanup([&] { branch.work->Remove(temp).IgnoreError(); });
  ACETATE_ASSIGN_OR_RETURN(struct stat parent, branch->Stat(dirfd, ""));
  if (heir != nullptr && (parent.st_mode & S_ISGID) != 0) {
    // What the directory would have given it, had it been made there.
    ACETATE_ASSIGN_OR_RETURN(struct stat made, branch->Stat(branch.work_fd(), temp.c_str()));
    ACETATE_RETURN_IF_ERROR(branch->Chown(branch.work_fd(), temp.c_str(), static_cast<uid_t>(-1), parent.st_gid));
    if (!S_ISLNK(made.st_mode)) {
      mode_t mode = (made.st_mode & 07777) | (is_dir ? S_ISGID : 0);
      ACETATE_RETURN_IF_ERROR(branch->Chmod(branch.work_fd(), temp.c_str(), mode));
    }
  }
  if (is_dir) {
    // Without the mark the lower directory's children would be back.
    ACETATE_RETURN_IF_ERROR(branch.whiteouts->MakeOpaque(branch.work_fd(), temp.c_str()));
  }
  if (is_dir && !beside) {
    // A directory cannot be renamed over a whiteout: they change places, and the whiteout goes.
    return branch->Rename(branch.work_fd(), temp.c_str(), dirfd, name, RENAME_EXCHANGE);
  }
  ACETATE_RETURN_IF_ERROR(branch->Rename(branch.work_fd(), temp.c_str(), dirfd, name, 0));
  std::move(undo).Cancel();
  if (beside) branch.whiteouts->RemoveBeside(dirfd, name).IgnoreError();
  return kOk;
}

template <typename Make>
Errno UnionFs::MakeUnderAclLocked(WritableBranch& branch, const std::string& acl, const std::string& temp,
                                  const Make& make) {
  const int work = branch.work_fd();
  const std::string nursery = branch.work->TempName();
  ACETATE_RETURN_IF_ERROR(branch->MkDir(work, nursery.c_str(), 0700));
  auto remove = absl::MakeCleanup([&] { branch.work->Remove(nursery).IgnoreError(); });
  ACETATE_RETURN_IF_ERROR(branch->SetXattr(work, nursery.c_str(), kDefaultAcl, acl.data(), acl.size(), 0));
  ACETATE_ASSIGN_OR_RETURN(UniqueFd fd, branch->Open(work, nursery.c_str(), O_PATH | O_DIRECTORY, 0));
  ACETATE_RETURN_IF_ERROR(make(*branch.branch, fd.get(), temp.c_str(), 0));
  return branch->Rename(fd.get(), temp.c_str(), work, temp.c_str(), 0);
}

ErrnoOr<Entry> UnionFs::EnterLocked(Dentry* dentry, mode_t type) {
  dentry->type = static_cast<unsigned char>(IFTODT(type));
  ShowDentry(dentry);
  if (dentry->inode != nullptr) return EntryLocked(dentry);
  ACETATE_ASSIGN_OR_RETURN(Location where, Locate(*dentry));
  ACETATE_ASSIGN_OR_RETURN(struct stat st, where.branch->Stat(where.dirfd(), where.c_name()));
  dentry->ino = branches_.UnionIno(dentry->home(), st.st_ino);
  dentry->ino_settled = true;
  Entry entry;
  entry.attr = st;
  ACETATE_ASSIGN_OR_RETURN(Inode * inode, BindFoundLocked(dentry, where, /*made=*/true, &entry.attr));
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
  auto make = [&](const Branch& branch, int dirfd, const char* made, mode_t umask) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    CallerScope scope(identity_, caller);
    if (!S_ISREG(mode)) return branch.MkNod(dirfd, made, mode & ~umask, device);
    ErrnoOr<UniqueFd> fd =
        WithSpareFds([&] { return branch.Open(dirfd, made, O_CREAT | O_EXCL | O_RDWR, mode & 07777 & ~umask); });
    if (fd.ok()) data = *std::move(fd);
    return fd.error();
  };
  ACETATE_ASSIGN_OR_RETURN(Dentry * dentry, CreateLocked(dir, name, false, &caller, make));
  ACETATE_ASSIGN_OR_RETURN(Entry entry, EnterLocked(dentry, mode));
  if (data.valid()) KeepDataFdLocked(dentry->inode, std::move(data), /*writable=*/true);
  return entry;
}

ErrnoOr<Entry> UnionFs::MkDir(NodeId parent, const std::string& name, mode_t mode, const Caller& caller) {
  MutexLock lock(&mu_);
  ACETATE_ASSIGN_OR_RETURN(Inode * dir, ListedDirLocked(parent));
  auto make = [&](const Branch& branch, int dirfd, const char* made, mode_t umask) {
    CallerScope scope(identity_, caller);
    return branch.MkDir(dirfd, made, mode & 07777 & ~umask);
  };
  ACETATE_ASSIGN_OR_RETURN(Dentry * dentry, CreateLocked(dir, name, true, &caller, make));
  return EnterLocked(dentry, S_IFDIR);
}

ErrnoOr<Entry> UnionFs::SymLink(const std::string& target, NodeId parent, const std::string& name,
                                const Caller& caller) {
  MutexLock lock(&mu_);
  ACETATE_ASSIGN_OR_RETURN(Inode * dir, ListedDirLocked(parent));
  auto make = [&](const Branch& branch, int dirfd, const char* made, mode_t) {
    CallerScope scope(identity_, caller);
    return branch.SymLink(target.c_str(), dirfd, made);
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
  WritableBranch& home = *HomeOf(inode);
  ACETATE_ASSIGN_OR_RETURN(Inode * dir, ListedDirLocked(new_parent));
  if (new_name.size() > NAME_MAX) return Errno(ENAMETOOLONG);
  Dentry* dentry = Find(dir, new_name);
  if (dentry != nullptr && !dentry->hidden()) return Errno(EEXIST);
  ACETATE_RETURN_IF_ERROR(MayAddToLocked(dir));
  if (!MayHold(home.id(), new_name)) return Errno(EPERM);
  // A link cannot leave its filesystem: callers copy then.
  if (!Takes(dir, home.id()) || !WouldShow(dentry, home.id())) return Errno(EXDEV);
  auto make = [&](const Branch& branch, int dirfd, const char* made, mode_t)
                  ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) -> Errno {
    ACETATE_ASSIGN_OR_RETURN(Location where, Locate(inode));
    return branch.Link(where.dirfd(), where.c_name(), dirfd, made);
  };
  ACETATE_RETURN_IF_ERROR(CreateInLocked(home, dir, new_name, false, nullptr, make));
  TouchTopLocked(dir, home.id());
  dentry = CreatedLocked(dir, new_name, home.id());
  if (inode->linked_ino == 0) {
    // Names that are not in any listing yet must find this object when they are looked up.
    ACETATE_ASSIGN_OR_RETURN(Location where, Locate(inode));
    ACETATE_ASSIGN_OR_RETURN(struct stat st, where.branch->Stat(where.dirfd(), where.c_name()));
    inode->linked_ino = st.st_ino;
    home.linked[st.st_ino] = inode;
  }
  if (!inode->own_ino) ACETATE_RETURN_IF_ERROR(MarkImpureLocked(home, dir));
  dentry->ino = inode->ino;
  dentry->ino_settled = true;
  BindTo(dentry, inode);
  return EnterLocked(dentry, inode->type);
}

ErrnoOr<Entry> UnionFs::TmpFile(NodeId parent, mode_t mode, const Caller& caller) {
  MutexLock lock(&mu_);
  ACETATE_ASSIGN_OR_RETURN(Inode * dir, ListedDirLocked(parent));
  ACETATE_RETURN_IF_ERROR(MayAddToLocked(dir));
  UniqueFd fd;
  BranchId place = kNoBranch;
  auto make = [&](WritableBranch& branch) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) -> Errno {
    place = branch.id();
    ACETATE_ASSIGN_OR_RETURN(FdRef dir_fd, DirFdIn(branch, dir));
    const mode_t umask = DefaultAclLocked(dir->dir->In(place).get(), dir_fd->get()).empty() ? caller.umask : 0;
    CallerScope scope(identity_, caller);
    ACETATE_ASSIGN_OR_RETURN(
        fd, WithSpareFds([&] { return branch->Open(dir_fd->get(), ".", O_TMPFILE | O_RDWR, mode & 07777 & ~umask); }));
    return kOk;
  };
  ++created_;
  ACETATE_RETURN_IF_ERROR(InFirstWithRoom(PlacesForNewLocked(dir, ""), make));
  ACETATE_ASSIGN_OR_RETURN(struct stat st, branches_.branch(place).Stat(fd.get(), ""));
  auto inode = std::make_unique<Inode>();
  inode->type = S_IFREG;
  inode->home = place;
  inode->ino = branches_.UnionIno(place, st.st_ino);
  inode->lookups = 1;
  HoldByFdLocked(inode.get(), std::make_shared<const UniqueFd>(std::move(fd)));
  inode->contents_known = true;
  inode->protection = Protection::kNone;
  ACETATE_RETURN_IF_ERROR(PresentLocked(inode.get(), &st));
  orphans_.insert(inode.get());
  CountKnown(1);
  Entry entry;
  entry.attr = st;
  entry.node = IdOf(inode.release());
  return entry;
}

}  // namespace acetate::fusefs
