// How many requests an operation may cost. Timings are noise on a shared machine; a request more than these is a
// regression on every machine. Each test warms the kernel's caches by one use, acts, and compares what was sent.
//
// Some of it is the kernel's own doing, whatever the daemon answers:
//   - A name that is to be made (mkdir, mknod, symlink, link, the new name of a rename) is looked up again, even when
//     it is known to be missing: LOOKUP_EXCL and LOOKUP_RENAME_TARGET in fuse_dentry_revalidate().
//   - A directory in which a name was made or removed has stale attributes: fuse_dir_changed(). One GETATTR of it
//     follows when a path next leads through it.
//   - What was read, or listed, has a stale access time: one GETATTR follows at the next stat.
#define FUSE_USE_VERSION 314
#include <dirent.h>
#include <fcntl.h>
#include <fuse3/fuse_lowlevel.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/mountinfo.h"
#include "common/temp_dir.h"
#include "common/unique_fd.h"
#include "tests/budget/requests.h"
#include "tests/fixture/mounted_union.h"

namespace acetate {
namespace {

constexpr size_t kReadAhead = 128 << 10;
constexpr int kEntries = 500;  // of a directory: more than one request lists

// Who clears suid bits and file capabilities: the daemon, where libfuse passes on whether the caller's write does. Else
// the kernel, which asks for security.capability before every write, and for the mode before every chown.
#ifdef FUSE_CAP_HANDLE_KILLPRIV_V2
constexpr int kAsksBeforeEachWrite = 0;
constexpr int kAsksBeforeEachChown = 0;
#else
constexpr int kAsksBeforeEachWrite = 1;
constexpr int kAsksBeforeEachChown = 1;
#endif

class BudgetTest : public testing::Test {
 protected:
  // Away from the other processes of the machine, whose `df` and `find` would be counted. Their FUSE mounts are let go
  // of, or they could not end before we do.
  static void SetUpTestSuite() {
    if (geteuid() != 0) return;
    ASSERT_EQ(unshare(CLONE_NEWNS), 0) << strerror(errno);
    ASSERT_EQ(mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0) << strerror(errno);
    for (const MountInfo& mount : ReadMountInfo()) {
      if (absl::StartsWith(mount.fs_type, "fuse")) umount2(mount.mount_point.c_str(), MNT_DETACH);
    }
  }

  BudgetTest() : BudgetTest(2) {}
  explicit BudgetTest(int lower_count) : options_(MakeUnionDirs(dir_.path(), lower_count)) {
    const std::string& bottom = options_.lowers.back();
    WriteFile(bottom + "/file", std::string(kReadAhead, 'f'));
    WriteFile(bottom + "/other", "o");
    WriteFile(bottom + "/third", "t");
    std::filesystem::copy_file("/bin/true", bottom + "/program");
    std::filesystem::create_symlink("file", bottom + "/link");
    MakeDirs(bottom + "/directory");
    MakeDirs(bottom + "/empty");
    for (int i = 0; i < kEntries; ++i) WriteFile(absl::StrCat(bottom, "/directory/", i), "x");
    WriteFile(options_.upper + "/upper", "u");
    mount_ = std::make_unique<MountedUnion>(options_);
  }

  std::string Path(const std::string& name) const { return *mount_ / name; }

  // The requests beyond `budget` that `act` costs, a line each; empty when it keeps within.
  std::string Excess(const Requests& budget, const std::function<void()>& act) const {
    return OverBudget(RequestsOf(mount_->path(), act), budget);
  }

  void Stat(const std::string& name, int error = 0) const {
    struct stat st;
    errno = 0;
    EXPECT_EQ(stat(Path(name).c_str(), &st), error == 0 ? 0 : -1) << name;
    EXPECT_EQ(errno, error) << name;
  }

  void ReadAll(const std::string& name) const {
    const UniqueFd fd(open(Path(name).c_str(), O_RDONLY | O_CLOEXEC));
    ASSERT_TRUE(fd.valid()) << name;
    struct stat st;
    ASSERT_EQ(fstat(fd.get(), &st), 0);
    std::string contents(st.st_size, '\0');
    EXPECT_EQ(read(fd.get(), contents.data(), contents.size()), st.st_size);
  }

  int List(const std::string& name) const {
    int count = 0;
    for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(Path(name))) ++count;
    return count;
  }

  void Execute(const std::string& name) const {
    const std::string path = Path(name);
    const pid_t pid = vfork();
    if (pid == 0) {
      execl(path.c_str(), path.c_str(), nullptr);
      _exit(127);
    }
    int status = -1;
    ASSERT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_EQ(status, 0);
  }

