#include "tests/conformance/scene.h"

#include <dirent.h>
#include <fcntl.h>
#include <gflags/gflags.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <stdexcept>

DEFINE_string(with, "", "An option that all scenes are mounted with.");

namespace acetate::conformance {
namespace {

const char* OpaqueXattr() { return IsMachineRoot() ? "trusted.overlay.opaque" : "user.overlay.opaque"; }

void Check(bool ok, const std::string& what) {
  if (!ok) throw std::runtime_error(what + ": " + strerror(errno));
}

}  // namespace

int Error(long result) { return result < 0 ? errno : 0; }

bool Exists(const std::string& path) {
  struct stat st;
  return lstat(path.c_str(), &st) == 0;
}

struct stat StatOf(const std::string& path) {
  struct stat st;
  Check(lstat(path.c_str(), &st) == 0, "lstat " + path);
  return st;
}

bool IsWhiteout(const std::string& path) {
  struct stat st;
  return lstat(path.c_str(), &st) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == 0;
}

Strings Names(const std::string& path) {
  Strings names;
  DIR* directory = opendir(path.c_str());
  Check(directory != nullptr, "opendir " + path);
  while (const dirent* entry = readdir(directory)) {
    if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) names.push_back(entry->d_name);
  }
  closedir(directory);
  std::sort(names.begin(), names.end());
  return names;
}

void Append(const std::string& path, const std::string& data) {
  UniqueFd fd = Open(path, O_WRONLY | O_APPEND);
  Check(write(fd.get(), data.data(), data.size()) == static_cast<ssize_t>(data.size()), "append to " + path);
}

UniqueFd Open(const std::string& path, int flags, mode_t mode) {
  UniqueFd fd(open(path.c_str(), flags | O_CLOEXEC, mode));
  Check(fd.valid(), "open " + path);
  return fd;
}

std::string ReadAll(const UniqueFd& fd) {
  std::string data;
  char buffer[4096];
  ssize_t got;
  while ((got = pread(fd.get(), buffer, sizeof(buffer), data.size())) > 0) data.append(buffer, got);
  Check(got == 0, "read");
  return data;
}

void SetMtime(const std::string& path, time_t seconds) {
  const timespec times[2] = {{0, UTIME_OMIT}, {seconds, 0}};
  Check(utimensat(AT_FDCWD, path.c_str(), times, AT_SYMLINK_NOFOLLOW) == 0, "utimensat " + path);
}

bool IsMachineRoot() {
  // In a user namespace of its own a user is root too, but its map is not that of the machine.
  return geteuid() == 0 && ReadFile("/proc/self/uid_map").find("4294967295") != std::string::npos;
}

bool PassesThrough() { return FLAGS_with == "passthrough"; }

SceneTest::SceneTest() : options_(MakeUnionDirs(dir_.path(), 2)) {}

void SceneTest::TearDown() {
  if (mounted_ != nullptr) Unmount();
}

void SceneTest::Mount() {
  UnionOptions options = options_;
  if (!FLAGS_with.empty()) options.mount_options.push_back(FLAGS_with);
  mounted_ = std::make_unique<MountedUnion>(options);
}

void SceneTest::Unmount() {
  EXPECT_EQ(mounted_->Unmount(), 0) << mounted_->Log();
  mounted_.reset();
}

void SceneTest::Remount() {
  Unmount();
  Mount();
}

void SceneTest::Crash() {
  mounted_->KillDaemon();
  mounted_.reset();
}

void SceneTest::PutWhiteout(const std::string& path) {
  Check(mknod(path.c_str(), S_IFCHR, 0) == 0, "whiteout " + path);
}

void SceneTest::PutOpaque(const std::string& path) {
  Check(setxattr(path.c_str(), OpaqueXattr(), "y", 1, 0) == 0, "opaque " + path);
}

bool SceneTest::IsOpaque(const std::string& path) {
  char value[2];
  return getxattr(path.c_str(), OpaqueXattr(), value, sizeof(value)) == 1 && value[0] == 'y';
}

Strings SceneTest::LeftInWork() {
  Strings left;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(options_.work)) {
    // One whiteout is kept to be linked wherever one is needed.
    if (!entry.is_directory() && !IsWhiteout(entry.path())) left.push_back(entry.path());
  }
  return left;
}

}  // namespace acetate::conformance
