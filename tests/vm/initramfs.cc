#include "tests/vm/initramfs.h"

#include <sys/stat.h>

#include <array>
#include <filesystem>
#include <stdexcept>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "common/temp_dir.h"
#include "tests/e2e/command.h"

namespace acetate {
namespace {

constexpr char kLastName[] = "TRAILER!!!";

// Entries, and what follows a name, begin at multiples of four bytes.
void Pad(std::string* archive) { archive->resize((archive->size() + 3) / 4 * 4); }

}  // namespace

void Initramfs::Append(const std::string& path, unsigned mode, const std::string& contents) {
  const std::string name = path[0] == '/' ? path.substr(1) : path;
  const unsigned inode = next_inode_++;
  constexpr unsigned kNone = 0;
  // In order: inode, mode, uid, gid, links, mtime, size, the device's numbers, those of a device file, the name's
  // length with its null byte, a checksum that this format does not use.
  const std::array<unsigned, 13> fields = {inode,
                                           mode,
                                           kNone,
                                           kNone,
                                           1,
                                           kNone,
                                           static_cast<unsigned>(contents.size()),
                                           kNone,
                                           kNone,
                                           kNone,
                                           kNone,
                                           static_cast<unsigned>(name.size() + 1),
                                           kNone};
  archive_ += "070701";
  for (unsigned field : fields) absl::StrAppendFormat(&archive_, "%08x", field);
  archive_.append(name.c_str(), name.size() + 1);
  Pad(&archive_);
  archive_ += contents;
  Pad(&archive_);
}

void Initramfs::AddParents(const std::string& path) {
  for (size_t slash = path.find('/', 1); slash != std::string::npos; slash = path.find('/', slash + 1)) {
    const std::string parent = path.substr(0, slash);
    if (known_.insert(parent).second) Append(parent, S_IFDIR | 0755, "");
  }
}

void Initramfs::AddDirectory(const std::string& path, unsigned mode) {
  AddParents(path);
  if (known_.insert(path).second) Append(path, S_IFDIR | mode, "");
}

void Initramfs::AddFile(const std::string& path, const std::string& contents, unsigned mode) {
  AddParents(path);
  if (known_.insert(path).second) Append(path, S_IFREG | mode, contents);
}

void Initramfs::AddLink(const std::string& path, const std::string& target) {
  AddParents(path);
  if (known_.insert(path).second) Append(path, S_IFLNK | 0777, target);
}

void Initramfs::AddCopy(const std::string& path, const std::string& source) {
  struct stat st;
  if (stat(source.c_str(), &st) != 0) throw std::runtime_error(absl::StrCat("there is no ", source));
  AddFile(path, ReadFile(source), st.st_mode & 07777);
}

void Initramfs::AddProgram(const std::string& path, const std::string& source) {
  AddCopy(path, source);
  // "libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x...)" or "/lib64/ld-linux-x86-64.so.2 (0x...)"; of a static
  // program it says so, and fails.
  for (absl::string_view line : absl::StrSplit(RunCommand({"ldd", source}).out, '\n')) {
    for (absl::string_view word : absl::StrSplit(line, absl::ByAnyChar(" \t"), absl::SkipEmpty())) {
      if (!absl::StartsWith(word, "/") || !absl::StrContains(word, ".so")) continue;
      // Where /lib leads, which the root has as a link, too.
      const std::filesystem::path library{std::string(word)};
      AddCopy(std::filesystem::canonical(library.parent_path()) / library.filename(), library);
    }
  }
}

std::string Initramfs::Finish() {
  Append(kLastName, 0, "");
  return archive_;
}

}  // namespace acetate