  TempDir dir_;
  UnionOptions options_;
  std::unique_ptr<MountedUnion> mount_;
};

TEST_F(BudgetTest, AskingForTheCountCostsNothing) {
  Stat("");
  EXPECT_EQ(Excess({}, [] {}), "");
}

TEST_F(BudgetTest, EachRequestIsCountedOnce) {
  Stat("");
  EXPECT_EQ(RequestsOf(mount_->path(), [&] { Stat("file"); }), (Requests{{"LOOKUP", 1}}));
  EXPECT_EQ(RequestsOf(mount_->path(), [&] { EXPECT_EQ(chmod(Path("file").c_str(), 0600), 0); }),
            (Requests{{"SETATTR", 1}}));
}

TEST_F(BudgetTest, StatOfAKnownName) {
  Stat("file");
  EXPECT_EQ(Excess({}, [&] { Stat("file"); }), "");
}

TEST_F(BudgetTest, AccessOfAKnownName) {
  Stat("file");
  EXPECT_EQ(Excess({}, [&] { EXPECT_EQ(access(Path("file").c_str(), R_OK | W_OK), 0); }), "");
}

TEST_F(BudgetTest, StatOfANameKnownToBeMissing) {
  Stat("missing", ENOENT);
  EXPECT_EQ(Excess({}, [&] { Stat("missing", ENOENT); }), "");
}

TEST_F(BudgetTest, ReadlinkAgain) {
  char target[16];
  const auto read_link = [&] { EXPECT_EQ(readlink(Path("link").c_str(), target, sizeof(target)), 4); };
  struct stat st;
  ASSERT_EQ(lstat(Path("link").c_str(), &st), 0);
  EXPECT_EQ(Excess({{"READLINK", 1}}, read_link), "");
  EXPECT_EQ(Excess({}, read_link), "");
}

TEST_F(BudgetTest, FirstReadOfAFileUpToReadAhead) {
  // OPEN is answered ENOSYS once for the whole mount.
  ReadAll("upper");
  Stat("file");
  EXPECT_EQ(Excess({{"READ", 1}}, [&] { ReadAll("file"); }), "");
  // The kernel takes the access time to be stale after a READ.
  EXPECT_EQ(Excess({{"GETATTR", 1}}, [&] { Stat("file"); }), "");
}

TEST_F(BudgetTest, ReadOfALargeFile) {
  WriteFile(Path("large"), std::string(4 << 20, 'l'));
  ReadAll("upper");
  // Pages that were written are cached.
  const UniqueFd fd(open(Path("large").c_str(), O_RDONLY | O_CLOEXEC));
  ASSERT_EQ(posix_fadvise(fd.get(), 0, 0, POSIX_FADV_DONTNEED), 0);
  EXPECT_EQ(Excess({{"READ", 12}}, [&] { ReadAll("large"); }), "");
}

TEST_F(BudgetTest, ReadOfAFileWhosePagesAreCached) {
  ReadAll("file");
  Stat("file");
  EXPECT_EQ(Excess({}, [&] { ReadAll("file"); }), "");
}

TEST_F(BudgetTest, ListADirectoryAgain) {
  ASSERT_EQ(List("directory"), kEntries);
  Stat("directory");
  EXPECT_EQ(Excess({}, [&] { EXPECT_EQ(List("directory"), kEntries); }), "");
}

TEST_F(BudgetTest, StatEveryNameOfAListedDirectory) {
  ASSERT_EQ(List("directory"), kEntries);
  Stat("directory");
  // Their attributes came with the listing.
  EXPECT_EQ(Excess({},
                   [&] {
                     for (int i = 0; i < kEntries; ++i) Stat(absl::StrCat("directory/", i));
                   }),
            "");
}

TEST_F(BudgetTest, ExecuteAKnownProgram) {
  Execute("program");
  Stat("program");
  EXPECT_EQ(Excess({{"GETXATTR", 1}}, [&] { Execute("program"); }), "");
}

TEST_F(BudgetTest, CreateAndWrite) {
  const auto create = [&](const std::string& name) {
    const UniqueFd fd(open(Path(name).c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
    ASSERT_TRUE(fd.valid());
    const std::string page(4096, 'p');
    EXPECT_EQ(write(fd.get(), page.data(), page.size()), 4096);
  };
  // CREATE and FLUSH are answered ENOSYS once for the whole mount.
  create("first");
  Stat("");
  EXPECT_EQ(Excess({{"LOOKUP", 1}, {"MKNOD", 1}, {"GETXATTR", 1}, {"WRITE", 1}}, [&] { create("second"); }), "");
}

TEST_F(BudgetTest, SmallWritesInARow) {
  const UniqueFd fd(open(Path("file").c_str(), O_WRONLY | O_CLOEXEC));
  ASSERT_TRUE(fd.valid());
  const auto write_some = [&](int count) {
    const std::string bytes(512, 'w');
    for (int i = 0; i < count; ++i) EXPECT_EQ(write(fd.get(), bytes.data(), bytes.size()), 512);
  };
  // Whether a write has to clear file capabilities is asked once for an inode at least.
  EXPECT_EQ(Excess({{"WRITE", 1}, {"GETXATTR", 1}}, [&] { write_some(1); }), "");
  EXPECT_EQ(Excess({{"WRITE", 20}, {"GETXATTR", 20 * kAsksBeforeEachWrite}}, [&] { write_some(20); }), "");
}

TEST_F(BudgetTest, UnlinkOfAKnownName) {
  for (const char* name : {"upper", "other"}) {
    Stat(name);
    EXPECT_EQ(Excess({{"UNLINK", 1}}, [&] { EXPECT_EQ(unlink(Path(name).c_str()), 0); }), "") << name;
  }
}

TEST_F(BudgetTest, MkdirAndRmdir) {
  Stat("new", ENOENT);
  EXPECT_EQ(Excess({{"LOOKUP", 1}, {"MKDIR", 1}}, [&] { EXPECT_EQ(mkdir(Path("new").c_str(), 0755), 0); }), "");
  for (const char* name : {"new", "empty"}) {
    Stat(name);
    EXPECT_EQ(Excess({{"RMDIR", 1}}, [&] { EXPECT_EQ(rmdir(Path(name).c_str()), 0); }), "") << name;
  }
}

TEST_F(BudgetTest, SymlinkAndLink) {
  Stat("new", ENOENT);
  EXPECT_EQ(Excess({{"LOOKUP", 1}, {"SYMLINK", 1}}, [&] { EXPECT_EQ(symlink("file", Path("new").c_str()), 0); }), "");
  for (const std::string name : {"upper", "other"}) {
    const std::string to = name + ".linked";
    Stat(name);
    Stat(to, ENOENT);
    EXPECT_EQ(Excess({{"LOOKUP", 1}, {"LINK", 1}}, [&] { EXPECT_EQ(link(Path(name).c_str(), Path(to).c_str()), 0); }),
              "")
        << name;
  }
}

TEST_F(BudgetTest, Rename) {
  for (const std::string name : {"upper", "file"}) {
    const std::string to = name + ".renamed";
    Stat(name);
    Stat(to, ENOENT);
    EXPECT_EQ(
        Excess({{"LOOKUP", 1}, {"RENAME", 1}}, [&] { EXPECT_EQ(rename(Path(name).c_str(), Path(to).c_str()), 0); }), "")
        << name;
  }
}

TEST_F(BudgetTest, ChangesOfAttributes) {
  for (const char* name : {"upper", "other", "third"}) {
    Stat(name);
    EXPECT_EQ(Excess({{"SETATTR", 1}}, [&] { EXPECT_EQ(chmod(Path(name).c_str(), 0600), 0); }), "") << name;
    EXPECT_EQ(Excess({{"SETATTR", 1}}, [&] { EXPECT_EQ(utimensat(AT_FDCWD, Path(name).c_str(), nullptr, 0), 0); }), "")
        << name;
    EXPECT_EQ(Excess({{"SETATTR", 1}, {"GETXATTR", 1}, {"GETATTR", kAsksBeforeEachChown}},
                     [&] { EXPECT_EQ(chown(Path(name).c_str(), getuid(), getgid()), 0); }),
              "")
        << name;
    EXPECT_EQ(Excess({}, [&] { Stat(name); }), "") << name;
  }
}

// The same in the lowest of a hundred layers: what a layer costs, it costs once.
class ManyLayersBudgetTest : public BudgetTest {
 protected:
  ManyLayersBudgetTest() : BudgetTest(100) {}
};

TEST_F(ManyLayersBudgetTest, CostsWhatOneLayerCosts) {
  ReadAll("upper");
  EXPECT_EQ(Excess({{"LOOKUP", 1}}, [&] { Stat("file"); }), "");
  EXPECT_EQ(Excess({{"LOOKUP", 1}}, [&] { Stat("missing", ENOENT); }), "");
  EXPECT_EQ(Excess({{"READ", 1}}, [&] { ReadAll("file"); }), "");
  ASSERT_EQ(List("directory"), kEntries);
  Stat("directory");
  EXPECT_EQ(Excess({}, [&] { EXPECT_EQ(List("directory"), kEntries); }), "");
}

}  // namespace
}  // namespace acetate
