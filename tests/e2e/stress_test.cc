// stress-ng's stressors of the class "filesystem", which check what they read back, in a union as an unprivileged user.
// A stressor that fails there is run on the filesystem that the union lies on: what fails there too is not the union's.
//
// The directory that they work in comes from a lower layer. Left out are stressors that touch no file of it (eventfd,
// procfs, ioprio, dup) or need root (binderfs, fanotify). A stressor that the filesystem has nothing for (fiemap,
// verity) skips itself, and `dirdeep` ends early for want of inodes on every filesystem: neither is a failure.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pwd.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/temp_dir.h"
#include "tests/e2e/command.h"
#include "tests/fixture/mounted_union.h"

namespace acetate {
namespace {

constexpr char kUser[] = "acetate";

using Stressors = std::vector<std::string>;

const Stressors& Names() {
  static const auto& all = *new Stressors{"access",  "chattr",  "chdir",   "chmod",    "chown",   "dentry",  "dir",
                                          "dirdeep", "dirmany", "dnotify", "filename", "fstat",   "getdent", "handle",
                                          "inotify", "link",    "mknod",   "rename",   "symlink", "touch",   "utime"};
  return all;
}

const Stressors& Contents() {
  static const auto& all =
      *new Stressors{"copy-file", "fallocate", "fcntl",       "fiemap",    "file-ioctl", "flock", "fpunch",
                     "fsize",     "hdd",       "inode-flags", "io",        "iomix",      "lease", "locka",
                     "lockf",     "lockofd",   "open",        "sync-file", "verity",     "xattr"};
  return all;
}

// In /tmp: the test's own directory is closed to other users.
TempDir OpenToAll() {
  unsetenv("TEST_TMPDIR");
  return TempDir();
}

// Runs each for a second, one after the other, in the directory `where`. The names of those that failed; all of them
// when stress-ng says that something did and not what. That it ran at all is expected.
Stressors FailuresIn(const std::string& where, const Stressors& stressors, std::string* output) {
  const TempDir dir;
  EXPECT_EQ(chmod(dir.path().c_str(), 0755), 0);
  std::string job = absl::StrCat("run sequential\nverify\ntimeout 1s\ntemp-path ", where, "\n");
  for (const std::string& stressor : stressors) absl::StrAppend(&job, stressor, " 1\n");
  WriteFile(dir / "job", job);
  const CommandResult result =
      RunCommand({"runuser", "-u", kUser, "--", "env", "-C", where, "stress-ng", "--job", dir / "job"});
  *output = result.out + result.err;
  // Also said of a run in which something failed.
  EXPECT_THAT(*output, testing::HasSubstr("run completed in")) << result;
  std::set<std::string> failed;
  for (absl::string_view line : absl::StrSplit(*output, '\n')) {
    // stress-ng: fail:  [1234] rename: what is wrong
    if (!absl::StartsWith(line, "stress-ng: fail:")) continue;
    const std::vector<std::string> words = absl::StrSplit(line, absl::ByAnyChar(" []"), absl::SkipEmpty());
    if (words.size() < 4) continue;
    const absl::string_view name = absl::StripSuffix(words[3], ":");
    for (const std::string& stressor : stressors) {
      // Some name a part of themselves: "hdd-opts".
      if (absl::StartsWith(name, stressor)) failed.insert(stressor);
    }
  }
  if (result.status != 0 && failed.empty()) return stressors;
  return Stressors(failed.begin(), failed.end());
}

struct Load {
  const char* name;
  const char* filesystem;
  const Stressors& (*stressors)();
};

class StressTest : public testing::TestWithParam<Load> {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "mounting for another user takes root";
    user_ = getpwnam(kUser);
    ASSERT_NE(user_, nullptr) << "no user '" << kUser << "': tests/setup.sh makes it";
    ASSERT_EQ(RunCommand({"stress-ng", "--version"}).status, 0) << "stress-ng is missing: tests/setup.sh installs it";
    EnterPrivateMountNamespace();
    ASSERT_EQ(chmod(dir_.path().c_str(), 0755), 0);
    base_ = dir_ / "base";
    MakeDirs(base_);
    const bool tmpfs = std::string(GetParam().filesystem) == "tmpfs";
    if (tmpfs) {
      ASSERT_EQ(mount("tmpfs", base_.c_str(), "tmpfs", 0, "mode=755"), 0);
    }
  }
  void TearDown() override {
    if (!base_.empty()) umount2(base_.c_str(), MNT_DETACH);  // no error where nothing is mounted there
  }

  void MakeJob(const std::string& path) {
    MakeDirs(path);
    ASSERT_EQ(chown(path.c_str(), user_->pw_uid, user_->pw_gid), 0);
  }

  TempDir dir_ = OpenToAll();
  std::string base_;
  const passwd* user_ = nullptr;
};

TEST_P(StressTest, FindsNoFaultThatThePlainFilesystemHasNot) {
  UnionOptions options = MakeUnionDirs(base_, 1);
  MakeJob(options.lowers[0] + "/job");
  MakeJob(base_ + "/plain");
  MountedUnion mounted(options);
  std::string output;
  const Stressors failed = FailuresIn(mounted / "job", GetParam().stressors(), &output);
  // What it leaves, it leaves on every filesystem: nothing.
  EXPECT_TRUE(std::filesystem::is_empty(mounted / "job")) << output;
  EXPECT_EQ(mounted.Unmount(), 0) << mounted.Log();
  for (const std::string& stressor : failed) {
    std::string plain_output;
    EXPECT_NE(FailuresIn(base_ + "/plain", {stressor}, &plain_output), Stressors{})
        << stressor << " fails in the union alone:\n"
        << output;
  }
}

INSTANTIATE_TEST_SUITE_P(Of, StressTest,
                         testing::Values(Load{"NamesOnTmpfs", "tmpfs", Names},
                                         Load{"ContentsOnTheDisk", "disk", Contents}),
                         [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace acetate
