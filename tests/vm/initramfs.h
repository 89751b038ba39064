// The root of a virtual machine, as an archive that the Linux kernel unpacks by itself (cpio, format "newc").
// Everything in it belongs to root. For tests; one thread.
#pragma once

#include <set>
#include <string>

namespace acetate {

class Initramfs {
 public:
  // Makes the directories above it that are missing.
  void AddDirectory(const std::string& path, unsigned mode = 0755);
  void AddFile(const std::string& path, const std::string& contents, unsigned mode = 0644);
  void AddLink(const std::string& path, const std::string& target);

  // A file of this machine, with its own mode. Throws std::runtime_error when it cannot be read.
  void AddCopy(const std::string& path, const std::string& source);
  // A program of this machine, with the shared libraries that ldd(1) names.
  void AddProgram(const std::string& path, const std::string& source);

  // The archive, complete.
  std::string Finish();

 private:
  void AddParents(const std::string& path);
  void Append(const std::string& path, unsigned mode, const std::string& contents);

  std::string archive_;
  std::set<std::string> known_;  // paths that are in it
  unsigned next_inode_ = 1;
};

}  // namespace acetate
