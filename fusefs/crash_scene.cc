#include "fusefs/crash_scene.h"

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "common/syscalls.h"
#include "fusefs/layer_check.h"
#include "fusefs/name_sink.h"

namespace acetate::fusefs {
namespace {

std::atomic<int> g_reached = 0;
std::atomic<int> g_deadly = 0;  // 0: none

// Everything in the layers is older than this.
constexpr time_t kLongAgo = 1000000000;

// A branch that reports every change before it is made.
class FaultyBranch : public DirectoryBranch {
 public:
  using DirectoryBranch::DirectoryBranch;

  ErrnoOr<UniqueFd> Open(int dirfd, const char* name, int flags, mode_t mode) const override {
    if ((flags & (O_CREAT | O_TRUNC)) != 0 || (flags & O_TMPFILE) == O_TMPFILE) FaultPoint::Reach();
    return DirectoryBranch::Open(dirfd, name, flags, mode);
  }
  Errno MkNod(int dirfd, const char* name, mode_t mode, dev_t device) const override {
    FaultPoint::Reach();
    return DirectoryBranch::MkNod(dirfd, name, mode, device);
  }
  Errno MkDir(int dirfd, const char* name, mode_t mode) const override {
    FaultPoint::Reach();
    return DirectoryBranch::MkDir(dirfd, name, mode);
  }
  Errno SymLink(const char* target, int dirfd, const char* name) const override {
    FaultPoint::Reach();
    return DirectoryBranch::SymLink(target, dirfd, name);
  }
  Errno Link(int old_dirfd, const char* old_name, int new_dirfd, const char* new_name) const override {
    FaultPoint::Reach();
    return DirectoryBranch::Link(old_dirfd, old_name, new_dirfd, new_name);
  }
  Errno Rename(int old_dirfd, const char* old_name, int new_dirfd, const char* new_name,
               unsigned flags) const override {
    FaultPoint::Reach();
    return DirectoryBranch::Rename(old_dirfd, old_name, new_dirfd, new_name, flags);
  }
  Errno Unlink(int dirfd, const char* name) const override {
    FaultPoint::Reach();
    return DirectoryBranch::Unlink(dirfd, name);
  }
  Errno RmDir(int dirfd, const char* name) const override {
    FaultPoint::Reach();
    return DirectoryBranch::RmDir(dirfd, name);
  }
  Errno Chmod(int dirfd, const char* name, mode_t mode) const override {
    FaultPoint::Reach();
    return DirectoryBranch::Chmod(dirfd, name, mode);
  }
  Errno Chown(int dirfd, const char* name, uid_t uid, gid_t gid) const override {
    FaultPoint::Reach();
    return DirectoryBranch::Chown(dirfd, name, uid, gid);
  }
  Errno SetTimes(int dirfd, const char* name, const struct timespec times[2]) const override {
    FaultPoint::Reach();
    return DirectoryBranch::SetTimes(dirfd, name, times);
  }
  Errno SetXattr(int dirfd, const char* name, const char* key, const void* value, size_t size,
                 int flags) const override {
    FaultPoint::Reach();
    return DirectoryBranch::SetXattr(dirfd, name, key, value, size, flags);
  }
  Errno RemoveXattr(int dirfd, const char* name, const char* key) const override {
    FaultPoint::Reach();
    return DirectoryBranch::RemoveXattr(dirfd, name, key);
  }
};

BranchSpec Spec(const std::string& path, BranchMode mode) {
  BranchSpec spec;
  spec.path = path;
  spec.mode = mode;
  return spec;
}

UniqueFd OpenDir(const std::string& path) { return *sys::OpenAt(AT_FDCWD, path.c_str(), O_RDONLY | O_DIRECTORY); }

}  // namespace

void FaultPoint::Arm(int nth) {
  g_reached = 0;
  g_deadly = nth;
}

void FaultPoint::Reach() {
  if (++g_reached == g_deadly) _exit(kDied);
}

std::unique_ptr<Branch> MakeFaultyBranch(const BranchSpec& spec, BranchId id, UniqueFd dir) {
  return std::make_unique<FaultyBranch>(spec, id, std::move(dir));
}

CrashUnion::CrashUnion(const LayerScene& scene, const Options& options) {
  std::vector<UnionFs::NewBranch> branches;
  branches.push_back(
      {std::make_unique<FaultyBranch>(Spec(scene / "upper", BranchMode::kReadWrite), 0, OpenDir(scene / "upper")),
       OpenDir(scene / "work")});
  for (const char* name : {"lower", "bottom"}) {
    branches.push_back(
        {std::make_unique<DirectoryBranch>(Spec(scene / name, BranchMode::kReadOnly),
                                           static_cast<BranchId>(branches.size()), OpenDir(scene / name)),
         UniqueFd()});
  }
  ErrnoOr<std::unique_ptr<UnionFs>> fs = UnionFs::Create(options, std::move(branches), Identity::OfProcess(), &stats_);
  if (fs.ok()) fs_ = *std::move(fs);
}

NodeId CrashUnion::Node(const std::string& path) {
  NodeId node = kRootId;
  for (absl::string_view name : absl::StrSplit(path, '/', absl::SkipEmpty())) {
    ErrnoOr<Entry> entry = fs_->Lookup(node, std::string(name));
    if (!entry.ok()) {
      fprintf(stderr, "no %s in the union: errno %d\n", path.c_str(), entry.error().value());
      _exit(1);
    }
    node = entry->node;
  }
  return node;
}

std::string CrashUnion::Tree(bool times, bool links) {
  std::string tree;
  std::map<ino_t, std::string> first_name;
  std::vector<std::string> pending = {""};
  while (!pending.empty()) {
    const std::string dir = pending.back();
    pending.pop_back();
    const NodeId node = Node(dir);
    NameSink sink;
    if (Errno error = fs_->ReadDir(node, 0, false, &sink); !error.ok()) {
      absl::StrAppend(&tree, dir, "/: errno ", error.value(), "\n");
    }
    std::sort(sink.names.begin(), sink.names.end());
    for (const std::string& name : sink.names) {
      const std::string path = dir.empty() ? name : absl::StrCat(dir, "/", name);
      ErrnoOr<Entry> entry = fs_->Lookup(node, name);
      if (!entry.ok()) {
        absl::StrAppend(&tree, path, ": errno ", entry.error().value(), "\n");
        continue;
      }
      const auto [first, is_first] = first_name.emplace(entry->attr.st_ino, path);
      absl::StrAppend(&tree, path, is_first ? "" : absl::StrCat(" = ", first->second), ": ",
                      Describe(*entry, times, links), "\n");
      if (S_ISDIR(entry->attr.st_mode)) pending.push_back(path);
    }
  }
  return tree;
}

std::string CrashUnion::Describe(const Entry& entry, bool times, bool links) {
  const struct stat& st = entry.attr;
  std::string text = absl::StrFormat("%o %d:%d", st.st_mode, st.st_uid, st.st_gid);
  if (!S_ISDIR(st.st_mode)) {
    if (links) absl::StrAppendFormat(&text, " links=%d", st.st_nlink);
    const bool old = st.st_mtim.tv_sec <= kLongAgo;
    if (times) absl::StrAppend(&text, " time=", old ? absl::StrCat(st.st_mtim.tv_sec, ".", st.st_mtim.tv_nsec) : "now");
  }
  if (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode)) absl::StrAppendFormat(&text, " rdev=%d", st.st_rdev);
  if (S_ISLNK(st.st_mode)) {
    ErrnoOr<std::string> target = fs_->ReadLink(entry.node);
    absl::StrAppend(&text, " -> ", target.ok() ? *target : "?");
  }
  if (S_ISREG(st.st_mode)) {
    std::string contents(static_cast<size_t>(st.st_size), '\0');
    ErrnoOr<size_t> size = fs_->Read(entry.node, contents.data(), contents.size(), 0);
    contents.resize(size.ok() ? *size : 0);
    absl::StrAppend(&text, " size=", st.st_size, size.ok() ? "" : " unreadable");
    absl::StrAppend(&text, contents.size() > 100 ? absl::StrCat(" hash=", std::hash<std::string>()(contents))
                                                 : absl::StrCat(" '", contents, "'"));
  }
  ErrnoOr<std::string> list = fs_->ListXattr(entry.node, Caller());
  std::map<std::string, std::string> xattrs;
  if (list.ok()) {
    for (absl::string_view key : absl::StrSplit(*list, '\0', absl::SkipEmpty())) {
      ErrnoOr<std::string> value = fs_->GetXattr(entry.node, std::string(key), 1024);
      xattrs[std::string(key)] = value.ok() ? *value : "?";
    }
  }
  for (const auto& [key, value] : xattrs) absl::StrAppend(&text, " ", key, "=", absl::CHexEscape(value));
  return text;
}

