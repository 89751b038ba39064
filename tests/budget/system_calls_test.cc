// How many system calls the daemon may make for an operation, by whatever requests that comes to it. What an operation
// costs on the layers' filesystem is what it does there, and what it has to know before; all else was known. Each test
// prints what it has measured.
#define FUSE_USE_VERSION 314
#include "tests/budget/system_calls.h"

#include <fcntl.h>
#include <fuse3/fuse_lowlevel.h>
#include <gtest/gtest.h>
#include <linux/magic.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/temp_dir.h"
#include "common/unique_fd.h"
#include "tests/fixture/mounted_union.h"

namespace acetate {
namespace {

constexpr int kEntries = 20;

// What flags a lower object has: one call where the kernel has file_getattr(2), from 6.17 on.
int FlagCalls() {
  constexpr long kFileGetattr = 468;
  const bool one = syscall(kFileGetattr, AT_FDCWD, "/", nullptr, 0, 0) == 0 || errno != ENOSYS;
  return one ? 1 : 4;  // statx, and once more for the copy, which is opened and asked by ioctl
}

// A mode by a name that is not followed: fchmodat2(2), from 6.6 on.
int ModeCalls() {
  constexpr long kFchmodat2 = 452;
  return syscall(kFchmodat2, -1, "", 0, 0) != 0 && errno == ENOSYS ? 3 : 1;
}

// Writes by others than root clear suid bits, so that the mode is looked at.
int SuidCalls() { return geteuid() == 0 ? 0 : 1; }

// Without FUSE_CAP_HANDLE_KILLPRIV_V2 the kernel clears them, and asks for security.capability before every write.
#ifdef FUSE_CAP_HANDLE_KILLPRIV_V2
constexpr int kAsksBeforeEachWrite = 0;
#else
constexpr int kAsksBeforeEachWrite = 1;
#endif

class SystemCallsTest : public testing::Test {
 protected:
  void SetUp() override {
    if (const std::string why = WhyNoTracing(); !why.empty()) GTEST_SKIP() << why;
    options_ = MakeUnionDirs(dir_.path(), 2);
    for (const char* name : {"directory", "files"}) {
      MakeDirs(options_.lowers[0] + "/" + name);
      MakeDirs(options_.lowers[1] + "/" + name);
    }
    for (int i = 0; i < kEntries; ++i) WriteFile(absl::StrCat(options_.lowers[1], "/directory/", i), "x");
    for (int i = 0; i < kEntries; ++i) WriteFile(absl::StrCat(options_.lowers[1], "/files/", i), "a lower file");
    MakeDirs(options_.upper + "/own");
    for (int i = 0; i < kEntries; ++i) WriteFile(absl::StrCat(options_.upper, "/own/", i), "an upper file");
    // What threads do for each other, and rings, is the same for all operations; this way there is less of it.
    options_.mount_options.push_back("io=threads");
    mount_ = std::make_unique<MountedUnion>(options_);
    // What is done once for a mount, such as the template of whiteouts, and once for a directory.
    Stat("");
    for (const char* name : {"files", "own"}) {
      List(name);
      WriteFile(Path(absl::StrCat(name, "/made")), "made");
      EXPECT_EQ(unlink(Path(absl::StrCat(name, "/made")).c_str()), 0);
      EXPECT_EQ(rename(Path(absl::StrCat(name, "/18")).c_str(), Path(absl::StrCat(name, "/renamed")).c_str()), 0);
    }
    EXPECT_EQ(chmod(Path("files/19").c_str(), 0600), 0);
    EXPECT_EQ(unlink(Path("files/19").c_str()), 0);
  }

  std::string Path(const std::string& name) const { return *mount_ / name; }

  void Stat(const std::string& name) const {
    struct stat st;
    EXPECT_EQ(stat(Path(name).c_str(), &st), 0) << name;
  }

  int List(const std::string& name) const {
    int count = 0;
    for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(Path(name))) ++count;
    return count;
  }

  void ExpectAtMost(int budget, const std::string& what, const std::function<void()>& act) const {
    const SystemCalls calls = SystemCallsOf(mount_->pid(), act);
    printf("%s: %d of %d: %s\n", what.c_str(), Total(calls), budget, Describe(calls).c_str());
    EXPECT_LE(Total(calls), budget) << what << ": " << Describe(calls);
  }

