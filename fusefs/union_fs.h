// The union: what its operations mean. Names and node ids in, values or errnos out; nothing here knows of FUSE
// messages.
//
// Each operation decides with values (merge_dir, rename_plan) and then acts on directory fds of the branches. The
// operations are grouped by subject in ops_*.cc; what several of them need is in union_fs.cc.
//
// Owned by main. Thread-safe: `mu_` guards all that is in memory and is held over metadata system calls, never while
// file contents are read, written or copied up.
#pragma once

#include <sys/stat.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <cstdint>
#include <deque>
#include <limits>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/string_view.h"
#include "common/errno_or.h"
#include "common/mutex.h"
#include "fusefs/branch.h"
#include "fusefs/identity.h"
#include "fusefs/inode.h"
#include "fusefs/link_index.h"
#include "fusefs/options.h"
#include "fusefs/origin.h"
#include "fusefs/overlay_xattr.h"
#include "fusefs/rename_plan.h"
#include "fusefs/stats.h"
#include "fusefs/whiteout.h"
#include "fusefs/work_dir.h"

namespace acetate::fusefs {

using NodeId = uint64_t;
inline constexpr NodeId kRootId = 1;

// What a lookup or a creation tells the kernel. It counts as one lookup of `node`.
struct Entry {
  NodeId node = 0;
  struct stat attr = {};
};

// Which attributes SetAttr changes; those that are not set stay.
struct AttrChange {
  bool set_mode = false, set_uid = false, set_gid = false, set_size = false, set_times = false;
  bool kill_suid = false;  // the change of size clears setuid bits, as a write by this caller does
  mode_t mode = 0;
  uid_t uid = 0;
  gid_t gid = 0;
  off_t size = 0;
  struct timespec times[2] = {};  // UTIME_NOW and UTIME_OMIT as in utimensat
};

struct Written {
  size_t size = 0;
  bool mode_changed = false;  // setuid or setgid bits went, which the kernel does not know
};

// Takes the entries of a listing until it has no room.
class DirSink {
 public:
  virtual ~DirSink() = default;
  virtual bool Fits(absl::string_view name) = 0;
  // `next` is the offset at which a later listing goes on; `entry` is null where only the name is told.
  virtual void Add(const std::string& name, uint64_t next, uint64_t ino, mode_t type, const Entry* entry) = 0;
};

class UnionFs {
 public:
  // `branches` top first; `workdir_fd` is invalid when none is writable. `stats` outlives the union.
  static ErrnoOr<std::unique_ptr<UnionFs>> Create(const Options& options, std::vector<std::unique_ptr<Branch>> branches,
                                                  UniqueFd workdir_fd, const Identity& identity, Stats* stats);
  ~UnionFs();

  // ops_lookup.cc
  ErrnoOr<Entry> Lookup(NodeId parent, const std::string& name);
  void Forget(NodeId node, uint64_t lookups);
  // From the entry after `offset`; 0 is the start. `plus`: entries come with attributes and count as lookups.
  Errno ReadDir(NodeId node, uint64_t offset, bool plus, DirSink* sink);
  ErrnoOr<struct statvfs> StatFs();

  // ops_attr.cc
  ErrnoOr<struct stat> GetAttr(NodeId node);
  ErrnoOr<struct stat> SetAttr(NodeId node, const AttrChange& change);
  ErrnoOr<std::string> ReadLink(NodeId node);
  // `size` 0 asks for the length; ERANGE when it does not suffice.
  ErrnoOr<std::string> GetXattr(NodeId node, const std::string& key, size_t size);
  ErrnoOr<std::string> ListXattr(NodeId node, const Caller& caller);
  Errno SetXattr(NodeId node, const std::string& key, absl::string_view value, int flags);
  Errno RemoveXattr(NodeId node, const std::string& key);

  // ops_flags.cc: what FS_IOC_GETFLAGS and FS_IOC_FSGETXATTR say. ENOTTY of what has no flags where it lies.
  ErrnoOr<unsigned> GetFlags(NodeId node);
  Errno SetFlags(NodeId node, unsigned flags);
  ErrnoOr<fsxattr> GetFsXattr(NodeId node);
  Errno SetFsXattr(NodeId node, const fsxattr& attributes);

