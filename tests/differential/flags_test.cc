// Flags of files (chattr, FS_IOC_FSGETXATTR) in a union and in the kernel's overlayfs over the same layers: one list of
// acts in both, which must answer the same; on an ext4 of its own and on a tmpfs.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/temp_dir.h"
#include "common/unique_fd.h"
#include "tests/fixture/mounted_union.h"

namespace acetate::differential {
namespace {

using Answers = std::vector<std::string>;

void Require(bool ok, const std::string& what) {
  if (!ok) throw std::runtime_error(what + ": " + strerror(errno));
}

std::string Answer(long result) { return result < 0 ? strerror(errno) : "ok"; }

UniqueFd Open(const std::string& path) {
  return UniqueFd(open(path.c_str(), O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC));
}

// What differs between filesystems, and from file to file, by itself: how data are laid out.
constexpr unsigned kCompared = FS_IMMUTABLE_FL | FS_APPEND_FL | FS_NODUMP_FL | FS_NOATIME_FL | FS_SYNC_FL;

std::string Flags(const std::string& path) {
  const UniqueFd fd = Open(path);
  unsigned flags = 0;
  fsxattr attributes = {};
  if (ioctl(fd.get(), FS_IOC_GETFLAGS, &flags) != 0) return strerror(errno);
  if (ioctl(fd.get(), FS_IOC_FSGETXATTR, &attributes) != 0) return strerror(errno);
  return absl::StrCat(absl::Hex(flags & kCompared), " ", absl::Hex(attributes.fsx_xflags));
}

std::string Change(const std::string& path, unsigned set, unsigned clear) {
  const UniqueFd fd = Open(path);
  unsigned flags = 0;
  if (ioctl(fd.get(), FS_IOC_GETFLAGS, &flags) != 0) return strerror(errno);
  flags = (flags | set) & ~clear;
  return Answer(ioctl(fd.get(), FS_IOC_SETFLAGS, &flags));
}

std::string ChangeXflags(const std::string& path, unsigned set, unsigned clear) {
  const UniqueFd fd = Open(path);
  fsxattr attributes = {};
  if (ioctl(fd.get(), FS_IOC_FSGETXATTR, &attributes) != 0) return strerror(errno);
  attributes.fsx_xflags = (attributes.fsx_xflags | set) & ~clear;
  return Answer(ioctl(fd.get(), FS_IOC_FSSETXATTR, &attributes));
}

// A write that may be refused when the file is opened or when it is written.
std::string Write(const std::string& path, int flags) {
  const UniqueFd fd(open(path.c_str(), O_WRONLY | O_CLOEXEC | flags));
  return fd.valid() ? Answer(write(fd.get(), "written", 7)) : Answer(-1);
}

// Everything that the flags of a file and of its directory have a say in, from what changes least on. Of what is
// allowed the file is left as it was, by other writes than the times.
void TryFile(const std::string& path, Answers* answers) {
  const auto note = [&](const char* act, const std::string& answer) {
    answers->push_back(absl::StrCat(path, ": ", act, ": ", answer));
  };
  note("flags", Flags(path));
  note("write", Write(path, 0));
  note("append", Write(path, O_APPEND));
  note("truncate", Answer(truncate(path.c_str(), 3)));
  note("open to truncate", Write(path, O_TRUNC));
  note("chmod", Answer(chmod(path.c_str(), 0640)));
  note("chown", Answer(chown(path.c_str(), 7, 7)));
  const timespec times[2] = {{1000, 0}, {1000, 0}};
  note("times", Answer(utimensat(AT_FDCWD, path.c_str(), times, 0)));
  note("touch", Answer(utimensat(AT_FDCWD, path.c_str(), nullptr, 0)));
  note("setxattr", Answer(setxattr(path.c_str(), "user.a", "1", 1, 0)));
  note("removexattr", Answer(removexattr(path.c_str(), "user.a")));
  {
    const UniqueFd fd(open(path.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC));
    note("allocate", fd.valid() ? Answer(fallocate(fd.get(), FALLOC_FL_KEEP_SIZE, 0, 100)) : Answer(-1));
    note("punch",
         fd.valid() ? Answer(fallocate(fd.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096)) : Answer(-1));
  }
  note("link", Answer(link(path.c_str(), (path + "-link").c_str())));
  note("rename", Answer(rename(path.c_str(), (path + "-moved").c_str())));
  note("back", Answer(rename((path + "-moved").c_str(), path.c_str())));
  WriteFile(path + "-other", "other");
  note("rename onto it", Answer(rename((path + "-other").c_str(), path.c_str())));
  note("unlink", Answer(unlink(path.c_str())));
}

void TryDirectory(const std::string& path, Answers* answers) {
  const auto note = [&](const char* act, const std::string& answer) {
    answers->push_back(absl::StrCat(path, ": ", act, ": ", answer));
  };
  note("flags", Flags(path));
  note("create", Answer(mknod((path + "/new").c_str(), S_IFREG | 0644, 0)));
  note("mkdir", Answer(mkdir((path + "/newdir").c_str(), 0755)));
  note("symlink", Answer(symlink("x", (path + "/newlink").c_str())));
  note("write inside", Write(path + "/inside", 0));
  note("unlink inside", Answer(unlink((path + "/inside").c_str())));
  note("rename inside", Answer(rename((path + "/other").c_str(), (path + "/another").c_str())));
  note("rename out", Answer(rename((path + "/other").c_str(), "other-out")));
  WriteFile("from-outside", "x");
  note("rename in", Answer(rename("from-outside", (path + "/from-outside").c_str())));
  note("chmod", Answer(chmod(path.c_str(), 0700)));
  note("rmdir", Answer(rmdir(path.c_str())));
  note("rename", Answer(rename(path.c_str(), (path + "-moved").c_str())));
  note("flags of the child", Flags(path + "/inside"));
}

// The layers of one union, with flags on some of the lower's objects.
void FillLower(const std::string& lower) {
  for (const char* name : {"plain", "immutable", "append", "both", "nodump", "noatime", "xflags", "cleared"}) {
    WriteFile(absl::StrCat(lower, "/", name), "of the lower layer");
  }
  for (const char* name : {"dir", "immutable-dir", "append-dir", "set-dir"}) {
    MakeDirs(absl::StrCat(lower, "/", name));
    for (const char* child : {"/inside", "/other"}) WriteFile(absl::StrCat(lower, "/", name, child), "inside");
  }
  Require(mkfifo((lower + "/fifo").c_str(), 0644) == 0, "mkfifo");
  const auto set = [&](const char* name, unsigned flags) {
    const std::string answer = Change(absl::StrCat(lower, "/", name), flags, 0);
    Require(answer == "ok", absl::StrCat("flags of ", name, ": ", answer));
  };
  set("immutable", FS_IMMUTABLE_FL);
  set("append", FS_APPEND_FL);
  set("both", FS_APPEND_FL | FS_IMMUTABLE_FL);
  set("nodump", FS_NODUMP_FL);
  set("noatime", FS_NOATIME_FL);
  set("cleared", FS_IMMUTABLE_FL);
  set("immutable-dir", FS_IMMUTABLE_FL);
  set("append-dir", FS_APPEND_FL);
}

// All acts, in the union that is the current directory.
Answers Act() {
  Answers answers;
  answers.push_back("fifo: " + Flags("fifo"));
  // What is set and cleared, on objects of both layers.
  WriteFile("upper", "of the upper layer");
  answers.push_back("set on an upper file: " + Change("upper", FS_IMMUTABLE_FL | FS_NODUMP_FL, 0));
  answers.push_back("set by the other call: " + ChangeXflags("xflags", FS_XFLAG_APPEND | FS_XFLAG_NOATIME, 0));
  answers.push_back("cleared: " + Change("cleared", 0, FS_IMMUTABLE_FL));
  answers.push_back("set on a directory: " + Change("set-dir", FS_APPEND_FL, 0));
  answers.push_back("set what is unknown: " + Change("plain", FS_UNRM_FL | 0x80000000U, 0));
  for (const char* name : {"plain", "immutable", "append", "both", "nodump", "noatime", "xflags", "cleared", "upper"}) {
    TryFile(name, &answers);
  }
  for (const char* name : {"dir", "immutable-dir", "append-dir", "set-dir"}) TryDirectory(name, &answers);
  return answers;
}

Answers FlagsOfAll() {
  Answers answers;
  for (const char* name :
       {"immutable", "append", "both", "xflags", "upper", "immutable-dir", "append-dir", "set-dir"}) {
    answers.push_back(absl::StrCat(name, ": ", Flags(name)));
  }
  return answers;
}

class FlagsTest : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "setting flags and mounting filesystems takes root";
    EnterPrivateMountNamespace();
    base_ = dir_ / "base";
    MakeDirs(base_);
    if (std::string(GetParam()) == "tmpfs") {
      Require(mount("tmpfs", base_.c_str(), "tmpfs", 0, nullptr) == 0, "mount tmpfs");
    } else {
      const std::string image = dir_ / "image";
      const std::string command = absl::StrCat("truncate -s 64M ", image, " && mkfs.ext4 -q -F ", image,
                                               " && mount -o loop ", image, " ", base_);
      ASSERT_EQ(system(command.c_str()), 0) << command;
    }
    mounted_ = true;
  }
  void TearDown() override {
    Require(chdir("/") == 0, "chdir /");
    if (mounted_) umount2(base_.c_str(), MNT_DETACH);
  }

