#include "tests/differential/mounted_stack.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <functional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/temp_dir.h"
#include "common/unique_fd.h"

namespace acetate::differential {
namespace {

std::string ContentsText(const std::string& path, off_t size) {
  const UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return absl::StrCat("cannot be opened: ", strerror(errno));
  std::string contents(static_cast<size_t>(size) + 1, '\0');
  size_t done = 0;
  while (done < contents.size()) {
    const ssize_t got = pread(fd.get(), &contents[done], contents.size() - done, static_cast<off_t>(done));
    if (got < 0) return absl::StrCat("cannot be read: ", strerror(errno));
    if (got == 0) break;
    done += static_cast<size_t>(got);
  }
  contents.resize(done);
  if (contents.size() <= 48) return absl::StrCat("'", contents, "'");
  return absl::StrCat("hash ", std::hash<std::string>()(contents), " of ", done);
}

std::string Describe(const std::string& path) {
  struct stat st;
  if (lstat(path.c_str(), &st) != 0) return absl::StrCat("cannot be looked at: ", strerror(errno));
  std::string text = absl::StrFormat("%o", st.st_mode);
  if (S_ISDIR(st.st_mode)) return text;
  absl::StrAppend(&text, " links ", st.st_nlink, " size ", st.st_size);
  if (S_ISREG(st.st_mode)) absl::StrAppend(&text, " ", ContentsText(path, st.st_size));
  if (S_ISLNK(st.st_mode)) {
    char target[4096];
    const ssize_t length = readlink(path.c_str(), target, sizeof(target));
    absl::StrAppend(&text, " to ", length < 0 ? "?" : std::string(target, static_cast<size_t>(length)));
  }
  return text;
}

void AddTree(const std::string& dir, const std::string& prefix, TreeTexts* tree) {
  DIR* stream = opendir(dir.c_str());
  if (stream == nullptr) {
    (*tree)[prefix + "/"] = absl::StrCat("cannot be listed: ", strerror(errno));
    return;
  }
  std::vector<std::string> names;
  while (const dirent* entry = readdir(stream)) {
    if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) names.push_back(entry->d_name);
  }
  closedir(stream);
  for (const std::string& name : names) {
    const std::string path = absl::StrCat(dir, "/", name);
    const std::string shown = absl::StrCat(prefix, prefix.empty() ? "" : "/", name);
    std::string text = Describe(path);
    struct stat st;
    const bool is_dir = lstat(path.c_str(), &st) == 0 && S_ISDIR(st.st_mode);
    if (!tree->emplace(shown, std::move(text)).second) (*tree)[shown] = "listed twice";
    if (is_dir) AddTree(path, shown, tree);
  }
}

}  // namespace

TreeTexts TreeOf(const std::string& dir) {
  TreeTexts tree;
  AddTree(dir, "", &tree);
  return tree;
}

std::string FirstDifference(const TreeTexts& got, const TreeTexts& want) {
  for (const auto& [path, text] : want) {
    const auto found = got.find(path);
    if (found == got.end()) return absl::StrCat(path, " is missing (", text, ")");
    if (found->second != text) return absl::StrCat(path, " is ", found->second, ", not ", text);
  }
  for (const auto& [path, text] : got) {
    if (want.count(path) == 0) return absl::StrCat(path, " (", text, ") should not be there");
  }
  return "";
}

MountedStack::MountedStack(std::string base, std::vector<std::string> modes)
    : base_(std::move(base)), modes_(std::move(modes)) {
  EnterPrivateMountNamespace();
  for (size_t i = 0; i < modes_.size(); ++i) MakeDirs(Branch(i));
  MakeDirs(Path(""));
}

void MountedStack::Mount(const std::vector<std::string>& options) {
  std::string branches;
  for (size_t i = 0; i < modes_.size(); ++i) {
    absl::StrAppend(&branches, i == 0 ? "" : ":", Branch(i), "=", modes_[i]);
  }
  UnionOptions how;
  how.mountpoint = Path("");
  how.mount_options = {"branches=" + branches};
  how.mount_options.insert(how.mount_options.end(), options.begin(), options.end());
  union_ = std::make_unique<MountedUnion>(how);
}

int MountedStack::Unmount() { return union_->Unmount(); }

}  // namespace acetate::differential
