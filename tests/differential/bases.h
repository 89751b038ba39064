// The filesystems that rounds take place on: a tmpfs and the disk, both without access times of their own, so that
// reading changes nothing.
#pragma once

#include <string>

#include "common/temp_dir.h"

namespace acetate::differential {

class Bases {
 public:
  // Mounts, in the caller's mount namespace. Needs root. Throws std::runtime_error.
  Bases();
  ~Bases();
  Bases(const Bases&) = delete;
  Bases& operator=(const Bases&) = delete;

  // An empty directory on one of them; what the last one held is gone.
  std::string Fresh(bool tmpfs);

 private:
  TempDir dir_;
  const std::string tmpfs_;
  const std::string disk_;
};

}  // namespace acetate::differential
