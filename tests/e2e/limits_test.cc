// What a union must stand with few file descriptors: the daemon runs with RLIMIT_NOFILE 1024, hard and soft, as in the
// sessions of most users.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/temp_dir.h"
#include "common/unique_fd.h"
#include "tests/fixture/mounted_union.h"

namespace acetate {
namespace {

constexpr int kDaemonLimit = 1024;

int OpenFds(pid_t pid) {
  int count = 0;
  for ([[maybe_unused]] const auto& fd : std::filesystem::directory_iterator(absl::StrCat("/proc/", pid, "/fd")))
    ++count;
  return count;
}

int64_t ResidentBytes(pid_t pid) {
  int64_t size = 0;
  int64_t resident = 0;
  const std::string statm = ReadFile(absl::StrCat("/proc/", pid, "/statm"));
  EXPECT_EQ(sscanf(statm.c_str(), "%ld %ld", &size, &resident), 2);
  return resident * sysconf(_SC_PAGESIZE);
}

class LimitsTest : public testing::Test {
 protected:
  // The directories of a union whose daemon is confined to kDaemonLimit fds.
  UnionOptions Confined(int lower_count) {
    UnionOptions options = MakeUnionDirs(dir_.path(), lower_count);
    options.program = dir_ / "confined";
    WriteFile(options.program,
              absl::StrCat("#!/bin/sh\nulimit -n ", kDaemonLimit, "\nexec ", FusefsProgram(), " \"$@\"\n"), 0755);
    return options;
  }

  TempDir dir_;
};

TEST_F(LimitsTest, ThreeThousandFilesOpenAtOnce) {
  constexpr int kFiles = 3000;
  rlimit limit = {kFiles + 200, kFiles + 200};
  if (setrlimit(RLIMIT_NOFILE, &limit) != 0) GTEST_SKIP() << "this process may not open " << limit.rlim_cur << " files";
  UnionOptions options = Confined(1);
  for (int i = 0; i < kFiles; ++i) WriteFile(absl::StrCat(options.lowers[0], "/", i), absl::StrCat("contents ", i));
  MountedUnion mount(options);

  std::vector<UniqueFd> fds;
  for (int i = 0; i < kFiles; ++i) {
    // Every third is written, and so copied up; every fifth is removed while it is open.
    const std::string path = mount / absl::StrCat(i);
    fds.emplace_back(open(path.c_str(), (i % 3 == 0 ? O_RDWR : O_RDONLY) | O_CLOEXEC));
    ASSERT_TRUE(fds.back().valid()) << path << ": " << strerror(errno);
    if (i % 3 == 0) {
      ASSERT_EQ(pwrite(fds.back().get(), "C", 1, 0), 1) << path << ": " << strerror(errno);
    }
    if (i % 5 == 0) {
      ASSERT_EQ(unlink(path.c_str()), 0) << path << ": " << strerror(errno);
    }
  }
  for (int i = 0; i < kFiles; ++i) {
    const std::string expected = absl::StrCat(i % 3 == 0 ? "C" : "c", "ontents ", i);
    std::string contents(64, '\0');
    const ssize_t length = pread(fds[i].get(), contents.data(), contents.size(), 0);
    ASSERT_GE(length, 0) << i << ": " << strerror(errno);
    contents.resize(length);
    ASSERT_EQ(contents, expected) << i;
  }
  EXPECT_LT(OpenFds(mount.pid()), kDaemonLimit);
}

TEST_F(LimitsTest, TwoHundredThousandFilesWalked) {
  constexpr int kDirectories = 400;
  constexpr int kFilesEach = 500;
  UnionOptions options = Confined(2);
  for (int d = 0; d < kDirectories; ++d) {
    // Half in each layer, and some directories in both.
    const std::string directory = absl::StrCat(options.lowers[d % 2], "/", d % 20, "/", d);
    MakeDirs(directory);
    for (int f = 0; f < kFilesEach; ++f) {
      const UniqueFd fd(open(absl::StrCat(directory, "/", f).c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
      ASSERT_TRUE(fd.valid()) << strerror(errno);
    }
  }
  MountedUnion mount(options);
  const int64_t resident_before = ResidentBytes(mount.pid());

  int files = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(mount.path())) {
    struct stat st;
    ASSERT_EQ(lstat(entry.path().c_str(), &st), 0) << entry.path();
    if (S_ISREG(st.st_mode)) ++files;
  }
  EXPECT_EQ(files, kDirectories * kFilesEach);
  EXPECT_LT(OpenFds(mount.pid()), kDaemonLimit);
  const int64_t bytes_each = (ResidentBytes(mount.pid()) - resident_before) / files;
  RecordProperty("bytes_each", static_cast<int>(bytes_each));
  EXPECT_LE(bytes_each, 1024);
}

TEST_F(LimitsTest, AHundredLowerLayers) {
  constexpr int kLayers = 100;
  UnionOptions options = Confined(kLayers);
  for (int i = 0; i < kLayers; ++i) {
    const std::string& layer = options.lowers[i];
    WriteFile(absl::StrCat(layer, "/only-", i), absl::StrCat(i));
    WriteFile(layer + "/all", absl::StrCat(i));
    MakeDirs(layer + "/merged/deep");
    WriteFile(absl::StrCat(layer, "/merged/deep/", i), absl::StrCat(i));
    // Each layer hides one name of the layer below it.
    if (i + 1 < kLayers && i % 2 == 0) {
      ASSERT_EQ(mknod(absl::StrCat(layer, "/only-", i + 1).c_str(), S_IFCHR, 0), 0) << strerror(errno);
    }
  }
  MountedUnion mount(options);

  EXPECT_EQ(ReadFile(mount / "all"), "0");
  int deep = 0;
  for (const auto& entry : std::filesystem::directory_iterator(mount / "merged/deep")) {
    EXPECT_EQ(ReadFile(entry.path()), entry.path().filename());
    ++deep;
  }
  EXPECT_EQ(deep, kLayers);
  for (int i = 0; i < kLayers; ++i) {
    EXPECT_EQ(access((mount / absl::StrCat("only-", i)).c_str(), F_OK), i % 2 == 0 ? 0 : -1) << i;
  }
  WriteFile(mount / "only-98", "changed");
  EXPECT_EQ(ReadFile(options.upper + "/only-98"), "changed");
  EXPECT_EQ(ReadFile(options.lowers[98] + "/only-98"), "98");
  EXPECT_LT(OpenFds(mount.pid()), kDaemonLimit);
}

}  // namespace
}  // namespace acetate