  // A union over fresh layers, by the kernel or by us, and what `act` finds in it.
  Answers InKernel(const UnionOptions& options, const std::function<Answers()>& act) {
    const std::string data = absl::StrCat("lowerdir=", options.lowers[0], ",upperdir=", options.upper,
                                          ",workdir=", options.work, ",redirect_dir=on,index=on,metacopy=on");
    Require(mount("overlay", options.mountpoint.c_str(), "overlay", 0, data.c_str()) == 0, "mount overlay");
    Require(chdir(options.mountpoint.c_str()) == 0, "chdir");
    Answers answers = act();
    Require(chdir("/") == 0, "chdir /");
    Require(umount2(options.mountpoint.c_str(), 0) == 0, "umount overlay");
    return answers;
  }
  Answers InFusefs(const UnionOptions& options, const std::function<Answers()>& act) {
    MountedUnion mounted(options);
    Require(chdir(options.mountpoint.c_str()) == 0, "chdir");
    Answers answers = act();
    Require(chdir("/") == 0, "chdir /");
    EXPECT_EQ(mounted.Unmount(), 0) << mounted.Log();
    return answers;
  }
  UnionOptions Layers(const std::string& name) {
    UnionOptions options = MakeUnionDirs(base_ + "/" + name, 1);
    FillLower(options.lowers[0]);
    return options;
  }

