// Executor: scenes of several calls. What must hold among them is judged here; only the verdict is compared.
#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "tests/differential/executor.h"
#include "tests/differential/vocabulary.h"

namespace acetate::differential {
namespace {

struct CloseDirectory {
  void operator()(DIR* directory) const { closedir(directory); }
};
using Directory = std::unique_ptr<DIR, CloseDirectory>;

// Reads up to `limit` names; false at a second sight of one that is in `stable`.
bool ReadNames(DIR* directory, int limit, const std::set<std::string>& stable, std::set<std::string>& seen) {
  for (int i = 0; i < limit; ++i) {
    const dirent* entry = readdir(directory);
    if (entry == nullptr) return true;
    if (!seen.insert(entry->d_name).second && stable.count(entry->d_name) != 0) return false;
  }
  return true;
}

bool MakeEmptyFile(const std::string& path) {
  return UniqueFd(open(path.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600)).valid();
}

}  // namespace

std::string Executor::List(const Op& op) {
  std::vector<DirectoryEntry> entries;
  const int error = ListDirectory(op.path, entries);
  if (error != 0) return ErrnoText(error);
  std::vector<std::string> texts;
  for (const DirectoryEntry& entry : entries) texts.push_back(absl::StrCat(Escape(entry.name), ":", entry.type));
  std::sort(texts.begin(), texts.end());
  return "ok " + absl::StrJoin(texts, " ");
}

// A directory is read in three parts; before the second some entries go and others come, before the third the reader
// seeks back to the end of the first. op.length entries are made for the scene, op.offset of them read first.
std::string Executor::ListWhileChanging(const Op& op) {
  Directory directory(opendir(op.path.c_str()));
  if (directory == nullptr) return ErrnoText(errno);
  const auto path_of = [&](const char* kind, int i) { return absl::StrCat(op.path, "/~", kind, i); };

  for (int i = 0; i < op.length; ++i) {
    if (!MakeEmptyFile(path_of("goes", i)) || !MakeEmptyFile(path_of("stays", i))) {
      const int error = errno;
      for (int j = 0; j <= i; ++j) {
        unlink(path_of("goes", j).c_str());
        unlink(path_of("stays", j).c_str());
      }
      return "making entries: " + ErrnoText(error);
    }
  }
  std::vector<DirectoryEntry> entries;
  ListDirectory(op.path, entries);
  std::set<std::string> stable;
  for (const DirectoryEntry& entry : entries) {
    if (!absl::StartsWith(entry.name, "~goes")) stable.insert(entry.name);
  }

  rewinddir(directory.get());
  std::set<std::string> first;
  bool sound = ReadNames(directory.get(), op.offset, stable, first);
  const long end_of_first = telldir(directory.get());
  // The entry at this position stays: where it went, tmpfs (6.14) reads on at one before it.
  const dirent* next = readdir(directory.get());
  const std::string kept = next != nullptr ? op.path + "/" + next->d_name : "";
  seekdir(directory.get(), end_of_first);
  for (int i = 0; i < op.length; ++i) {
    if (path_of("goes", i) != kept) sound &= unlink(path_of("goes", i).c_str()) == 0;
    sound &= MakeEmptyFile(path_of("comes", i));
  }
  std::string verdict = sound ? "ok" : "entries of the scene could not be changed";
  for (const char* part : {"read on", "read again after seekdir"}) {
    std::set<std::string> seen = first;
    if (!ReadNames(directory.get(), 1 << 20, stable, seen)) verdict = absl::StrCat(part, ": an entry came twice");
    for (const std::string& name : stable) {
      if (seen.count(name) == 0) verdict = absl::StrCat(part, ": missed ", Escape(name));
    }
    seekdir(directory.get(), end_of_first);
  }
  for (int i = 0; i < op.length; ++i) {
    unlink(path_of("stays", i).c_str());
    unlink(path_of("comes", i).c_str());
  }
  if (!kept.empty() && absl::StrContains(kept, "/~goes")) unlink(kept.c_str());
  return verdict;
}

// Writes through a shared mapping, with a reader's fd that was opened before.
std::string Executor::MmapWrite(const Op& op) {
  struct stat st;
  if (stat(op.path.c_str(), &st) != 0) return ErrnoText(errno);
  if (!S_ISREG(st.st_mode) || st.st_size == 0) return "nothing to map";
  // What is stored through a mapping reaches a FUSE daemon as a write, which clears file capabilities.
  if (getxattr(op.path.c_str(), "security.capability", nullptr, 0) > 0) return "has capabilities, not mapped";
  UniqueFd reader(open(op.path.c_str(), O_RDONLY | O_CLOEXEC));
  UniqueFd writer(open(op.path.c_str(), O_RDWR | O_CLOEXEC));
  if (!writer.valid()) return ErrnoText(errno);
  void* memory = mmap(nullptr, st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, writer.get(), 0);
  if (memory == MAP_FAILED) return "mmap: " + ErrnoText(errno);
  const off_t offset = op.offset % st.st_size;
  const std::string data = Pattern(op.pattern, std::min<int64_t>(op.length, st.st_size - offset));
  memcpy(static_cast<char*>(memory) + offset, data.data(), data.size());
  std::string verdict = Result(op.flags != 0 ? msync(memory, st.st_size, MS_SYNC) : 0);
  std::string back(data.size(), 0);
  if (reader.valid() && (pread(reader.get(), back.data(), back.size(), offset) < 0 || back != data)) {
    verdict = "an fd opened before does not read what was stored";
  }
  munmap(memory, st.st_size);
  return verdict;
}

std::string Executor::Locks(const Op& op) {
  struct stat st;
  if (stat(op.path.c_str(), &st) != 0) return ErrnoText(errno);
  if (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode)) return "device, not opened";
  UniqueFd one(open(op.path.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC));
  if (!one.valid()) return ErrnoText(errno);
  UniqueFd two(open(op.path.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC));
  if (!two.valid()) return ErrnoText(errno);
  std::vector<std::string> steps;
  steps.push_back(Result(flock(one.get(), LOCK_EX | LOCK_NB)));
  steps.push_back(Result(flock(two.get(), LOCK_SH | LOCK_NB)));
  steps.push_back(Result(flock(one.get(), LOCK_UN)));
  steps.push_back(Result(flock(two.get(), LOCK_SH | LOCK_NB)));
  struct flock range = {};
  range.l_type = F_WRLCK;
  range.l_start = op.offset;
  range.l_len = op.length;
  steps.push_back(Result(fcntl(one.get(), F_OFD_SETLK, &range)));
  steps.push_back(Result(fcntl(two.get(), F_OFD_SETLK, &range)));
  range.l_type = F_UNLCK;
  steps.push_back(Result(fcntl(one.get(), F_OFD_SETLK, &range)));
  range.l_type = F_RDLCK;
  steps.push_back(Result(fcntl(two.get(), F_OFD_SETLK, &range)));
  return absl::StrJoin(steps, " ");
}

// rm -r, in the order of names; what cannot be removed is left and told.
std::string Executor::RemoveTree(const Op& op) {
  struct stat st;
  if (lstat(op.path.c_str(), &st) != 0) return ErrnoText(errno);
  if (!S_ISDIR(st.st_mode)) return Result(unlink(op.path.c_str()));
  std::vector<DirectoryEntry> entries;
  if (const int error = ListDirectory(op.path, entries); error != 0) return ErrnoText(error);
  std::sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  std::string failed;
  for (const DirectoryEntry& entry : entries) {
    Op child = op;
    child.path = op.path + "/" + entry.name;
    const std::string verdict = RemoveTree(child);
    if (verdict != "ok") absl::StrAppend(&failed, Escape(entry.name), ": ", verdict, " ");
  }
  return failed + Result(rmdir(op.path.c_str()));
}

}  // namespace acetate::differential
