#include "fusefs/layer_scene.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <stdexcept>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/syscalls.h"

namespace acetate::fusefs {
namespace {

void Require(bool done, const std::string& what) {
  if (!done) throw std::runtime_error(absl::StrCat(what, ": errno ", errno));
}

std::string KeyOf(const std::string& mark) {
  const bool whole = absl::StartsWith(mark, "trusted.") || absl::StartsWith(mark, "user.");
  return whole ? mark : absl::StrCat("user.overlay.", mark);
}

std::string Above(const std::string& path) { return path.substr(0, path.rfind('/')); }

}  // namespace

LayerScene::LayerScene() {
  for (const char* dir : {"upper", "work/work", "lower", "bottom"}) MakeDirs(temp_ / dir);
}

void LayerScene::Put(const std::string& path, const std::string& contents) {
  PutDir(Above(path));
  WriteFile(temp_ / path, contents);
}

void LayerScene::PutDir(const std::string& path) { MakeDirs(temp_ / path); }

void LayerScene::PutSymlink(const std::string& target, const std::string& path) {
  PutDir(Above(path));
  Require(symlink(target.c_str(), (temp_ / path).c_str()) == 0, path);
}

void LayerScene::PutWhiteout(const std::string& path) {
  PutDir(Above(path));
  Require(mknod((temp_ / path).c_str(), S_IFCHR, makedev(0, 0)) == 0, path);
}

void LayerScene::PutLink(const std::string& existing, const std::string& path) {
  Require(link((temp_ / existing).c_str(), (temp_ / path).c_str()) == 0, path);
}

void LayerScene::SetOwner(const std::string& path, uid_t uid, gid_t gid) {
  Require(lchown((temp_ / path).c_str(), uid, gid) == 0, path);
}

void LayerScene::SetMode(const std::string& path, mode_t mode) {
  Require(chmod((temp_ / path).c_str(), mode) == 0, path);
}

void LayerScene::Mark(const std::string& path, const std::string& mark, absl::string_view value) {
  Require(lsetxattr((temp_ / path).c_str(), KeyOf(mark).c_str(), value.data(), value.size(), 0) == 0, path);
}

void LayerScene::PutMetacopy(const std::string& name) {
  struct stat st;
  Require(stat((temp_ / ("lower/" + name)).c_str(), &st) == 0, name);
  Put("upper/" + name);
  Require(truncate((temp_ / ("upper/" + name)).c_str(), st.st_size) == 0, name);
  Mark("upper/" + name, "metacopy", "");
}

void LayerScene::PutCopy(const std::string& path, const std::string& contents) {
  const struct timespec times[2] = {{1000000000, 0}, {1000000000, 5}};
  for (const std::string layer : {"upper/", "lower/"}) {
    Put(layer + path, contents);
    Require(utimensat(AT_FDCWD, (temp_ / (layer + path)).c_str(), times, 0) == 0, path);
  }
}

void LayerScene::PutDeep(const std::string& layer, const std::string& leaf, bool whiteout) {
  const std::string name(200, 'd');
  UniqueFd fd = *sys::OpenAt(AT_FDCWD, (temp_ / layer).c_str(), O_PATH | O_DIRECTORY);
  for (int i = 0; i < 60; ++i) {
    Require(mkdirat(fd.get(), name.c_str(), 0755) == 0, layer);
    fd = *sys::OpenAt(fd.get(), name.c_str(), O_PATH | O_DIRECTORY);
  }
  const mode_t mode = whiteout ? S_IFCHR : S_IFREG | 0644;
  Require(mknodat(fd.get(), leaf.c_str(), mode, makedev(0, 0)) == 0, leaf);
}

bool LayerScene::Exists(const std::string& path) const {
  struct stat st;
  return lstat((temp_ / path).c_str(), &st) == 0;
}

bool LayerScene::IsWhiteout(const std::string& path) const {
  struct stat st;
  return lstat((temp_ / path).c_str(), &st) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == makedev(0, 0);
}

std::string LayerScene::MarkOf(const std::string& path, const std::string& mark) const {
  char value[256];
  const ssize_t size = lgetxattr((temp_ / path).c_str(), KeyOf(mark).c_str(), value, sizeof(value));
  return size < 0 ? "(none)" : std::string(value, static_cast<size_t>(size));
}

}  // namespace acetate::fusefs