  TempDir dir_;
  std::string base_;
  bool mounted_ = false;
};

TEST_P(FlagsTest, AnswersAsTheKernelsOverlayfs) {
  const UnionOptions kernel = Layers("kernel");
  const UnionOptions ours = Layers("ours");
  const Answers expected = InKernel(kernel, Act);
  const Answers seen = InFusefs(ours, Act);
  ASSERT_EQ(seen.size(), expected.size());
  for (size_t i = 0; i < seen.size(); ++i) EXPECT_EQ(seen[i], expected[i]);
}

TEST_P(FlagsTest, FlagsStayOverMountsByEitherOfBoth) {
  const UnionOptions kernel = Layers("kernel");
  const UnionOptions ours = Layers("ours");
  InKernel(kernel, Act);
  InFusefs(ours, Act);
  const Answers expected = InKernel(kernel, FlagsOfAll);
  EXPECT_EQ(InFusefs(ours, FlagsOfAll), expected) << "ours, mounted anew";
  EXPECT_EQ(InKernel(ours, FlagsOfAll), expected) << "ours, read by the kernel";
  EXPECT_EQ(InFusefs(kernel, FlagsOfAll), expected) << "the kernel's, read by us";
}

INSTANTIATE_TEST_SUITE_P(On, FlagsTest, testing::Values("ext4", "tmpfs"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace acetate::differential