  TempDir dir_;
  UnionOptions options_;
  std::unique_ptr<MountedUnion> mount_;
};

TEST_F(SystemCallsTest, WhatIsKnownCostsNothing) {
  Stat("own/0");
  ExpectAtMost(0, "stat of a known name", [&] { Stat("own/0"); });
}

TEST_F(SystemCallsTest, Lookup) {
  Stat("own");  // it has new times
  ExpectAtMost(1, "lookup of a name in a listed directory", [&] { Stat("own/renamed"); });
}

TEST_F(SystemCallsTest, Listing) {
  // For the directory, by its parent: its attributes, an fd, its marks. For a layer: an fd, where that is not open, two
  // looks at the names, and the mark that says whether empty files may be whiteouts. For an entry: its attributes.
  ExpectAtMost(3 + 2 + 4 + kEntries, "first listing of a directory in two layers",
               [&] { EXPECT_EQ(List("directory"), kEntries); });
  Stat("directory");
  ExpectAtMost(0, "second listing", [&] { EXPECT_EQ(List("directory"), kEntries); });
}

TEST_F(SystemCallsTest, Reading) {
  for (const auto& [name, marks] : {std::pair("files/0", 0), std::pair("own/0", 1)}) {
    Stat(name);
    // An fd and a read of the contents; of a file that is not in the lowest layer, whether it holds them.
    const auto read_it = [&, path = Path(name)] { EXPECT_GT(ReadFile(path).size(), 0U); };
    ExpectAtMost(2 + marks, absl::StrCat("read of ", name), read_it);
    ExpectAtMost(0, absl::StrCat("second read of ", name), read_it);
  }
}

TEST_F(SystemCallsTest, CreatingAndWriting) {
  Stat("own");
  const auto create = [&](const std::string& name) {
    const UniqueFd fd(open(Path(name).c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
    EXPECT_TRUE(fd.valid());
  };
  ExpectAtMost(2, "create", [&] { create("own/new"); });
  Stat("own");
  ExpectAtMost(2, "mkdir", [&] { EXPECT_EQ(mkdir(Path("own/directory").c_str(), 0755), 0); });
  const UniqueFd fd(open(Path("own/new").c_str(), O_WRONLY | O_CLOEXEC));
  const auto write_some = [&] { EXPECT_EQ(write(fd.get(), "12345", 5), 5); };
  Stat("own/new");
  ExpectAtMost(2 + SuidCalls(), "first write", write_some);  // is there a capability to be cleared?
  ExpectAtMost(1 + kAsksBeforeEachWrite + SuidCalls(), "second write", write_some);
}

TEST_F(SystemCallsTest, WritingToALowerFile) {
  Stat("files/0");
  const UniqueFd fd(open(Path("files/0").c_str(), O_WRONLY | O_CLOEXEC));
  // As for attributes, but that it is not marked, and: is there a capability to be cleared? an fd for the lower file, a
  // clone tried, where it has data, a copy, made durable; and the write.
  ExpectAtMost(18 + FlagCalls() + ModeCalls() + SuidCalls(), "first write to a lower file",
               [&] { EXPECT_EQ(write(fd.get(), "12345", 5), 5); });
}

TEST_F(SystemCallsTest, ChangesOfLowerAttributes) {
  // The flags and the attributes of the file. Its copy: made, as long as the file, marked; attributes asked for and
  // set; its inode number; published, which leaves the directory's times; shown.
  const int copy = FlagCalls() + 1 + 3 + 1 + ModeCalls() + 1 + 1 + 3 + 1;
  Stat("files/1");
  ExpectAtMost(copy, "chmod of a lower file", [&] { EXPECT_EQ(chmod(Path("files/1").c_str(), 0600), 0); });
  Stat("files/2");
  ExpectAtMost(copy, "utimens of a lower file",
               [&] { EXPECT_EQ(utimensat(AT_FDCWD, Path("files/2").c_str(), nullptr, 0), 0); });
  Stat("files/3");
  // The kernel asks for security.capability, and where others than root ask, or libfuse does not pass on who clears
  // suid bits, for the mode.
  ExpectAtMost(copy + 3, "chown of a lower file",
               [&] { EXPECT_EQ(chown(Path("files/3").c_str(), getuid(), getgid()), 0); });
  ExpectAtMost(1 + ModeCalls(), "chmod of the copy", [&] { EXPECT_EQ(chmod(Path("files/1").c_str(), 0640), 0); });
}

TEST_F(SystemCallsTest, Removing) {
  Stat("files/4");
  Stat("files");
  // The flags of the file, and a link to the whiteout.
  ExpectAtMost(2, "unlink of a lower file", [&] { EXPECT_EQ(unlink(Path("files/4").c_str()), 0); });
  Stat("own/4");
  Stat("own");
  // Its marks, an fd by which those who have it open go on.
  ExpectAtMost(3, "unlink of an upper file", [&] { EXPECT_EQ(unlink(Path("own/4").c_str()), 0); });
  WriteFile(Path("own/5"), "open for its contents");
  Stat("own");
  ExpectAtMost(1, "unlink of a file that was written", [&] { EXPECT_EQ(unlink(Path("own/5").c_str()), 0); });
}

TEST_F(SystemCallsTest, Renaming) {
  Stat("own/6");
  Stat("own");
  // Its marks, and the rename.
  ExpectAtMost(2, "rename of an upper file",
               [&] { EXPECT_EQ(rename(Path("own/6").c_str(), Path("own/moved").c_str()), 0); });
}

// Layers on tmpfs.
class MemoryAsTempDir {
 public:
  MemoryAsTempDir() {
    if (const char* before = getenv("TEST_TMPDIR")) before_ = before;
    setenv("TEST_TMPDIR", "/dev/shm", 1);
  }
  ~MemoryAsTempDir() {
    if (before_.has_value()) {
      setenv("TEST_TMPDIR", before_->c_str(), 1);
    } else {
      unsetenv("TEST_TMPDIR");
    }
  }

 private:
  std::optional<std::string> before_;
};

class SystemCallsInMemoryTest : MemoryAsTempDir, public SystemCallsTest {};

TEST_F(SystemCallsInMemoryTest, ReadingAndSyncing) {
  struct statfs fs;
  ASSERT_EQ(statfs("/dev/shm", &fs), 0);
  if (fs.f_type != TMPFS_MAGIC) GTEST_SKIP() << "/dev/shm is no tmpfs";
  Stat("files/0");
  // An fd and what it is for, and a read of the contents: that it is the last is seen from it.
  ExpectAtMost(3, "read of a file in memory", [&] { EXPECT_GT(ReadFile(Path("files/0")).size(), 0U); });
  WriteFile(Path("own/0"), "written");
  const UniqueFd fd(open(Path("own/0").c_str(), O_WRONLY | O_CLOEXEC));
  ExpectAtMost(1, "fsync of a file in memory", [&] { EXPECT_EQ(fsync(fd.get()), 0); });
}

// So few fds that only some of the directories can be kept open.
class FewFds {
 public:
  FewFds() {
    getrlimit(RLIMIT_NOFILE, &before_);
    const struct rlimit few = {64, 64};  // fusefs takes all that it may have
    setrlimit(RLIMIT_NOFILE, &few);
  }
  ~FewFds() { setrlimit(RLIMIT_NOFILE, &before_); }

 private:
  struct rlimit before_ = {};
};

class SystemCallsWithFewFdsTest : FewFds, public SystemCallsTest {
 protected:
  void SetUp() override {
    SystemCallsTest::SetUp();
    if (IsSkipped()) return;
    mount_.reset();
    const std::string& lower = options_.lowers[0];
    MakeDirs(lower + "/far/below/the/root");
    WriteFile(lower + "/far/below/the/root/file", "a lower file");
    for (int i = 0; i < 40; ++i) MakeDirs(absl::StrCat(lower, "/other/", i));
    mount_ = std::make_unique<MountedUnion>(options_);
  }
};

TEST_F(SystemCallsWithFewFdsTest, FarBelow) {
  Stat("far/below/the/root/file");
  for (int i = 0; i < 40; ++i) List(absl::StrCat("other/", i));
  // An fd of the directory, at once, and one that was open before is closed; then as for any other read.
  ExpectAtMost(2 + 3, "read of a file whose directory is not open",
               [&] { EXPECT_GT(ReadFile(Path("far/below/the/root/file")).size(), 0U); });
}

}  // namespace
}  // namespace acetate
