#include "tests/differential/bases.h"

#include <sys/mount.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <stdexcept>

namespace acetate::differential {
namespace {

void Require(bool ok, const std::string& what) {
  if (!ok) throw std::runtime_error(what + ": " + strerror(errno));
}

}  // namespace

Bases::Bases() : tmpfs_(dir_ / "tmpfs"), disk_(dir_ / "disk") {
  // The kernel moves a directory only while its path below has at most so many bytes. Left so: other tests may be
  // running.
  std::ofstream("/sys/module/overlay/parameters/redirect_max") << 4095 << std::flush;
  MakeDirs(tmpfs_);
  MakeDirs(disk_);
  Require(mount("tmpfs", tmpfs_.c_str(), "tmpfs", MS_NOATIME, "mode=755") == 0, "mount tmpfs (this test needs root)");
  Require(mount(disk_.c_str(), disk_.c_str(), nullptr, MS_BIND, nullptr) == 0, "bind mount");
  Require(mount(nullptr, disk_.c_str(), nullptr, MS_REMOUNT | MS_BIND | MS_NOATIME, nullptr) == 0, "noatime");
}

Bases::~Bases() {
  umount2(tmpfs_.c_str(), MNT_DETACH);
  umount2(disk_.c_str(), MNT_DETACH);
}

std::string Bases::Fresh(bool tmpfs) {
  const std::string base = (tmpfs ? tmpfs_ : disk_) + "/round";
  std::filesystem::remove_all(base);
  MakeDirs(base);
  return base;
}

}  // namespace acetate::differential