void OnTmpfs::SetUp() {
  auto dir = std::make_unique<TempDir>();
  if (unshare(CLONE_NEWNS) != 0 || mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
      mount("tmpfs", dir->path().c_str(), "tmpfs", 0, nullptr) != 0) {
    return;
  }
  // Before Linux 6.6 it has no user. xattrs.
  if (setxattr(dir->path().c_str(), "user.try", "", 0, 0) != 0) {
    umount(dir->path().c_str());
    return;
  }
  setenv("TEST_TMPDIR", dir->path().c_str(), 1);
  dir_ = std::move(dir);
}

void OnTmpfs::TearDown() {
  if (dir_ != nullptr) umount(dir_->path().c_str());
}

void BuildLayers(LayerScene* scene) {
  // Only in the lowers.
  scene->Put("lower/file", "lower file");
  scene->Put("lower/victim", "another");
  scene->Put("lower/big", std::string(20000, 'b') + std::string(5000, '\0') + "end");
  scene->PutSymlink("target", "lower/symlink");
  mkfifo((*scene / "lower/fifo").c_str(), 0640);
  scene->Put("lower/dir/child", "child");
  scene->Put("lower/dir/sub/grandchild", "grandchild");
  scene->Put("bottom/dir/deep", "deep");
  scene->PutDir("lower/empty");
  scene->Put("lower/link1", "linked");
  scene->PutLink("lower/link1", "lower/link2");
  // Only in the upper.
  scene->Put("upper/own", "own");
  scene->Put("upper/own2", "own2");
  scene->Put("upper/owndir/inside", "inside");
  scene->PutDir("upper/ownempty");
  scene->Put("upper/ownlink1", "own linked");
  scene->PutLink("upper/ownlink1", "upper/ownlink2");
  scene->PutDir("upper/setgid");
  // In both.
  scene->Put("lower/over", "below");
  scene->Put("upper/over", "above");
  scene->Put("lower/merged/f1", "f1");
  scene->Put("upper/merged/f2", "f2");
  scene->Put("lower/opaque/hidden", "hidden");
  scene->Put("upper/opaque/shown", "shown");
  scene->Mark("upper/opaque", "opaque", "y");
  scene->Put("lower/meta", "contents below");
  scene->PutMetacopy("meta");
  scene->Put("lower/was/sub/below", "below");
  scene->Put("upper/moved/above", "above");
  scene->Mark("upper/moved", "redirect", "was");
  scene->PutWhiteout("upper/was");
  // Whiteouts.
  scene->Put("lower/gone", "gone");
  scene->PutWhiteout("upper/gone");
  scene->Put("lower/gonedir/child", "child");
  scene->PutWhiteout("upper/gonedir");
  scene->Put("lower/emptied/a", "a");
  scene->PutWhiteout("upper/emptied/a");
  scene->Put("lower/setgid/gone", "gone");
  scene->PutWhiteout("upper/setgid/gone");
  scene->Put("lower/acl/gone", "gone");
  scene->PutWhiteout("upper/acl/gone");

  // Attributes to be carried along, and times to be kept.
  for (const char* path : {"lower/file", "lower/dir", "lower/link1", "upper/own", "lower/merged"}) {
    lsetxattr((*scene / path).c_str(), "user.note", path, 5, 0);
    scene->SetMode(path, 0750);
    scene->SetOwner(path, 1000, 1001);
  }
  scene->SetMode("lower/victim", 04711);
  scene->SetOwner("upper/setgid", 0, 1001);
  scene->SetMode("upper/setgid", 02775);
  // rwx for the owner, rw for user 1000, r for the group, rwx as the mask, nothing for others.
  static const unsigned char kAcl[] = {2, 0,    0,    0,    1,    0,    7,  0, 0xff, 0xff, 0xff, 0xff, 2,    0,   6,
                                       0, 0xe8, 3,    0,    0,    4,    0,  4, 0,    0xff, 0xff, 0xff, 0xff, 16,  0,
                                       7, 0,    0xff, 0xff, 0xff, 0xff, 32, 0, 0,    0,    0xff, 0xff, 0xff, 0xff};
  setxattr((*scene / "upper/acl").c_str(), "system.posix_acl_default", kAcl, sizeof(kAcl), 0);
  const struct timespec times[2] = {{kLongAgo, 1}, {kLongAgo, 2}};
  for (const char* path : {"lower/file",
                           "lower/victim",
                           "lower/big",
                           "lower/symlink",
                           "lower/fifo",
                           "lower/dir/child",
                           "lower/dir/sub/grandchild",
                           "bottom/dir/deep",
                           "lower/link1",
                           "upper/own",
                           "upper/own2",
                           "upper/owndir/inside",
                           "upper/ownlink1",
                           "lower/over",
                           "upper/over",
                           "lower/merged/f1",
                           "upper/merged/f2",
                           "upper/opaque/shown",
                           "upper/meta",
                           "lower/was/sub/below",
                           "upper/moved/above"}) {
    utimensat(AT_FDCWD, (*scene / path).c_str(), times, AT_SYMLINK_NOFOLLOW);
  }
}

std::vector<std::string> CheckScene(const LayerScene& scene) {
  Options options;
  options.xattr_namespace = XattrNamespace::kUser;
  std::vector<UniqueFd> lowers;
  for (const char* name : {"lower", "bottom"}) {
    options.branches.push_back(Spec(scene / name, BranchMode::kReadOnly));
    lowers.push_back(OpenDir(scene / name));
  }
  auto view = LowerView::Make(options, std::move(lowers), nullptr);
  if (!view.ok()) return {std::string(view.status().message())};
  DirectoryBranch upper(Spec(scene / "upper", BranchMode::kReadWrite), 0, OpenDir(scene / "upper"));
  UniqueFd work = OpenDir(scene / "work");
  LayerCheck check;
  check.upper = &upper;
  check.reading.families = MarkFamilies::kUser;
  check.lowers = view->get();
  check.work_fd = work.get();
  ErrnoOr<std::vector<Problem>> problems = CheckLayer(check);
  if (!problems.ok()) return {absl::StrCat("errno ", problems.error().value())};
  std::vector<std::string> lines;
  for (const Problem& problem : *problems) lines.push_back(absl::StrCat(problem.path, ": ", problem.what));
  return lines;
}

}  // namespace acetate::fusefs
