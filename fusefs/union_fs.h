// The union: what its operations mean. Names and node ids in, values or errnos out; nothing here knows of FUSE
// messages.
//
// Each operation decides with values (merge_dir, rename_plan) and then acts on directory fds of the branches. The
// operations are grouped by subject in ops_*.cc; what several of them need is in union_fs.cc.
//
// Owned by main. Thread-safe: `mu_` guards all that is in memory and is held over metadata system calls, never while
// file contents are read, written or copied up.
#pragma once

#include <sys/statvfs.h>

#include <algorithm>
#include <cstdint>
#include <deque>
#include <functional>
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
#include "fusefs/branch_set.h"
#include "fusefs/dir_watch.h"
#include "fusefs/identity.h"
#include "fusefs/inode.h"
#include "fusefs/options.h"
#include "fusefs/overlay_xattr.h"
#include "fusefs/rename_plan.h"
#include "fusefs/stats.h"
#include "fusefs/union_values.h"
#include "fusefs/whiteout.h"
#include "fusefs/writable_branch.h"

namespace acetate::fusefs {

class UnionFs {
 public:
  // A branch to begin with; its id is its position. Without a work directory it is read-only, whatever its mode.
  struct NewBranch {
    std::unique_ptr<Branch> branch;
    UniqueFd workdir_fd;
  };

  // `branches` top first. `stats` outlives the union.
  static ErrnoOr<std::unique_ptr<UnionFs>> Create(const Options& options, std::vector<NewBranch> branches,
                                                  const Identity& identity, Stats* stats);
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
  // After a change by somebody who is a stranger to its group.
  Errno ClearSetgid(NodeId node);

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
  // Of which file Read() would read how much, so that the caller can. The fd is null when no one file has it.
  ErrnoOr<FileRange> RangeToRead(NodeId node, size_t size, off_t offset);
  // `kill_suid`: the caller's write clears setuid and setgid bits (KillSuid).
  ErrnoOr<Written> Write(NodeId node, const char* data, size_t size, off_t offset, bool kill_suid = false);
  // Clears setuid and setgid bits as such a write does.
  ErrnoOr<SuidKill> ClearSuid(NodeId node);
  Errno FSync(NodeId node, bool data_only);
  Errno FSyncDir(NodeId node, bool data_only);
  Errno Fallocate(NodeId node, int mode, off_t offset, off_t length);
  ErrnoOr<off_t> LSeek(NodeId node, off_t offset, int whence);
  ErrnoOr<size_t> CopyFileRange(NodeId in, off_t in_offset, NodeId out, off_t out_offset, size_t size, unsigned flags);

  // ops_open.cc: the file that holds the object's contents, for good, if the kernel may read and, with `write`, write
  // it by itself; else null. For that it is copied up, and afterwards it stays in its branch.
  FdRef FileToPass(NodeId node, bool write);

  // rearrange.cc: the branches of a union in use. Positions count from the top. `notes` are for the caller to pass on
  // to the kernel.
  struct BranchState {
    BranchId id = kNoBranch;
    BranchSpec spec;
    int root_fd = -1;
    int work_fd = -1;  // of a writable one
  };
  std::vector<BranchState> Branches();
  // An id for a branch that is to be added.
  BranchId FreeBranchId();
  Errno AddBranch(size_t position, NewBranch added, std::vector<KernelNote>* notes);
  // These are EBUSY, and `in_use` is the path, when a file that the kernel knows would be lost. `notes` are then what
  // it is to forget: what it knows afterwards is really in use. EINVAL for the only branch.
  Errno RemoveBranch(BranchId branch, std::string* in_use, std::vector<KernelNote>* notes);
  // Puts another one with the same id and directory in its place: with another mode.
  // `replacement` is taken when it succeeds.
  Errno ReplaceBranch(BranchId branch, NewBranch* replacement, std::string* in_use, std::vector<KernelNote>* notes);
  void MoveBranch(BranchId branch, size_t position, std::vector<KernelNote>* notes);