  // ops_create.cc. The caller's umask is applied here.
  ErrnoOr<Entry> MkNod(NodeId parent, const std::string& name, mode_t mode, dev_t device, const Caller& caller);
  ErrnoOr<Entry> MkDir(NodeId parent, const std::string& name, mode_t mode, const Caller& caller);
  ErrnoOr<Entry> SymLink(const std::string& target, NodeId parent, const std::string& name, const Caller& caller);
  ErrnoOr<Entry> Link(NodeId node, NodeId new_parent, const std::string& new_name);
  ErrnoOr<Entry> TmpFile(NodeId parent, mode_t mode, const Caller& caller);

  // ops_remove.cc
  Errno Unlink(NodeId parent, const std::string& name);
  Errno RmDir(NodeId parent, const std::string& name);

  // ops_rename.cc. `flags` of renameat2; RENAME_WHITEOUT is EINVAL.
  Errno Rename(NodeId parent, const std::string& name, NodeId new_parent, const std::string& new_name, unsigned flags);

  // ops_data.cc
  ErrnoOr<size_t> Read(NodeId node, char* buffer, size_t size, off_t offset);
  // `kill_suid`: the caller's write clears setuid and setgid bits.
  ErrnoOr<Written> Write(NodeId node, const char* data, size_t size, off_t offset, bool kill_suid = false);
  // Clears setuid and setgid bits as a write does; whether there were any.
  ErrnoOr<bool> ClearSuid(NodeId node);
  Errno FSync(NodeId node, bool data_only);
  Errno FSyncDir(NodeId node, bool data_only);
  Errno Fallocate(NodeId node, int mode, off_t offset, off_t length);
  ErrnoOr<off_t> LSeek(NodeId node, off_t offset, int whence);
  ErrnoOr<size_t> CopyFileRange(NodeId in, off_t in_offset, NodeId out, off_t out_offset, size_t size, unsigned flags);

 private:
  // Where an object is: an fd and a name for Branch's calls. Valid until the lock is released.
  struct Location {
    const Branch* branch;
    FdRef fd;
    std::string name;
    int dirfd() const { return fd->get(); }
    const char* c_name() const { return name.c_str(); }
  };

  // Contents up to any size.
  static constexpr off_t kWhole = -1;

  // The layers that make up a directory, and what its upper part says of the lower ones.
  struct LayerStack {
    LayerDirRef upper;
    std::vector<LayerDirRef> lowers;
    std::unique_ptr<Redirect> redirect;
  };

  // The way down the layers after an object.
  struct Trail {
    const Directory* parent = nullptr;  // of the name, while it is gone by name
    int branch = 0;                     // the layer last looked at
    Redirect where;                     // what to look for in the layers below it
    bool redirected = false;
    bool ended = false;  // something hides what may be further down
  };

  // What the next layer that holds anything there holds; kNothing when none does.
  struct Below {
    LayerDirRef dir;
    std::string name;
    Held held = Held::kNothing;
  };

  UnionFs(const Options& options, std::vector<std::unique_ptr<Branch>> branches, const Identity& identity,
          Stats* stats);

