// What a program can see of the objects of a tree, as text: two trees are the same when their texts are. Left out is
// what may differ between filesystems that are both right: inode numbers, block counts, sizes and link counts of
// directories. A time that the test did not set explicitly is only "now". Not for concurrent use.
#pragma once

#include <sys/stat.h>

#include <ctime>
#include <string>
#include <vector>

namespace acetate::differential {

// "ENOENT" and its like.
std::string ErrnoText(int error);

// Length and hash, with the first bytes for the eye.
std::string DataText(const std::string& data);

class Describer {
 public:
  // `since`: the test began then; a later time is "now".
  explicit Describer(time_t since) : since_(since) {}

  std::string Stat(const struct stat& st) const;
  // Everything about the object at `path` itself: attributes, contents or target, xattrs. An errno when there is none.
  std::string Path(const std::string& path) const;
  // The xattrs of the object at `path`, or of the open file where `fd` is one.
  std::string Xattrs(const std::string& path, int fd = -1) const;
  // A line for each object below the current directory, and for the directory itself, sorted by path. Names of one
  // inode, d_type and d_ino that do not agree with stat are told too.
  std::vector<std::string> Walk() const;

 private:
  std::string Time(const timespec& time) const;

  time_t since_;
};

struct DirectoryEntry {
  std::string name;
  unsigned char type;
  ino_t inode;
};

// The entries of a directory without "." and "..", in the order of readdir. Returns 0 or an errno.
int ListDirectory(const std::string& path, std::vector<DirectoryEntry>& entries);

}  // namespace acetate::differential
