// The small worlds that layers and operations draw from. Small, so that names meet: in different layers, before and
// after a whiteout, as a directory here and a file there.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "tests/differential/random.h"

namespace acetate::differential {

// Valid names of objects; among them one of 255 bytes, bytes that are not UTF-8, and names that look like our own.
const std::vector<std::string>& ObjectNames();
// Names no object can have, or that resolve to something else: "", ".", "..", 256 bytes.
const std::vector<std::string>& AwkwardNames();
const std::vector<std::string>& SymlinkTargets();
const std::vector<std::string>& XattrNames();

const std::vector<mode_t>& FileModes();
const std::vector<mode_t>& DirectoryModes();
const std::vector<mode_t>& NodeModes();  // with the type bits

// Users and groups that own things; those that also act are kUsers.
const std::vector<uid_t>& Owners();
const std::vector<gid_t>& Groups();

struct User {
  uid_t uid;
  gid_t gid;
};
inline constexpr User kUsers[] = {{0, 0}, {1001, 1001}, {1002, 1002}};
inline constexpr gid_t kSharedGroup = 2000;  // supplementary for all of them

// The value of a valid security.capability: cap_net_raw+ep.
std::string FileCapability();

// The value of a valid system.posix_acl_access or _default: what owner, one user, group and others may do.
std::string AccessList(Random& random);

// `size` bytes that depend on `seed` only.
std::string Pattern(uint64_t seed, size_t size);
std::string RandomBytes(Random& random, size_t size);

}  // namespace acetate::differential
