// /proc/PID/mountinfo as data, as proc(5) describes it.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace acetate {

struct MountInfo {
  int id = 0;
  int parent_id = 0;
  unsigned major = 0;
  unsigned minor = 0;
  std::string root;         // path of the mount's root within its filesystem
  std::string mount_point;  // unescaped
  std::string options;      // per-mount options
  std::string fs_type;
  std::string source;
  std::string super_options;
};

// Parses the text of a mountinfo file. Lines that do not have the documented fields are left out.
std::vector<MountInfo> ParseMountInfo(absl::string_view text);

// The mounts that the calling process sees; empty when /proc cannot be read.
std::vector<MountInfo> ReadMountInfo();

}  // namespace acetate
