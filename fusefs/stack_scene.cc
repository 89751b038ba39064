#include "fusefs/stack_scene.h"

#include <dirent.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/syscalls.h"
#include "fusefs/branch_list.h"

namespace acetate::fusefs {
namespace {

namespace stdfs = std::filesystem;

class TypedNames : public DirSink {
 public:
  bool Fits(absl::string_view) override { return true; }
  void Add(const std::string& name, uint64_t, uint64_t, mode_t type, const Entry*) override {
    if (name != "." && name != "..") names[name] = type;
  }
  std::map<std::string, mode_t> names;
};

std::string Describe(UnionFs& fs, const Entry& entry) {
  const struct stat& st = entry.attr;
  std::string text = absl::StrFormat("%o", st.st_mode);
  if (S_ISREG(st.st_mode)) {
    std::string contents(static_cast<size_t>(st.st_size) + 1, '\0');
    ErrnoOr<size_t> size = fs.Read(entry.node, contents.data(), contents.size(), 0);
    contents.resize(size.ok() ? *size : 0);
    absl::StrAppend(&text, " links ", st.st_nlink, " size ", st.st_size, size.ok() ? " " : " unreadable ",
                    contents.size() > 64 ? absl::StrCat("hash ", std::hash<std::string>()(contents)) : contents);
  } else if (S_ISLNK(st.st_mode)) {
    ErrnoOr<std::string> target = fs.ReadLink(entry.node);
    absl::StrAppend(&text, " to ", target.ok() ? *target : "?");
  }
  return text;
}

void AddTree(UnionFs& fs, NodeId dir, const std::string& path, std::map<std::string, std::string>* tree) {
  TypedNames sink;
  Errno listed = fs.ReadDir(dir, 0, false, &sink);
  if (!listed.ok()) (*tree)[path] = absl::StrCat("cannot be listed: ", listed.value());
  for (const auto& [name, type] : sink.names) {
    const std::string child = absl::StrCat(path, path.empty() ? "" : "/", name);
    ErrnoOr<Entry> entry = fs.Lookup(dir, name);
    if (!entry.ok()) {
      (*tree)[child] = absl::StrCat("cannot be looked up: ", entry.error().value());
      continue;
    }
    (*tree)[child] = Describe(fs, *entry);
    if ((entry->attr.st_mode & S_IFMT) != type) absl::StrAppend(&(*tree)[child], " listed as ", type);
    if (S_ISDIR(entry->attr.st_mode)) AddTree(fs, entry->node, child, tree);
    fs.Forget(entry->node, 1);
  }
}

}  // namespace

StackScene::StackScene(std::vector<std::string> modes) : modes_(std::move(modes)) {
  umask(0);
  options_.xattr_namespace = XattrNamespace::kUser;
  for (size_t i = 0; i < modes_.size(); ++i) {
    MakeDirs(temp_ / absl::StrCat(i));
    MakeDirs(temp_ / absl::StrCat("work", i));
  }
}

void StackScene::Put(const std::string& path, const std::string& contents, mode_t mode) {
  MakeDirs(stdfs::path(temp_ / path).parent_path().string());
  WriteFile(temp_ / path, contents, mode);
}

std::unique_ptr<UnionFs> StackScene::Make(bool writable) {
  std::vector<std::string> list;
  for (size_t i = 0; i < modes_.size(); ++i) list.push_back(absl::StrCat(temp_ / absl::StrCat(i), "=", modes_[i]));
  const std::vector<BranchSpec> specs = *ParseBranches(absl::StrJoin(list, ":"));
  options_.branches = specs;
  std::vector<UnionFs::NewBranch> branches;
  for (size_t i = 0; i < specs.size(); ++i) {
    UniqueFd work;
    if (writable && specs[i].mode == BranchMode::kReadWrite) {
      work = *sys::OpenAt(AT_FDCWD, (temp_ / absl::StrCat("work", i)).c_str(), O_RDONLY | O_DIRECTORY);
    }
    branches.push_back(
        {std::make_unique<DirectoryBranch>(specs[i], static_cast<BranchId>(i),
                                           *sys::OpenAt(AT_FDCWD, specs[i].path.c_str(), O_PATH | O_DIRECTORY)),
         std::move(work)});
  }
  auto fs = UnionFs::Create(options_, std::move(branches), Identity::OfProcess(), &stats_);
  EXPECT_TRUE(fs.ok()) << fs.error().value();
  return fs.ok() ? *std::move(fs) : nullptr;
}

void StackScene::Start() {
  fs_.reset();
  fs_ = Make(/*writable=*/true);
}

std::unique_ptr<UnionFs> StackScene::Reader() { return Make(/*writable=*/false); }

NodeId StackScene::NodeIn(UnionFs& fs, const std::string& path) {
  NodeId node = kRootId;
  for (absl::string_view name : absl::StrSplit(path, '/', absl::SkipEmpty())) {
    ErrnoOr<Entry> entry = fs.Lookup(node, std::string(name));
    if (!entry.ok()) return 0;
    node = entry->node;
  }
  return node;
}

ParentAndName Split(UnionFs& fs, const std::string& path) {
  const stdfs::path parts(path);
  return {StackScene::NodeIn(fs, parts.parent_path().string()), parts.filename().string()};
}

std::string StackScene::Contents(const std::string& path) {
  std::string buffer(1 << 20, '\0');
  const NodeId node = Node(path);
  if (node == 0) return "(nothing)";
  ErrnoOr<size_t> size = fs_->Read(node, buffer.data(), buffer.size(), 0);
  if (!size.ok()) return absl::StrCat("(errno ", size.error().value(), ")");
  buffer.resize(*size);
  return buffer;
}

int StackScene::Write(const std::string& path, const std::string& data, off_t offset) {
  const NodeId node = Node(path);
  return node == 0 ? ENOENT : fs_->Write(node, data.data(), data.size(), offset).error().value();
}

int StackScene::MkDir(const std::string& path) {
  const ParentAndName at = Split(*fs_, path);
  return at.parent == 0 ? ENOENT : fs_->MkDir(at.parent, at.name, 0755, {}).error().value();
}

int StackScene::Create(const std::string& path, const std::string& contents) {
  const ParentAndName at = Split(*fs_, path);
  if (at.parent == 0) return ENOENT;
  ErrnoOr<Entry> made = fs_->MkNod(at.parent, at.name, S_IFREG | 0644, 0, {});
  if (!made.ok() || contents.empty()) return made.error().value();
  return fs_->Write(made->node, contents.data(), contents.size(), 0).error().value();
}

int StackScene::Unlink(const std::string& path) {
  const ParentAndName at = Split(*fs_, path);
  return at.parent == 0 ? ENOENT : fs_->Unlink(at.parent, at.name).value();
}

int StackScene::RmDir(const std::string& path) {
  const ParentAndName at = Split(*fs_, path);
  return at.parent == 0 ? ENOENT : fs_->RmDir(at.parent, at.name).value();
}

int StackScene::Rename(const std::string& from, const std::string& to, unsigned flags) {
  const ParentAndName old_at = Split(*fs_, from);
  const ParentAndName new_at = Split(*fs_, to);
  if (old_at.parent == 0 || new_at.parent == 0) return ENOENT;
  return fs_->Rename(old_at.parent, old_at.name, new_at.parent, new_at.name, flags).value();
}

int StackScene::Chmod(const std::string& path, mode_t mode) {
  const NodeId node = Node(path);
  AttrChange change;
  change.set_mode = true;
  change.mode = mode;
  return node == 0 ? ENOENT : fs_->SetAttr(node, change).error().value();
}

std::map<std::string, std::string> StackScene::Tree(UnionFs& fs) {
  std::map<std::string, std::string> tree;
  AddTree(fs, kRootId, "", &tree);
  return tree;
}

std::vector<std::string> StackScene::Held(int branch) const {
  std::vector<std::string> found;
  const std::string root = temp_ / absl::StrCat(branch);
  for (const stdfs::directory_entry& entry : stdfs::recursive_directory_iterator(root)) {
    std::string path = entry.path().string().substr(root.size() + 1);
    struct stat st;
    EXPECT_EQ(lstat(entry.path().c_str(), &st), 0);
    if (S_ISDIR(st.st_mode)) path += "/";
    if (S_ISCHR(st.st_mode) && st.st_rdev == makedev(0, 0)) path += " (whiteout)";
    found.push_back(path);
  }
  std::sort(found.begin(), found.end());
  return found;
}

bool StackScene::WorkIsClean() const {
  for (size_t i = 0; i < modes_.size(); ++i) {
    const std::string work = temp_ / absl::StrCat("work", i, "/work");
    if (!stdfs::exists(work)) continue;
    for (const stdfs::directory_entry& entry : stdfs::directory_iterator(work)) {
      if (entry.path().filename() != kWhiteoutTemplate) return false;
    }
  }
  return true;
}

}  // namespace acetate::fusefs
