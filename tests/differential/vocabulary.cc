#include "tests/differential/vocabulary.h"

#include <sys/stat.h>

#include <algorithm>
#include <cstring>

namespace acetate::differential {

const std::vector<std::string>& ObjectNames() {
  static const auto& names = *new std::vector<std::string>{
      "a",          "b",
      "c",          "d",
      "e",          "f",
      "g",          "a b",
      "\xff\xfe%=", "\n\"",
      ".hidden",    ".wh.a",
      ".wh..opq",   ".wh..wh..opq",
      "#1",         "w\xc3\xb6",
      "work",       "...",
      "index",      std::string(255, 'n'),
  };
  return names;
}

const std::vector<std::string>& AwkwardNames() {
  static const auto& names = *new std::vector<std::string>{".", "..", std::string(256, 'x'), std::string(255, 'z')};
  return names;
}

const std::vector<std::string>& SymlinkTargets() {
  static const auto& targets = *new std::vector<std::string>{
      "a",       "b",         "c/a", "../a", "../b/c", "/",      "/a", "/b/a",
      "nowhere", "/no/where", ".",   "..",   "a/",     "d/../e", "f",  std::string(1500, 't'),
  };
  return targets;
}

const std::vector<std::string>& XattrNames() {
  static const auto& names = *new std::vector<std::string>{
      "user.a",    "user.b",       "user.overlay.opaque", "user.containers.override_stat",
      "trusted.a", "trusted.over", "security.a",          "user." + std::string(250, 'n'),
  };
  return names;
}

const std::vector<mode_t>& FileModes() {
  static const auto& modes =
      *new std::vector<mode_t>{0644, 0644, 0666, 0666, 0600, 0444, 0000, 0755, 0777, 04755, 02755, 06711, 02644, 01666};
  return modes;
}

const std::vector<mode_t>& DirectoryModes() {
  static const auto& modes =
      *new std::vector<mode_t>{0755, 0755, 0777, 0777, 0777, 0700, 0711, 01777, 02775, 03777, 02777, 0500, 0000};
  return modes;
}

const std::vector<mode_t>& NodeModes() {
  static const auto& modes = *new std::vector<mode_t>{S_IFIFO | 0644,  S_IFIFO | 0666, S_IFSOCK | 0755,
                                                      S_IFSOCK | 0666, S_IFCHR | 0620, S_IFBLK | 0660};
  return modes;
}

const std::vector<uid_t>& Owners() {
  static const auto& owners = *new std::vector<uid_t>{0, 0, 1001, 1001, 1002, 54321};
  return owners;
}

const std::vector<gid_t>& Groups() {
  static const auto& groups = *new std::vector<gid_t>{0, 1001, 1002, kSharedGroup, kSharedGroup, 54321};
  return groups;
}

std::string FileCapability() {
  // struct vfs_cap_data, revision 2, effective: permitted has bit 13.
  const unsigned char value[20] = {0x01, 0, 0, 0x02, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
  return std::string(reinterpret_cast<const char*>(value), sizeof(value));
}

std::string AccessList(Random& random) {
  // struct posix_acl_xattr_entry, in the order that the kernel demands.
  struct [[gnu::packed]] Item {
    uint16_t tag;
    uint16_t permissions;
    uint32_t id;
  };
  constexpr uint32_t kNoId = 0xffffffff;
  const auto some = [&] { return static_cast<uint16_t>(random.Below(8)); };
  const Item items[] = {{0x01, some(), kNoId},  // owner
                        {0x02, some(), kUsers[1 + random.Below(2)].uid},
                        {0x04, some(), kNoId},   // group
                        {0x10, some(), kNoId},   // mask
                        {0x20, some(), kNoId}};  // others
  const uint32_t version = 2;
  std::string value(reinterpret_cast<const char*>(&version), sizeof(version));
  value.append(reinterpret_cast<const char*>(items), sizeof(items));
  return value;
}

std::string Pattern(uint64_t seed, size_t size) {
  Random random(seed);
  return RandomBytes(random, size);
}

std::string RandomBytes(Random& random, size_t size) {
  std::string bytes(size, 0);
  for (size_t i = 0; i < size; i += sizeof(uint64_t)) {
    const uint64_t word = random.Next();
    memcpy(&bytes[i], &word, std::min(sizeof(word), size - i));
  }
  return bytes;
}

}  // namespace acetate::differential
