#include "tests/differential/describe.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "common/unique_fd.h"
#include "fusefs/libfuse.h"
#include "tests/differential/record.h"

namespace acetate::differential {
namespace {

constexpr off_t kReadLimit = 8 << 20;

const char* TypeWord(mode_t mode) {
  switch (mode & S_IFMT) {
    case S_IFDIR:
      return "dir";
    case S_IFREG:
      return "file";
    case S_IFLNK:
      return "symlink";
    case S_IFIFO:
      return "fifo";
    case S_IFSOCK:
      return "socket";
    case S_IFCHR:
      return "chr";
    case S_IFBLK:
      return "blk";
    default:
      return "?";
  }
}

uint64_t Hash(const std::string& data) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const unsigned char c : data) hash = (hash ^ c) * 0x100000001b3;
  return hash;
}

std::string ContentsText(const std::string& path, off_t size) {
  if (size > kReadLimit) return "data=(large)";
  UniqueFd fd(open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!fd.valid()) return "data=" + ErrnoText(errno);
  std::string data(size + 1, 0);  // one more, to see an end that is not where stat says
  size_t filled = 0;
  while (filled < data.size()) {
    const ssize_t got = pread(fd.get(), &data[filled], data.size() - filled, filled);
    if (got < 0) return "data=" + ErrnoText(errno);
    if (got == 0) break;
    filled += got;
  }
  data.resize(filled);
  return DataText(data);
}

}  // namespace

std::string ErrnoText(int error) {
  const char* name = strerrorname_np(error);
  return name != nullptr ? name : absl::StrCat("errno ", error);
}

std::string DataText(const std::string& data) {
  if (data.empty()) return "data=0";
  std::string head;
  for (size_t i = 0; i < std::min<size_t>(data.size(), 4); ++i) {
    absl::StrAppendFormat(&head, "%02x", static_cast<unsigned char>(data[i]));
  }
  return absl::StrFormat("data=%d:%s..%08x", data.size(), head, Hash(data) & 0xffffffff);
}

std::string Describer::Time(const timespec& time) const {
  // Not the exact time of a call: three trees do the same at three different times.
  if (time.tv_sec >= since_ && time.tv_sec <= ::time(nullptr) + 2) return "now";
  return absl::StrFormat("%d.%09d", time.tv_sec, time.tv_nsec);
}

std::string Describer::Stat(const struct stat& st) const {
  mode_t mode = st.st_mode & 07777;
#if !ACETATE_LIBFUSE_HAS_KILLPRIV_V2
  // Setgid without group execution means nothing. A write by a stranger clears it, but not through the kernel's FUSE.
  if (!S_ISDIR(st.st_mode) && (mode & S_IXGRP) == 0) mode &= ~S_ISGID;
#endif
  std::string text = absl::StrFormat("%s %04o %d:%d", TypeWord(st.st_mode), mode, st.st_uid, st.st_gid);
  if (!S_ISDIR(st.st_mode)) absl::StrAppendFormat(&text, " nlink=%d", st.st_nlink);
  if (S_ISREG(st.st_mode) || S_ISLNK(st.st_mode)) absl::StrAppendFormat(&text, " size=%d", st.st_size);
  if (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode)) {
    absl::StrAppendFormat(&text, " rdev=%d:%d", major(st.st_rdev), minor(st.st_rdev));
  }
  absl::StrAppend(&text, " mtime=", Time(st.st_mtim), " atime=", Time(st.st_atim));
  return text;
}

std::string Describer::Xattrs(const std::string& path, int fd) const {
  std::string names(65536, 0);
  const ssize_t length =
      fd >= 0 ? flistxattr(fd, names.data(), names.size()) : llistxattr(path.c_str(), names.data(), names.size());
  if (length < 0) return "xattrs=" + ErrnoText(errno);
  std::map<std::string, std::string> texts;
  for (ssize_t at = 0; at < length; at += strlen(&names[at]) + 1) {
    const char* name = &names[at];
    std::string value(65536, 0);
    const ssize_t size = fd >= 0 ? fgetxattr(fd, name, value.data(), value.size())
                                 : lgetxattr(path.c_str(), name, value.data(), value.size());
    if (texts.count(name) != 0) texts[std::string(name) + "(again)"];
    texts[name] = size < 0 ? ErrnoText(errno) : DataText(value.substr(0, size));
  }
  std::string text;
  for (const auto& [name, value] : texts) absl::StrAppend(&text, text.empty() ? "" : ",", Escape(name), "=", value);
  return text.empty() ? "" : "xattrs={" + text + "}";
}

std::string Describer::Path(const std::string& path) const {
  struct stat st;
  if (lstat(path.c_str(), &st) != 0) return ErrnoText(errno);
  std::vector<std::string> parts = {Stat(st)};
  if (S_ISREG(st.st_mode)) parts.push_back(ContentsText(path, st.st_size));
  if (S_ISLNK(st.st_mode)) {
    char target[4096];
    const ssize_t length = readlink(path.c_str(), target, sizeof(target));
    parts.push_back(length < 0 ? ErrnoText(errno) : "-> " + Escape(std::string(target, length)));
  }
  if (std::string xattrs = Xattrs(path); !xattrs.empty()) parts.push_back(std::move(xattrs));
  return absl::StrJoin(parts, " ");
}

int ListDirectory(const std::string& path, std::vector<DirectoryEntry>& entries) {
  DIR* directory = opendir(path.c_str());
  if (directory == nullptr) return errno;
  errno = 0;
  while (const dirent* entry = readdir(directory)) {
    const std::string name = entry->d_name;
    if (name != "." && name != "..") entries.push_back({name, entry->d_type, entry->d_ino});
  }
  const int error = errno;
  closedir(directory);
  return error;
}

std::vector<std::string> Describer::Walk() const {
  std::map<std::string, std::string> lines = {{"/", Path(".")}};
  std::map<ino_t, std::vector<std::string>> names_of;  // of what has several names
  std::vector<std::string> pending = {""};
  while (!pending.empty()) {
    const std::string directory = std::move(pending.back());
    pending.pop_back();
    std::vector<DirectoryEntry> entries;
    const int error = ListDirectory(directory.empty() ? "." : directory, entries);
    if (error != 0) absl::StrAppend(&lines[directory.empty() ? "/" : directory], " listing: ", ErrnoText(error));
    for (const DirectoryEntry& entry : entries) {
      const std::string path = directory.empty() ? entry.name : directory + "/" + entry.name;
      std::string& line = lines[path];
      if (!line.empty()) line += " listed twice ";
      line += Path(path);
      struct stat st;
      if (lstat(path.c_str(), &st) != 0) continue;
      if (entry.type != IFTODT(st.st_mode)) absl::StrAppend(&line, " but d_type=", entry.type);
      if (entry.inode != st.st_ino) absl::StrAppend(&line, " but d_ino is not st_ino");
      if (S_ISDIR(st.st_mode)) {
        pending.push_back(path);
      } else if (st.st_nlink > 1) {
        names_of[st.st_ino].push_back(path);
      }
    }
  }
  for (auto& [inode, names] : names_of) {
    std::sort(names.begin(), names.end());
    for (const std::string& name : names) absl::StrAppend(&lines[name], " inode-of=", Escape(names.front()));
  }
  std::vector<std::string> text;
  for (const auto& [path, line] : lines) text.push_back(Escape(path) + " " + line);
  return text;
}

}  // namespace acetate::differential