  // -- union_fs.cc
  Inode* Get(NodeId node) { return node == kRootId ? root_.get() : reinterpret_cast<Inode*>(node); }
  NodeId IdOf(const Inode* inode) const { return inode == root_.get() ? kRootId : reinterpret_cast<NodeId>(inode); }
  // The directory `node`, listed; ENOTDIR for others, ENOENT for one that was removed.
  ErrnoOr<Inode*> ListedDirLocked(NodeId node) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Errno ListLocked(Inode* dir) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // The entry of a listed directory, whiteouts included; null when there is none.
  Dentry* Find(const Inode* dir, absl::string_view name) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // The object shown under the name: ENOENT for none and for whiteouts, ENAMETOOLONG.
  ErrnoOr<Dentry*> FindShown(const Inode* dir, const std::string& name) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  ErrnoOr<FdRef> DirFd(LayerDir* dir) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  ErrnoOr<Location> Locate(const Dentry& dentry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  ErrnoOr<Location> Locate(const Inode* inode) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // The Inode of a shown name, made when it is not known yet. Does not count a lookup.
  ErrnoOr<Inode*> Bind(Dentry* dentry, struct stat* st) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void BindTo(Dentry* dentry, Inode* inode) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Unbind(Dentry* dentry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void FreeIfUnused(Inode* inode) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  ErrnoOr<struct stat> AttrLocked(Inode* inode) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // What stat says of the object itself, as the union shows it.
  Errno PresentLocked(Inode* inode, struct stat* st) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  ErrnoOr<Entry> EntryLocked(Dentry* dentry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Listing changes that follow changes on disk.
  Dentry* AddDentry(Inode* dir, std::string name) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void ShowDentry(Dentry* dentry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void HideDentry(Dentry* dentry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // The name holds nothing in the upper branch any more, or a whiteout.
  void DropDentry(Dentry* dentry, bool whiteout) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  uint64_t UnionIno(const Branch& branch, uint64_t ino) const;
  bool writable() const { return work_ != nullptr; }

  bool IsLast(const Branch& branch) const { return &branch == branches_.back().get(); }

  // -- layers_below.cc
  LayerDirRef ChildLayer(const LayerDirRef& in, const std::string& name) const;
  LayerDirRef StartBelow(const Trail& trail) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // What a directory says of the layers below it. It is `rest` names before the end of the trail's path.
  Errno ReadMarksLocked(LayerDir* dir, size_t rest, bool more_by_name, Trail* trail) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  ErrnoOr<Below> NextBelowLocked(Trail* trail) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Of a directory. EIO when a layer holds marks that make no sense.
  ErrnoOr<LayerStack> StackOf(const Dentry& dentry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // The names that lead to a directory from the roots of the layers below the upper one.
  std::vector<std::string> LowerNames(const Inode* dir) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Errno WriteRedirectLocked(const std::vector<std::string>& names, const Location& where)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // So that an upper directory keeps its lower part when it gets another name. EXDEV when that cannot be written.
  Errno RedirectDirLocked(Dentry* dentry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Finds out whose inode number an object of the upper branch has.
  Errno SettleInoLocked(Dentry* dentry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Errno TakeInoLocked(const LayerStack& stack, Dentry* dentry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  // -- metacopy.cc
  // A name of the object in the layer that it is in; null when it has none.
  Dentry* NameIn(const Inode* inode) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Finds `lower_data`; EIO when it should be there and is not.
  Errno FindContentsLocked(Inode* inode) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Where its contents are, once they were found.
  ErrnoOr<Location> LocateContents(const Inode* inode) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Whether it is partly copied, and how much of the lower file counts then.
  Errno ReadPartialLocked(const Location& where, LowerData* data) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  static Errno ContentsAreLost(const Branch& branch, const std::string& name);
  // Afterwards a file of the upper branch has its contents there, or as much of them as the limit says.
  Errno FetchContentsLocked(Inode* inode, off_t size_limit) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // The upper file `fd` has its contents now. What counts is the first of the marks.
  Errno RemoveMetacopyMarks(int fd) const;
  // So that a metadata-only copy keeps its contents when it gets another name.
  Errno RedirectFileLocked(Inode* inode) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  // -- hard_links.cc
  // The known inode that a name leads to by hard links, if any; null otherwise, and then `links` is what a new inode is
  // to know of its other names, if it can have any.
  ErrnoOr<Inode*> FindLinkedLocked(const Dentry& dentry, const Location& where, const struct stat& st,
                                   std::unique_ptr<LowerLinks>* links) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void EnterLinksLocked(Inode* inode, std::unique_ptr<LowerLinks> links) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void LeaveLinksLocked(Inode* inode) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // What a copy must carry to be in the index.
  Errno MarkForIndexLocked(Inode* inode, const struct stat& st, const char* temp, bool contents)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Errno PublishInIndexLocked(Inode* inode, const std::string& temp) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Afterwards a name of an indexed object is in the upper branch too.
  Errno LinkUpLocked(Dentry* dentry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Whether the object is gone with the one name of it that is about to go.
  ErrnoOr<bool> IsLastNameLocked(Inode* inode) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // After a name went that was, or was not, in the upper branch.
  Errno DropLinkLocked(Inode* inode, bool in_upper, bool last) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  // -- lazy_copy.cc
  // Whether the contents are written while they are copied in the background. False: they are to be copied at once, or
  // are there.
  ErrnoOr<bool> StartLazyCopyLocked(Inode* inode, off_t size_limit) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Errno WritePartial(int fd, off_t floor) const;
  // True when all of it is copied, and durable.
  ErrnoOr<bool> CopySome(LazyFile* file) const;
  Errno TruncateLazily(NodeId node, LazyFile* file, off_t size);
  // Copies what is missing now. The lock is released meanwhile.
  Errno CopyRestLocked(Inode* inode) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Errno FinishLazyCopyLocked(Inode* inode, LazyFile* file) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void CopyInBackground();
  void EndBackground();

  // -- copy_up.cc
  // After these the object is in the upper branch. Contents may be copied without the lock, so whatever the caller knew
  // of other objects must be looked at again. EROFS without a writable branch.
  // With what can be changed without its contents: a directory, a file's attributes.
  Errno CopyUpLocked(Inode* inode) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Errno CopyUpDirLocked(Inode* dir) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // With its contents, or as much of them as the limit says.
  Errno CopyUpContentsLocked(Inode* inode, off_t size_limit) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Errno CopyUpFileLocked(Inode* inode, bool contents, off_t size_limit) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Writes what the copy needs to keep the number of `st`, in the copy and in the directory that it will be in.
  Errno KeepInoLocked(Inode* inode, const Location& from, const struct stat& st, const char* temp)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Of a file that is not in the upper branch.
  LowerData PlaceOfLowerLocked(const Inode* inode, off_t size) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Errno MarkImpureLocked(Inode* dir) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Copies `size` bytes of a file's contents and makes them durable. The lock is released meanwhile, and `copying` set.
  Errno CopyContentsLocked(Inode* inode, int from, int to, off_t size) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Makes a change in an upper directory, by `change(dirfd)`, that the union does not show: nor do its times.
  template <typename Change>
  Errno KeepingTimesLocked(LayerDir* dir, const Change& change) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Errno CopyUpOneDirLocked(Inode* dir) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // `data`: the fd of the copied contents; null for a metadata-only copy.
  Errno PublishCopyLocked(Inode* inode, const std::string& temp, UniqueFd* data) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Errno CopyMetadata(const Location& from, const struct stat& st, int to_dirfd, const char* to_name);
  Errno CopyXattrs(const Location& from, int to_dirfd, const char* to_name);

  // -- ops_flags.cc
  ErrnoOr<UniqueFd> OpenForFlagsLocked(const Inode* inode, const Location& where) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  unsigned ReadProtectionLocked(const Location& where) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Of an object of the upper branch. EPERM where that has no xattrs.
  Errno WriteProtectionLocked(Inode* inode, const Location& where, unsigned flags) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // To a copy, of the flags that it keeps (ovl_copy_fileattr()).
  Errno CarryFlags(const Location& from, const struct stat& st, int to_dirfd, const char* to_name);
  Protection ProtectionLocked(Inode* inode) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // EPERM for what immutable and append-only objects do not allow.
  Errno MayChangeLocked(Inode* inode) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Errno MayAddToLocked(Inode* dir) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Errno MayRemoveLocked(const Dentry* dentry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Errno MayRenameLocked(const Dentry* source, Inode* new_dir, const Dentry* target) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Errno MayWrite(NodeId node, off_t from);
  Errno MayFallocate(NodeId node, int mode);
  Errno MaySetAttr(NodeId node, const AttrChange& change);

  // -- ops_create.cc
  // Makes an object called `name` in the directory by `make(dirfd, name, umask)`, over a whiteout or not, and enters
  // it. `heir`: who makes it, where it takes over what the directory hands down; null for another name of an object.
  template <typename Make>
  ErrnoOr<Dentry*> CreateLocked(Inode* dir, const std::string& name, bool is_dir, const Caller* heir, const Make& make)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Makes it as `temp` of the work directory, by way of a directory that hands the ACL down as the filesystem does.
  template <typename Make>
  Errno MakeUnderAclLocked(const std::string& acl, const std::string& temp, const Make& make)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  ErrnoOr<Entry> EnterLocked(Dentry* dentry, mode_t type) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  // -- ops_remove.cc
  // Keeps hold of an object that is about to lose its last name.
  Errno KeepOrphanLocked(Dentry* dentry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void HoldByFdLocked(Inode* inode, UniqueFd fd) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Lets go of what KeepOrphanLocked kept.
  void ReleaseOrphanLocked(Inode* inode) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void ForgetNameLocked(Dentry* dentry, bool whiteout) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Errno CheckEmptyLocked(Inode* dir) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Errno RemoveDirLocked(Dentry* dentry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Puts a whiteout where the upper branch holds a non-directory.
  Errno ReplaceByWhiteoutLocked(int dirfd, const char* name) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  // -- ops_rename.cc
  Errno ExecuteRenameLocked(const RenamePlan& plan, Dentry* source, Inode* new_dir, Dentry* target,
                            const std::string& new_name) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Enters in memory what the rename did on disk.
  void TransferLocked(Dentry* source, Inode* new_dir, Dentry* target, const std::string& new_name,
                      bool whiteout_at_source) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void SwapLocked(Dentry* a, Dentry* b) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void MoveLayerDirLocked(Inode* inode, Inode* new_dir, const std::string& new_name) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // What the object must carry so that lower layers still have their part in it under another name.
  Errno KeepLowerPartLocked(Dentry* dentry, bool redirect, Inode* new_dir) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Errno ClearForReplacementLocked(Dentry* dentry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Errno MakeOpaqueLocked(Dentry* dentry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Errno MoveLocked(int old_fd, const char* old_name, int new_fd, const char* new_name, bool leave_whiteout, bool is_dir)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  // -- ops_data.cc
  ErrnoOr<FdRef> DataFdLocked(Inode* inode, bool write) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // An fd to read contents from, and how much of what it leads to counts.
  struct Source {
    FdRef fd;
    off_t end = std::numeric_limits<off_t>::max();
    std::shared_ptr<LazyFile> lazy;  // then it is read through this alone
    size_t Clamp(size_t size, off_t offset) const {
      return offset >= end ? 0 : std::min(size, static_cast<size_t>(end - offset));
    }
  };
  ErrnoOr<Source> SourceOf(NodeId node);
  // What to write contents to. The file is copied up when it is not; all of it when it is to be `whole`.
  struct Target {
    FdRef fd;
    std::shared_ptr<LazyFile> lazy;  // then it is written through this, and `fd` is null
    int raw() const { return lazy != nullptr ? lazy->upper_fd() : fd->get(); }
  };
  ErrnoOr<Target> TargetOf(NodeId node, off_t size_limit, bool whole);
  // Runs `open` again with fewer cached fds when the process has run out of them.
  template <typename Open>
  auto WithSpareFds(const Open& open) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  // -- own_mountpoint.cc
  // Finds out whether the mountpoint lies inside a branch, before anything is mounted there.
  Errno FindOwnMountpoint();
  // Whether `name` in `dir` is the directory that our own mount covers. Nothing may look at it by name: the kernel
  // would ask us, who are waiting for the answer.
  bool IsOwnMountpoint(const LayerDir& dir, absl::string_view name) const;

  // Fixed after construction.
  const Options options_;
  const std::vector<std::unique_ptr<Branch>> branches_;  // top first
  const Identity identity_;
  const OverlayXattr xattrs_;
  Stats* const stats_;
  std::vector<uint64_t> device_of_;  // by branch: which of the different filesystems it is on, counted from 0
  std::vector<uint64_t> layer_ids_;  // by branch: origin.h
  const Branch* upper_ = nullptr;
  // The directory that the mount covers, and by branch its path in it, from the last name to the first; empty where it
  // is not inside the branch.
  FdRef own_mountpoint_;
  std::vector<std::vector<std::string>> own_mountpoint_paths_;
  UniqueFd workdir_fd_;
  std::unique_ptr<WorkDir> work_;  // null: nothing is writable

  Mutex mu_;
  CondVar copied_ ABSL_GUARDED_BY(mu_);
  FdCache dir_fds_ ABSL_GUARDED_BY(mu_);
  FdCache data_fds_ ABSL_GUARDED_BY(mu_);
  std::unique_ptr<LinkIndex> index_ ABSL_GUARDED_BY(mu_);  // null: there is none
  std::unique_ptr<WhiteoutWriter> whiteouts_ ABSL_GUARDED_BY(mu_);
  std::unique_ptr<Inode> root_;
  // Upper objects with several names, by the branch's inode number.
  absl::flat_hash_map<ino_t, Inode*> linked_ ABSL_GUARDED_BY(mu_);
  absl::flat_hash_map<LowerKey, Inode*> lower_linked_ ABSL_GUARDED_BY(mu_);  // lower ones
  // Inodes in use that have no name in any listed directory.
  absl::flat_hash_set<Inode*> orphans_ ABSL_GUARDED_BY(mu_);
  const size_t max_orphan_fds_;
  size_t orphan_fds_ ABSL_GUARDED_BY(mu_) = 0;
  // Files that are copied in the background, the one at work first.
  std::deque<Inode*> lazy_ ABSL_GUARDED_BY(mu_);
  CondVar lazy_work_ ABSL_GUARDED_BY(mu_);
  bool ending_ ABSL_GUARDED_BY(mu_) = false;
  std::thread copier_;
  bool upper_tells_holes_ = false;               // fixed after construction
  LayerDirRef work_layer_ ABSL_GUARDED_BY(mu_);  // the work directory, for parked orphans
  int64_t known_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace acetate::fusefs
