#include "fusefs/union_fs_fixture.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/syscalls.h"

namespace acetate::fusefs {

namespace stdfs = std::filesystem;

Errno FailingBranch::Rename(int old_dirfd, const char* old_name, int new_dirfd, const char* new_name,
                            unsigned flags) const {
  if (Fails("rename")) return Errno(error);
  return DirectoryBranch::Rename(old_dirfd, old_name, new_dirfd, new_name, flags);
}

Errno FailingBranch::Link(int old_dirfd, const char* old_name, int new_dirfd, const char* new_name) const {
  if (Fails("link")) return Errno(error);
  return DirectoryBranch::Link(old_dirfd, old_name, new_dirfd, new_name);
}

Errno FailingBranch::MkNod(int dirfd, const char* name, mode_t mode, dev_t device) const {
  if (Fails("mknod")) return Errno(error);
  return DirectoryBranch::MkNod(dirfd, name, mode, device);
}

Errno FailingBranch::SetTimes(int dirfd, const char* name, const struct timespec times[2]) const {
  if (Fails("utimens")) return Errno(error);
  return DirectoryBranch::SetTimes(dirfd, name, times);
}

Errno FailingBranch::SetXattr(int dirfd, const char* name, const char* key, const void* value, size_t size,
                              int flags) const {
  if (Fails("setxattr")) return Errno(error);
  return DirectoryBranch::SetXattr(dirfd, name, key, value, size, flags);
}

Errno FailingBranch::RemoveXattr(int dirfd, const char* name, const char* key) const {
  if (Fails("removexattr")) return Errno(error);
  return DirectoryBranch::RemoveXattr(dirfd, name, key);
}

UnionFsTest::UnionFsTest() {
  umask(0);
  for (const char* name : {"upper", "work", "lower", "bottom"}) MakeDirs(temp_ / name);
  // Attributes that every user may set, so that the rules do not depend on who runs the test.
  options_.xattr_namespace = XattrNamespace::kUser;
}

void UnionFsTest::Put(const std::string& path, const std::string& contents, mode_t mode) {
  MakeDirs(stdfs::path(temp_ / path).parent_path().string());
  WriteFile(temp_ / path, contents, mode);
}

void UnionFsTest::PutWhiteout(const std::string& path) {
  ASSERT_EQ(mknod((temp_ / path).c_str(), S_IFCHR, makedev(0, 0)), 0) << path;
}

void UnionFsTest::Start(bool writable) {
  std::vector<UnionFs::NewBranch> branches;
  auto add = [&](const std::string& name, BranchMode mode) {
    BranchSpec spec;
    spec.path = temp_ / name;
    spec.mode = mode;
    ErrnoOr<UniqueFd> fd = sys::OpenAt(AT_FDCWD, spec.path.c_str(), O_PATH | O_DIRECTORY);
    auto branch = std::make_unique<FailingBranch>(spec, static_cast<BranchId>(branches.size()), *std::move(fd));
    UniqueFd work;
    if (mode == BranchMode::kReadWrite) {
      upper_branch_ = branch.get();
      work = *sys::OpenAt(AT_FDCWD, (temp_ / "work").c_str(), O_RDONLY | O_DIRECTORY);
    }
    branches.push_back({std::move(branch), std::move(work)});
  };
  if (writable) add("upper", BranchMode::kReadWrite);
  add("lower", BranchMode::kReadOnly);
  add("bottom", BranchMode::kReadOnly);
  auto fs = UnionFs::Create(options_, std::move(branches), Identity::OfProcess(), &stats_);
  ASSERT_TRUE(fs.ok()) << fs.error().value();
  fs_ = *std::move(fs);
}

NodeId UnionFsTest::Node(const std::string& path) {
  NodeId node = kRootId;
  for (absl::string_view name : absl::StrSplit(path, '/', absl::SkipEmpty())) {
    ErrnoOr<Entry> entry = fs_->Lookup(node, std::string(name));
    EXPECT_TRUE(entry.ok()) << path << ": errno " << entry.error().value();
    if (!entry.ok()) return kRootId;
    node = entry->node;
  }
  return node;
}

Errno UnionFsTest::LookupError(const std::string& path) {
  stdfs::path parts(path);
  return fs_->Lookup(Node(parts.parent_path().string()), parts.filename().string()).error();
}

struct stat UnionFsTest::Attr(const std::string& path) {
  ErrnoOr<struct stat> st = fs_->GetAttr(Node(path));
  EXPECT_TRUE(st.ok()) << path;
  struct stat none = {};
  return st.ok() ? *st : none;
}

ErrnoOr<struct stat> UnionFsTest::SetMode(const std::string& path, mode_t mode) {
  AttrChange change;
  change.set_mode = true;
  change.mode = mode;
  return fs_->SetAttr(Node(path), change);
}

ErrnoOr<struct stat> UnionFsTest::SetSize(const std::string& path, off_t size) {
  AttrChange change;
  change.set_size = true;
  change.size = size;
  return fs_->SetAttr(Node(path), change);
}

std::map<std::string, unsigned char> UnionFsTest::List(const std::string& path) {
  class Names : public DirSink {
   public:
    bool Fits(absl::string_view) override { return true; }
    void Add(const std::string& name, uint64_t, uint64_t, mode_t type, const Entry*) override {
      if (name != "." && name != "..") names[name] = IFTODT(type);
    }
    std::map<std::string, unsigned char> names;
  };
  Names sink;
  EXPECT_TRUE(fs_->ReadDir(Node(path), 0, false, &sink).ok());
  return sink.names;
}

std::string UnionFsTest::Contents(const std::string& path) {
  std::string buffer(1 << 20, '\0');
  ErrnoOr<size_t> size = fs_->Read(Node(path), buffer.data(), buffer.size(), 0);
  EXPECT_TRUE(size.ok()) << path << ": errno " << size.error().value();
  buffer.resize(size.ok() ? *size : 0);
  return buffer;
}

void UnionFsTest::WriteTo(const std::string& path, const std::string& data) {
  ErrnoOr<Written> written = fs_->Write(Node(path), data.data(), data.size(), 0);
  ASSERT_TRUE(written.ok()) << path << ": errno " << written.error().value();
  EXPECT_EQ(written->size, data.size());
}

std::vector<std::string> UnionFsTest::Upper() {
  std::vector<std::string> found;
  const std::string root = temp_ / "upper";
  for (const stdfs::directory_entry& entry : stdfs::recursive_directory_iterator(root)) {
    std::string path = entry.path().string().substr(root.size() + 1);
    struct stat st;
    EXPECT_EQ(lstat(entry.path().c_str(), &st), 0);
    if (S_ISDIR(st.st_mode)) {
      path += "/";
    } else if (S_ISCHR(st.st_mode) && st.st_rdev == 0) {
      path += " (whiteout)";
    } else if (S_ISLNK(st.st_mode)) {
      absl::StrAppend(&path, " -> ", stdfs::read_symlink(entry.path()).string());
    }
    found.push_back(path);
  }
  std::sort(found.begin(), found.end());
  return found;
}

bool UnionFsTest::WorkIsClean() {
  for (const stdfs::directory_entry& entry : stdfs::directory_iterator(temp_ / "work/work")) {
    if (entry.path().filename() != "whiteout") return false;
  }
  return true;
}

bool UnionFsTest::IsOpaqueInUpper(const std::string& path) {
  char value = 0;
  return lgetxattr((temp_ / ("upper/" + path)).c_str(), "user.overlay.opaque", &value, 1) == 1 && value == 'y';
}

}  // namespace acetate::fusefs
