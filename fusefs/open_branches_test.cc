#include "fusefs/open_branches.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/temp_dir.h"

namespace acetate::fusefs {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

// Layers a, b and upper, work beside them.
class OpenBranchesTest : public ::testing::Test {
 protected:
  OpenBranchesTest() {
    for (const char* name : {"a", "b", "upper", "work"}) MakeDirs(temp_ / name);
  }

  Options Writable() const {
    return Parse(
        {"-o",
         "lowerdir=" + temp_ / "a" + ":" + temp_ / "b" + ",upperdir=" + temp_ / "upper" + ",workdir=" + temp_ / "work",
         "/m"});
  }

  static Options Parse(const std::vector<std::string>& args) {
    absl::StatusOr<CommandLine> line = ParseCommandLine(args);
    EXPECT_TRUE(line.ok()) << line.status();
    return line->options;
  }

  static std::string Error(const Options& options) {
    absl::StatusOr<std::vector<OpenedBranch>> opened = OpenBranches(options);
    EXPECT_FALSE(opened.ok());
    return std::string(opened.status().message());
  }

  static bool Exists(const std::string& path) { return access(path.c_str(), F_OK) == 0; }

  TempDir temp_;
};

TEST_F(OpenBranchesTest, HoldsEveryBranchAndTheWorkDirectory) {
  absl::StatusOr<std::vector<OpenedBranch>> opened = OpenBranches(Writable());
  ASSERT_TRUE(opened.ok()) << opened.status();
  ASSERT_EQ(opened->size(), 3u);
  struct stat by_fd, by_path;
  ASSERT_EQ(fstat(opened->front().fd.get(), &by_fd), 0);
  ASSERT_EQ(stat((temp_ / "upper").c_str(), &by_path), 0);
  EXPECT_EQ(by_fd.st_ino, by_path.st_ino);
  EXPECT_TRUE(opened->front().work_fd.valid());
  EXPECT_FALSE(opened->front().made_work);
  EXPECT_EQ(fcntl(opened->front().work_fd.get(), F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
}

TEST_F(OpenBranchesTest, ReadOnlyNeedsNoWorkDirectory) {
  absl::StatusOr<std::vector<OpenedBranch>> opened = OpenBranches(Parse({"-o", "lowerdir=" + temp_ / "a", "/m"}));
  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_FALSE(opened->front().work_fd.valid());
}

TEST_F(OpenBranchesTest, MissingLayer) {
  Options options = Writable();
  options.branches[1].path = temp_ / "none";
  EXPECT_EQ(Error(options), "read-only layer '" + temp_ / "none" + "': No such file or directory");
}

TEST_F(OpenBranchesTest, FileForADirectory) {
  WriteFile(temp_ / "file", "");
  Options options = Writable();
  options.branches[2].path = temp_ / "file";
  EXPECT_EQ(Error(options), "read-only layer '" + temp_ / "file" + "': Not a directory");
}

TEST_F(OpenBranchesTest, UnreadableLayer) {
  if (geteuid() != 0) GTEST_SKIP() << "becomes another user, which needs root";
  unsetenv("TEST_TMPDIR");  // may lie where another user cannot go
  TempDir temp;
  for (const char* name : {"a", "b"}) MakeDirs(temp / name);
  ASSERT_EQ(chmod((temp / "b").c_str(), 0), 0);
  ASSERT_EQ(chmod(temp.path().c_str(), 0755), 0);
  ASSERT_EQ(seteuid(65534), 0);
  absl::StatusOr<std::vector<OpenedBranch>> opened =
      OpenBranches(Parse({"-o", "lowerdir=" + temp / "a:" + temp / "b", "/m"}));
  ASSERT_EQ(seteuid(0), 0);
  EXPECT_THAT(std::string(opened.status().message()),
              HasSubstr("'" + temp / "b" + "' cannot be read: Permission denied"));
}

TEST_F(OpenBranchesTest, LayerListedTwice) {
  ASSERT_EQ(symlink("a", (temp_ / "alias").c_str()), 0);
  Options options = Writable();
  options.branches[2].path = temp_ / "alias";
  EXPECT_THAT(Error(options), AllOf(HasSubstr("alias' is the same directory as read-only layer"), HasSubstr("once")));
  options = Writable();
  options.branches[2].path = temp_ / "upper";
  EXPECT_THAT(Error(options), HasSubstr("is the same directory as writable layer"));
}

TEST_F(OpenBranchesTest, UpperInsideALower) {
  MakeDirs(temp_ / "a/x/y");
  Options options = Writable();
  options.branches[0].path = temp_ / "a/x/y";
  EXPECT_THAT(Error(options), AllOf(HasSubstr("writable layer"), HasSubstr("lies inside read-only layer")));
}

TEST_F(OpenBranchesTest, LowerInsideUpperOrWork) {
  MakeDirs(temp_ / "upper/x/y");
  MakeDirs(temp_ / "work/x");
  Options options = Writable();
  options.branches[2].path = temp_ / "upper/x/y";
  EXPECT_THAT(Error(options), AllOf(HasSubstr("read-only layer"), HasSubstr("lies inside writable layer")));
  options.branches[2].path = temp_ / "work/x";
  EXPECT_THAT(Error(options), HasSubstr("lies inside work directory"));
}

TEST_F(OpenBranchesTest, WorkInsideOrEqualToALayer) {
  MakeDirs(temp_ / "upper/w");
  MakeDirs(temp_ / "a/w");
  Options options = Writable();
  options.branches[0].workdir = temp_ / "upper/w";
  EXPECT_THAT(Error(options), HasSubstr("lies inside writable layer"));
  options.branches[0].workdir = temp_ / "a/w";
  EXPECT_THAT(Error(options), HasSubstr("lies inside read-only layer"));
  options.branches[0].workdir = temp_ / "upper";
  EXPECT_THAT(Error(options), HasSubstr("work directory '" + temp_ / "upper" + "' is the same directory as"));
  MakeDirs(temp_ / "work/u");
  options = Writable();
  options.branches[0].path = temp_ / "work/u";
  EXPECT_THAT(Error(options), HasSubstr("lies inside work directory"));
}

TEST_F(OpenBranchesTest, WorkMissing) {
  Options options = Writable();
  options.branches[0].workdir = temp_ / "none";
  EXPECT_THAT(Error(options), HasSubstr("work directory '" + temp_ / "none" + "': No such file"));
}

TEST_F(OpenBranchesTest, WorkOnAnotherFilesystemOrMount) {
  if (geteuid() != 0) GTEST_SKIP() << "mounts a tmpfs, which needs root";
  ASSERT_EQ(mount("tmpfs", (temp_ / "work").c_str(), "tmpfs", 0, nullptr), 0);
  EXPECT_THAT(Error(Writable()), HasSubstr("is not on the same filesystem as writable layer"));
  ASSERT_EQ(umount((temp_ / "work").c_str()), 0);

  MakeDirs(temp_ / "origin");
  ASSERT_EQ(mount((temp_ / "origin").c_str(), (temp_ / "work").c_str(), nullptr, MS_BIND, nullptr), 0);
  EXPECT_THAT(Error(Writable()), HasSubstr("is not on the same mount as writable layer"));
  ASSERT_EQ(umount((temp_ / "work").c_str()), 0);

  ASSERT_EQ(mount("tmpfs", (temp_ / "upper").c_str(), "tmpfs", 0, nullptr), 0);
  EXPECT_THAT(Error(Parse({"--branches=" + temp_ / "upper" + "=rw", "/m"})), HasSubstr("(to be made) is not on"));
  EXPECT_FALSE(Exists(temp_ / ".upper.work"));
  ASSERT_EQ(umount((temp_ / "upper").c_str()), 0);
}

TEST_F(OpenBranchesTest, AnUpperOnAFilesystemMountedBelowALayer) {
  if (geteuid() != 0) GTEST_SKIP() << "mounts a tmpfs, which needs root";
  MakeDirs(temp_ / "a/mnt");
  ASSERT_EQ(mount("tmpfs", (temp_ / "a/mnt").c_str(), "tmpfs", 0, nullptr), 0);
  MakeDirs(temp_ / "a/mnt/upper");
  MakeDirs(temp_ / "a/mnt/work");
  Options options = Writable();
  options.branches[0].path = temp_ / "a/mnt/upper";
  options.branches[0].workdir = temp_ / "a/mnt/work";
  absl::StatusOr<std::vector<OpenedBranch>> opened = OpenBranches(options);
  EXPECT_TRUE(opened.ok()) << opened.status();
  opened = absl::CancelledError();
  ASSERT_EQ(umount((temp_ / "a/mnt").c_str()), 0);
}

TEST_F(OpenBranchesTest, UpperOnAReadOnlyMount) {
  if (geteuid() != 0) GTEST_SKIP() << "mounts a tmpfs, which needs root";
  ASSERT_EQ(mount("tmpfs", (temp_ / "upper").c_str(), "tmpfs", MS_RDONLY, nullptr), 0);
  EXPECT_THAT(Error(Writable()), HasSubstr("cannot be written: Read-only file system"));
  ASSERT_EQ(umount((temp_ / "upper").c_str()), 0);
}

TEST_F(OpenBranchesTest, UpperInUseByAnotherMount) {
  absl::StatusOr<std::vector<OpenedBranch>> first = OpenBranches(Writable());
  ASSERT_TRUE(first.ok()) << first.status();
  Options second = Writable();
  MakeDirs(temp_ / "work2");
  second.branches[0].workdir = temp_ / "work2";
  EXPECT_THAT(Error(second), AllOf(HasSubstr("writable layer"), HasSubstr("in use by another fusefs mount")));
  second = Writable();
  MakeDirs(temp_ / "upper2");
  second.branches[0].path = temp_ / "upper2";
  EXPECT_THAT(Error(second), AllOf(HasSubstr("work directory"), HasSubstr("in use by another fusefs mount")));
  first = absl::CancelledError();
  EXPECT_TRUE(OpenBranches(Writable()).ok());
}

TEST_F(OpenBranchesTest, UpperInUseByOverlayfs) {
  if (geteuid() != 0) GTEST_SKIP() << "mounts an overlay, which needs root";
  TempDir other;
  ASSERT_EQ(mount("tmpfs", other.path().c_str(), "tmpfs", 0, nullptr), 0);
  for (const char* name : {"lower", "upper", "work", "merged"}) MakeDirs(other / name);
  const std::string data =
      "lowerdir=" + other / "lower" + ",upperdir=" + other / "upper" + ",workdir=" + other / "work";
  ASSERT_EQ(mount("overlay", (other / "merged").c_str(), "overlay", 0, data.c_str()), 0);
  EXPECT_THAT(Error(Parse({"-o", data, "/m"})), HasSubstr("in use by the overlay mount on '" + other / "merged" + "'"));
  ASSERT_EQ(umount((other / "merged").c_str()), 0);
  ASSERT_EQ(umount(other.path().c_str()), 0);
}

TEST_F(OpenBranchesTest, DerivedWorkDirectoryIsMadeLastAndFoundAgain) {
  const std::string work = temp_ / ".upper.work";
  EXPECT_FALSE(OpenBranches(Parse({"--branches=" + temp_ / "upper" + ":" + temp_ / "none", "/m"})).ok());
  EXPECT_FALSE(Exists(work));

  const Options options = Parse({"--branches=" + temp_ / "upper" + ":" + temp_ / "a", "/m"});
  absl::StatusOr<std::vector<OpenedBranch>> opened = OpenBranches(options);
  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_TRUE(opened->front().made_work);
  struct stat st;
  ASSERT_EQ(stat(work.c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 07777, 0700u);
  opened = absl::CancelledError();
  opened = OpenBranches(options);
  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_FALSE(opened->front().made_work);
}

TEST_F(OpenBranchesTest, EveryWritableBranchHasItsOwnWorkDirectory) {
  const Options options =
      Parse({"--branches=" + temp_ / "a" + "=ro:" + temp_ / "upper" + "=rw:" + temp_ / "b" + "=rw", "/m"});
  absl::StatusOr<std::vector<OpenedBranch>> opened = OpenBranches(options);
  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_FALSE((*opened)[0].work_fd.valid());
  EXPECT_TRUE((*opened)[1].made_work && (*opened)[2].made_work);
  EXPECT_TRUE(Exists(temp_ / ".upper.work") && Exists(temp_ / ".b.work"));
  Options second = Parse({"--branches=" + temp_ / "b" + "=rw", "--workdir=" + temp_ / "work", "/m"});
  EXPECT_THAT(Error(second), HasSubstr("in use by another fusefs mount"));
}

TEST_F(OpenBranchesTest, NothingIsLeftWhenALaterBranchCannotBeTaken) {
  absl::StatusOr<std::vector<OpenedBranch>> other = OpenBranches(Parse({"--branches=" + temp_ / "b" + "=rw", "/m"}));
  ASSERT_TRUE(other.ok()) << other.status();
  EXPECT_THAT(Error(Parse({"--branches=" + temp_ / "upper" + "=rw:" + temp_ / "b" + "=rw", "/m"})),
              HasSubstr("in use by another fusefs mount"));
  EXPECT_FALSE(Exists(temp_ / ".upper.work"));
}

TEST_F(OpenBranchesTest, ABranchBesideOthersIsCheckedAgainstThem) {
  const Options options = Writable();
  absl::StatusOr<std::vector<OpenedBranch>> opened = OpenBranches(options);
  ASSERT_TRUE(opened.ok()) << opened.status();
  std::vector<HeldBranch> held;
  for (size_t i = 0; i < opened->size(); ++i) {
    held.push_back({&options.branches[i], (*opened)[i].fd.get(), (*opened)[i].work_fd.get()});
  }
  auto refusal = [&](const std::string& path) {
    BranchSpec spec;
    spec.path = path;
    return std::string(OpenBranchBeside(spec, held).status().message());
  };
  EXPECT_THAT(refusal(temp_ / "a"), HasSubstr("is the same directory as read-only layer"));
  MakeDirs(temp_ / "upper/inner");
  EXPECT_THAT(refusal(temp_ / "upper/inner"), HasSubstr("lies inside writable layer"));
  EXPECT_THAT(refusal(temp_ / "work"), HasSubstr("is the same directory as"));
  MakeDirs(temp_ / "more");
  EXPECT_EQ(refusal(temp_ / "more"), "");
}

TEST_F(OpenBranchesTest, ManyLayers) {
  std::string lowers;
  for (int i = 0; i < 500; ++i) {
    const std::string layer = temp_ / ("layers/" + std::to_string(i));
    MakeDirs(layer);
    lowers += (i == 0 ? "" : ":") + layer;
  }
  absl::StatusOr<std::vector<OpenedBranch>> opened = OpenBranches(
      Parse({"-o", "lowerdir=" + lowers + ",upperdir=" + temp_ / "upper" + ",workdir=" + temp_ / "work", "/m"}));
  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_EQ(opened->size(), 501u);
}

}  // namespace
}  // namespace acetate::fusefs