  // watching.cc: of udba=notify. Called once, before the first request; `tell` is called on a thread of its own,
  // without the union's lock.
  using TellKernel = std::function<void(const std::vector<KernelNote>&)>;
  Errno StartWatching(TellKernel tell);

  // whence.cc
  // What a layer holds at a path of the union, or for it.
  struct Finding {
    BranchId branch = kNoBranch;
    std::string path;  // in the branch
    std::string what;
  };
  // Top first. ENOENT when no layer has anything there.
  ErrnoOr<std::vector<Finding>> Whence(const std::string& path);

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

  // The layers that make up a directory, as Directory has them.
  struct LayerStack {
    std::vector<LayerDirRef> layers;
    BranchId floor = kNoBranch;
  };

  // The way down the layers after an object.
  struct Trail {
    const Directory* parent = nullptr;  // of the name, while it is gone by name
    size_t position = 0;                // of the layer last looked at
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

  UnionFs(const Options& options, const Identity& identity, Stats* stats);

  // -- union_fs.cc
  Inode* Get(NodeId node) { return node == kRootId ? root_.get() : reinterpret_cast<Inode*>(node); }
  NodeId IdOf(const Inode* inode) const { return inode == root_.get() ? kRootId : reinterpret_cast<NodeId>(inode); }
  // The directory `node`, listed; ENOTDIR for others, ENOENT for one that was removed.
  ErrnoOr<Inode*> ListedDirLocked(NodeId node) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  ErrnoOr<std::vector<MergedEntry>> ReadListingLocked(const Directory& dir) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Errno ListLocked(Inode* dir) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  LayerDirRef RootLayer(BranchId branch) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Whether a name that is hidden by that branch's whiteout is to be remembered: something may be written below it.
  bool MattersLocked(const Branch& hider) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // The entry of a listed directory, hidden names included; null when there is none.
  Dentry* Find(const Inode* dir, absl::string_view name) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // The object shown under the name: ENOENT for none and for hidden ones, ENAMETOOLONG.
  ErrnoOr<Dentry*> FindShown(const Inode* dir, const std::string& name) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // The Inode of a shown name, made when it is not known yet. Does not count a lookup.
  ErrnoOr<Inode*> Bind(Dentry* dentry, struct stat* st) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Where what it says is of no interest: one that is known is not asked.
  ErrnoOr<Inode*> Bind(Dentry* dentry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Of one that is not known yet, whose object is at `where` and says `st`. `made`: the union has just made it.
  ErrnoOr<Inode*> BindFoundLocked(Dentry* dentry, const Location& where, bool made, struct stat* st)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void BindTo(Dentry* dentry, Inode* inode) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Unbind(Dentry* dentry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void FreeIfUnused(Inode* inode) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void CountKnown(int64_t change) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  ErrnoOr<struct stat> AttrLocked(Inode* inode) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // What stat says of the object itself, as the union shows it.
  Errno PresentLocked(Inode* inode, struct stat* st) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  ErrnoOr<Entry> EntryLocked(Dentry* dentry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Listing changes that follow changes on disk.
  Dentry* AddDentry(Inode* dir, std::string name) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void ShowDentry(Dentry* dentry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void HideDentry(Dentry* dentry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Nothing is shown under the name any more; a whiteout was put in the branch `hider`, or none was needed.
  void DropDentry(Dentry* dentry, BranchId hider) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // The branch that a non-directory's object is in; null when that is read-only.
  WritableBranch* HomeOf(const Inode* inode) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return branches_.writable(inode->home);
  }
  bool IsLast(const Branch& branch) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return branches_.IsLast(branch.id()); }

  // -- layers_below.cc
  LayerDirRef ChildLayer(const LayerDirRef& in, const std::string& name) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  LayerDirRef StartBelow(const Trail& trail) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // What a directory says of the layers below it. It is `rest` names before the end of the trail's path.
  Errno ReadMarksLocked(LayerDir* dir, size_t rest, bool more_by_name, Trail* trail) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  ErrnoOr<Below> NextBelowLocked(Trail* trail) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Of a directory. EIO when a layer holds marks that make no sense.
  ErrnoOr<LayerStack> StackOf(const Dentry& dentry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // The names that lead to a directory from the roots of the layers below `branch`.
  std::vector<std::string> NamesBelow(const Inode* dir, BranchId branch) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Errno WriteRedirectLocked(const std::vector<std::string>& names, const Location& where)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // So that a directory keeps its lower part when its topmost layer gets another name. EXDEV when that cannot be
  // written.
  Errno RedirectDirLocked(Dentry* dentry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Finds out whose inode number an object of a writable branch has.
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
  // Afterwards a file of a writable branch has its contents there, or as much of them as the limit says.
  Errno FetchContentsLocked(Inode* inode, off_t size_limit) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // The file `fd` has its contents now. What counts is the first of the marks.
  Errno RemoveMetacopyMarks(const Branch& branch, int fd) const;
  // So that a metadata-only copy keeps its contents when it gets another name.
  Errno RedirectFileLocked(Inode* inode) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  // -- hard_links.cc
  // The known inode that a name leads to by hard links, if any; null otherwise, and then `links` is what a new inode is
  // to know of its other names, if it can have any, and `home` the branch of its object.
  ErrnoOr<Inode*> FindLinkedLocked(const Dentry& dentry, const Location& where, const struct stat& st,
                                   std::unique_ptr<LowerLinks>* links, BranchId* home)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void EnterLinksLocked(Inode* inode, std::unique_ptr<LowerLinks> links) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void LeaveLinksLocked(Inode* inode) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // What a copy must carry to be in the index.
  Errno MarkForIndexLocked(const WritableBranch& to, Inode* inode, const struct stat& st, const char* temp,
                           bool contents) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Errno PublishInIndexLocked(WritableBranch& to, Inode* inode, const std::string& temp)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Afterwards a name of an indexed object is in the object's branch too.
  Errno LinkUpLocked(Dentry* dentry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Whether the object is gone with the one name of it that is about to go.
  ErrnoOr<bool> IsLastNameLocked(Inode* inode) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // After a name went that was, or was not, in the object's branch.
  Errno DropLinkLocked(Inode* inode, bool at_home, bool last) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  // -- lazy_copy.cc
  // Whether the contents are written while they are copied in the background. False: they are to be copied at once, or
  // are there.
  ErrnoOr<bool> StartLazyCopyLocked(Inode* inode, off_t size_limit) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Errno WritePartial(const Branch& branch, int fd, off_t floor) const;
  // True when all of it is copied, and durable.
  ErrnoOr<bool> CopySome(LazyFile* file) const;
  Errno TruncateLazily(NodeId node, LazyFile* file, off_t size);
  // Copies what is missing now. The lock is released meanwhile.
  Errno CopyRestLocked(Inode* inode) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Errno FinishLazyCopyLocked(Inode* inode, LazyFile* file) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void CopyInBackground();
  // Whether there is more to be copied afterwards. The lock is released meanwhile.
  bool CopyMoreLocked(Inode* inode) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void EndBackground();

  // -- placing.cc
  bool several() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return branches_.writables().size() > 1; }
  // Branches in the order in which they are to be tried.
  using Places = std::vector<BranchId>;
  // Whether the directory is in the branch, or can be made there and would be seen.
  bool Takes(const Inode* dir, BranchId branch) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Whether an object can be called so in the branch: where whiteouts are names, they are no names of objects.
  bool MayHold(BranchId branch, absl::string_view name) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Whether an object that is put into the branch under that name would be what the union shows.
  bool WouldShow(const Dentry* dentry, BranchId branch) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // For an object that is to get a name that shows nothing yet, or none ("").
  Places PlacesForNewLocked(Inode* dir, const std::string& name) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // For a copy of an object of `source`, or a whiteout over it, called `name` in `dir`.
  Places PlacesAboveLocked(const Inode* dir, const std::string& name, BranchId source)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Places PlacesForCopyLocked(const Inode* inode) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Runs `attempt(WritableBranch&)` in one after the other until one is not full. EROFS without any.
  template <typename Attempt>
  Errno InFirstWithRoom(const Places& places, const Attempt& attempt) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // The union shows the times of the directory's topmost layer, whichever was changed.
  void TouchTopLocked(Inode* dir, BranchId changed) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  // -- copy_up.cc
  // After these the object is in a writable branch. Contents may be copied without the lock, so whatever the caller
  // knew of other objects must be looked at again. EROFS without a branch that can take it.
  // With what can be changed without its contents: a directory, a file's attributes.
  Errno CopyUpLocked(Inode* inode) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // A file, with the mode and the times that `change` sets instead of its own; the rest of it does not count. False
  // when it was copied up before, and nothing is changed.
  ErrnoOr<bool> CopyUpChangedLocked(Inode* inode, const AttrChange& change) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // With its contents, or as much of them as the limit says.
  Errno CopyUpContentsLocked(Inode* inode, off_t size_limit) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Afterwards the directory, and those above it, are in that branch, which Takes() it.
  Errno MakeDirInLocked(WritableBranch& to, Inode* dir) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // The directory's layer in that branch, made when it is not there.
  ErrnoOr<FdRef> DirFdIn(WritableBranch& to, Inode* dir) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Errno CopyFileToLocked(WritableBranch& to, Inode* inode, bool contents, off_t size_limit,
                         const AttrChange& change = {}) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Makes what is to be a copy of `st`, empty, in the work directory.
  ErrnoOr<UniqueFd> MakeTempLocked(WritableBranch& to, const std::string& temp, const Location& from,
                                   const struct stat& st) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Writes what the copy needs to keep the number of `st`, in the copy and in the directory that it will be in.
  Errno KeepInoLocked(WritableBranch& to, Inode* inode, const Location& from, const struct stat& st, const char* temp)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Of a file that is in a read-only branch.
  LowerData PlaceOfLowerLocked(const Inode* inode, const struct stat& st) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Whether nobody changes what is in the branch.
  bool StaysAsItIs(const Branch& branch) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Errno MarkImpureLocked(WritableBranch& branch, Inode* dir) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Copies `size` bytes of a file's contents and makes them durable. The lock is released meanwhile, and `copying` set.
  Errno CopyContentsLocked(Inode* inode, int from, int to, off_t size) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Makes a change in a writable directory, by `change(dirfd)`, that the union does not show: nor do its times.
  template <typename Change>
  Errno KeepingTimesLocked(LayerDir* dir, const Change& change) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Errno CopyUpOneDirLocked(WritableBranch& to, Inode* dir) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // `data`: the fd of the copied contents; null for a metadata-only copy.
  Errno PublishCopyLocked(WritableBranch& to, Inode* inode, const std::string& temp, UniqueFd* data)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Of `inode`, as `st` says.
  Errno CopyMetadata(WritableBranch& to, const Location& from, const struct stat& st, const char* temp,
                     const Inode* inode) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Errno CopyOwner(WritableBranch& to, const struct stat& st, const char* temp) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Errno CopyXattrs(const WritableBranch& to, const Location& from, const char* temp);

  // -- moving.cc
  // Moves a file of the full branch `from` to another one that has room, unless somebody has. `full`, the error that
  // was met, when none has.
  Errno MoveToRoomLocked(Inode* inode, BranchId from, Errno full) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // A copy `temp` of the work directory in `to` takes the place of the file in `from`.
  Errno ReplaceInBranchLocked(WritableBranch& from, WritableBranch& to, const std::string& temp, Dentry* dentry)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Whether no layer from the file's own down to that branch holds anything under its name: there it would be seen.
  bool IsFreeBelowLocked(const Dentry& dentry, BranchId branch) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // EXDEV for a file with several names.
  Errno MoveFileLocked(WritableBranch& to, Inode* inode) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Waits until nobody changes the contents. Who holds the lock afterwards keeps it until `copying` is set.
  void DrainChangesLocked(Inode* inode) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Copies what the union shows of the contents. The lock is released meanwhile.
  Errno CopyShownLocked(Inode* inode, int to, off_t size) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Places PlacesForMoveLocked(const Inode* inode, uint64_t bytes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  // -- ops_attr.cc
  Errno Resize(NodeId node, const AttrChange& change);

  // -- ops_flags.cc
  ErrnoOr<UniqueFd> OpenForFlagsLocked(const Inode* inode, const Location& where) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  unsigned ReadProtectionLocked(const Location& where) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Of an object of a writable branch. EPERM where that has no xattrs.
  Errno WriteProtectionLocked(Inode* inode, const Location& where, unsigned flags) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // To a copy, of the flags that it keeps (ovl_copy_fileattr()).
  Errno CarryFlags(const WritableBranch& to, const Location& from, const struct stat& st, const char* temp,
                   const Inode* inode) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
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
  // Makes an object called `name` in the directory, in the first of `places` that has room, by `make(branch, dirfd,
  // name, umask)`, over a whiteout or not, and enters it. `heir`: who makes it, where it takes over what the directory
  // hands down; null for another name of an object.
  template <typename Make>
  ErrnoOr<Dentry*> CreateLocked(Inode* dir, const std::string& name, bool is_dir, const Caller* heir, const Make& make)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  template <typename Make>
  Errno CreateInLocked(WritableBranch& branch, Inode* dir, const std::string& name, bool is_dir, const Caller* heir,
                       const Make& make) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Over a whiteout of that branch.
  template <typename Make>
  Errno CreateOverWhiteoutLocked(WritableBranch& branch, int dirfd, const char* name, bool is_dir, const Caller* heir,
                                 const std::string& acl, const Make& make) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Makes it as `temp` of the work directory, by way of a directory that hands the ACL down as the filesystem does.
  template <typename Make>
  Errno MakeUnderAclLocked(WritableBranch& branch, const std::string& acl, const std::string& temp, const Make& make)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // The default ACL of a writable layer's directory, as stored; "" where there is none or the filesystem has no ACLs.
  std::string DefaultAclLocked(LayerDir* dir, int dirfd) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // The name now leads to an object in `place` that was made there.
  Dentry* CreatedLocked(Inode* dir, const std::string& name, BranchId place) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  ErrnoOr<Entry> EnterLocked(Dentry* dentry, mode_t type) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  // -- ops_remove.cc
  // Keeps hold of an object that is about to lose its last name.
  Errno KeepOrphanLocked(Dentry* dentry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void HoldByFdLocked(Inode* inode, FdRef fd) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Lets go of what KeepOrphanLocked kept.
  void ReleaseOrphanLocked(Inode* inode) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void ForgetNameLocked(Dentry* dentry, BranchId hider) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Errno CheckEmptyLocked(Inode* dir) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Hides a name of a read-only branch by a whiteout in a branch above it, which is returned.
  ErrnoOr<BranchId> HideLowerLocked(const Dentry& dentry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Errno RemoveOwnDirLocked(WritableBranch& branch, Dentry* dentry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Puts a whiteout where the branch holds a non-directory.
  Errno ReplaceByWhiteoutLocked(WritableBranch& branch, int dirfd, const char* name) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  // -- ops_rename.cc
  // What PlanRename is to know of a name when the rename is done in that branch.
  RenameSide SideOf(const Dentry* dentry, BranchId branch) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // The branch in which both names can change at once. EXDEV without one.
  ErrnoOr<WritableBranch*> PlaceForRename(const Dentry* source, const Inode* new_dir, const std::string& new_name,
                                          bool exchange) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Copies the object to the branch, if it is not there.
  Errno BringToLocked(WritableBranch& branch, Dentry* dentry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Errno ExecuteRenameLocked(WritableBranch& branch, const RenamePlan& plan, Dentry* source, Inode* new_dir,
                            Dentry* target, const std::string& new_name) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // What was replaced in a writable branch below is hidden: it goes, so that neither its space nor its link stays.
  void RemoveHiddenLocked(const WritableBranch& branch, const Dentry& target) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Enters in memory what the rename did on disk.
  void TransferLocked(const WritableBranch& branch, Dentry* source, Inode* new_dir, Dentry* target,
                      const std::string& new_name, bool whiteout_at_source) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void SwapLocked(const WritableBranch& branch, Dentry* a, Dentry* b) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void MoveLayerDirLocked(Inode* inode, const Dentry& dentry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // What the object must carry so that lower layers still have their part in it under another name.
  Errno KeepLowerPartLocked(WritableBranch& branch, Dentry* dentry, bool redirect, Inode* new_dir)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Errno ClearForReplacementLocked(WritableBranch& branch, Dentry* dentry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Errno MakeOpaqueLocked(WritableBranch& branch, Dentry* dentry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Errno MoveNameLocked(WritableBranch& branch, int old_fd, const char* old_name, int new_fd, const char* new_name,
                       bool leave_whiteout, bool is_dir) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  // -- relist.cc
  // What the directory's layers hold under a name now.
  ErrnoOr<MergedEntry> ReadNameLocked(const Directory& dir, const std::string& name) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void ApplyLocked(const Directory& dir, const MergedEntry& entry, Dentry* dentry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // After a change of what a branch holds under the name: `below` and `end` by what is there.
  void RefreshLocked(Dentry* dentry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool IsSameLocked(const Directory& dir, const MergedEntry& entry, const Dentry& dentry) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // The name shows nothing any more, by no doing of the union's. Who uses the object keeps it as far as that is there.
  void LoseNameLocked(Dentry* dentry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Makes a name of a listed directory what the layers say. Whether another object is shown than before.
  bool ReconcileLocked(Inode* dir, MergedEntry entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // All names of it. To `notes`, which may be null, goes here and below what the kernel knows otherwise.
  Errno RelistLocked(Inode* dir, std::vector<KernelNote>* notes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Finds the layers of a known directory anew. Whether they are in other branches than before.
  bool RestackDirLocked(Dentry* dentry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // All that is known in a directory whose layers are found.
  void RestackBelowLocked(Inode* top, std::vector<KernelNote>* notes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // A name, with what it leads to.
  Errno ReexamineLocked(Inode* dir, const std::string& name, std::vector<KernelNote>* notes)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // All that is known, after a change of the branches.
  void RestackLocked(std::vector<KernelNote>* notes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  // -- watching.cc
  void EndWatching();
  void Watch(const TellKernel& tell);
  // A directory's layers, before they are read.
  void WatchLocked(Inode* dir) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void UnwatchLocked(Inode* dir) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void NoticeLocked(const DirWatch::Event& event, std::vector<KernelNote>* notes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  // -- whence.cc
  ErrnoOr<std::vector<Finding>> FindingsLocked(const Directory& parent, const std::string& name, const Dentry* shown)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  // -- rearrange.cc
  // Whether a known object would be lost with a branch. `dirs`: directories count, too.
  bool IsLostLocked(const Inode* inode, BranchId branch, bool dirs) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // A path of the union that would be lost; empty when none would. To `notes` go all such names, the deepest first.
  std::string InUseLocked(BranchId branch, bool dirs, std::vector<KernelNote>* notes)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  std::string PathOf(const Inode* inode) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  ErrnoOr<BranchSet::Member> MakeMember(NewBranch added) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  // -- locate.cc
  ErrnoOr<FdRef> DirFd(LayerDir* dir) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // The first of `path`, whose last is below `ancestor` or, without one, the root: in one call, through symlinks never.
  ErrnoOr<UniqueFd> OpenFarBelow(const FdRef& ancestor, const std::vector<LayerDir*>& path)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  ErrnoOr<Location> Locate(const Dentry& dentry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  ErrnoOr<Location> Locate(const Inode* inode) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  // -- ops_data.cc
  ErrnoOr<FdRef> DataFdLocked(Inode* inode, bool write) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Keeps an fd for the contents.
  FdRef KeepDataFdLocked(Inode* inode, UniqueFd fd, bool writable) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // An fd to read contents from, and how much of what it leads to counts.
  struct Source {
    FdRef fd;
    off_t end = std::numeric_limits<off_t>::max();
    bool in_memory = false;          // in_memory.h
    std::shared_ptr<LazyFile> lazy;  // then it is read through this alone
    size_t Clamp(size_t size, off_t offset) const {
      return offset >= end ? 0 : std::min(size, static_cast<size_t>(end - offset));
    }
  };
  // EBUSY when it would have to wait for a copy, and may not.
  ErrnoOr<Source> SourceOf(NodeId node, bool may_wait = true);
  // What to write contents to. The file is copied up when it is not; all of it when it is to be `whole`.
  struct Target {
    const Branch* branch = nullptr;
    FdRef fd;
    std::shared_ptr<LazyFile> lazy;  // then it is written through this, and `fd` is null
    // While it lives the file stays where it is: a change of the contents that a move has copied already would be lost.
    struct EndChange {
      UnionFs* fs;
      void operator()(Inode* inode) const;
    };
    std::unique_ptr<Inode, EndChange> changing;
    int raw() const { return lazy != nullptr ? lazy->upper_fd() : fd->get(); }
  };
  ErrnoOr<Target> TargetOf(NodeId node, off_t size_limit, bool whole);
  // Runs `change(target)`, again in a branch with room when the file's own is full.
  template <typename Change>
  Errno ChangeContents(NodeId node, off_t size_limit, bool whole, const Change& change);
  // Runs `open` again with fewer cached fds when the process has run out of them.
  template <typename Open>
  auto WithSpareFds(const Open& open) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  // -- ops_open.cc: null where the file may change, or must not be written without being asked.
  ErrnoOr<FdRef> LowerToPassLocked(Inode* inode) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  ErrnoOr<FdRef> UpperToPassLocked(Inode* inode, bool write) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  // -- own_mountpoint.cc
  // Holds the directory that the mount will cover, before it does.
  Errno HoldOwnMountpoint();
  // Where it lies in a branch, as BranchSet::Member has it.
  ErrnoOr<std::vector<std::string>> OwnMountpointIn(const Branch& branch) const;
  // Whether `name` in `dir` is the directory that our own mount covers. Nothing may look at it by name: the kernel
  // would ask us, who are waiting for the answer.
  bool IsOwnMountpoint(const LayerDir& dir, absl::string_view name) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  // Fixed after construction.
  const Options options_;
  const Identity identity_;
  const OverlayXattr xattrs_;
  Stats* const stats_;
  FdRef own_mountpoint_;   // the directory that the mount covers
  const size_t fd_share_;  // for each cache of fds, and for orphans
  const size_t max_lazy_;

  Mutex mu_;
  BranchSet branches_ ABSL_GUARDED_BY(mu_);
  CondVar copied_ ABSL_GUARDED_BY(mu_);
  FdCache dir_fds_ ABSL_GUARDED_BY(mu_);
  FdCache data_fds_ ABSL_GUARDED_BY(mu_);
  std::unique_ptr<Inode> root_;
  std::vector<std::unique_ptr<Branch>> retired_ ABSL_GUARDED_BY(mu_);        // fds in use may still be theirs
  absl::flat_hash_map<LowerKey, Inode*> lower_linked_ ABSL_GUARDED_BY(mu_);  // of read-only branches
  // Inodes in use that have no name in any listed directory.
  absl::flat_hash_set<Inode*> orphans_ ABSL_GUARDED_BY(mu_);
  size_t orphan_fds_ ABSL_GUARDED_BY(mu_) = 0;
  size_t created_ ABSL_GUARDED_BY(mu_) = 0;  // new objects, for the policy that goes round
  // Files that are copied in the background, the one at work first.
  std::deque<Inode*> lazy_ ABSL_GUARDED_BY(mu_);
  CondVar lazy_work_ ABSL_GUARDED_BY(mu_);
  bool ending_ ABSL_GUARDED_BY(mu_) = false;
  std::thread copier_;
  std::unique_ptr<DirWatch> watch_;  // null: nothing is watched
  std::thread watcher_;
  absl::flat_hash_map<int, Inode*> watched_ ABSL_GUARDED_BY(mu_);
  bool blind_ ABSL_GUARDED_BY(mu_) = false;  // some directory could not be watched
  int64_t known_ ABSL_GUARDED_BY(mu_) = 0;
  int64_t most_known_ ABSL_GUARDED_BY(mu_) = 0;  // since memory was last given back
};

}  // namespace acetate::fusefs
