// A layer that one union wrote is read by another: fusefs, the kernel's overlayfs and Debian's fuse-overlayfs, as root
// and as a user in a namespace of its own. The tree that the reader shows must be the one that the writer showed last:
// names, types, modes, owners, contents, targets, links, times and the xattrs that a user sees.
//
// The differential test does random operations; this one does the same few with each writer, so that each kind of mark
// is there: whiteouts, opaque directories, redirects, metadata-only copies, hard links.
#include <fcntl.h>
#include <grp.h>
#include <gtest/gtest.h>
#include <pwd.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "common/temp_dir.h"
#include "common/unique_fd.h"
#include "tests/differential/describe.h"
#include "tests/e2e/command.h"
#include "tests/fixture/mounted_union.h"

namespace acetate {
namespace {

constexpr char kUser[] = "acetate";

void Require(bool ok, const std::string& what) {
  if (!ok) throw std::runtime_error(absl::StrCat(what, ": ", strerror(errno)));
}

// Two lowers: merged directories, a whiteout and an opaque directory in the upper of them, hard links.
constexpr char kMakeLowers[] = R"(
  cd "$1"
  mkdir -p changed/deep removed/sub moved/sub replaced attributes again
  for f in changed/a changed/b changed/deep/c removed/x removed/sub/y moved/r moved/sub/s replaced/old attributes/f \
           deleted cut grown names times again/one again/two; do echo "lower $f" >$f; done
  ln names names2
  ln -s target link
  mkfifo fifo
  truncate -s 300000 sparse; echo tail >>sparse
  setfattr -n user.kept -v 1 attributes/f
  cd "$2"
  mkdir -p changed moved/sub under
  echo bottom >changed/bottom; echo bottom >moved/sub/bottom; echo bottom >under/bottom; echo bottom >again-below
  find "$1" "$2" -exec touch -h -d '2001-02-03 04:05:06' {} +
)";

// What a writer does; `mv` copies where the union refuses to rename.
constexpr char kChange[] = R"(
  echo more >>changed/a
  rm changed/b
  rm -r removed
  mv moved renamed
  echo new >renamed/sub/new
  rm renamed/r
  rm -r replaced; mkdir replaced; echo new >replaced/new
  chmod 640 attributes/f
  chmod 2750 attributes
  setfattr -n user.added -v value attributes/f
  rm deleted
  truncate -s 3 cut
  echo end >>grown
  echo through one name >>names
  ln changed/deep/c hard
  ln grown grown2
  touch -d '2005-06-07 08:09:10' times
  rm link; ln -s other link
  rm fifo; mkdir fifo; mkdir fifo/inside
  printf x | dd of=sparse bs=1 seek=5000 conv=notrunc status=none
  mkdir fresh; echo fresh >fresh/file; rm again/one; mv again/two again/one
  rm -r under; echo a file now >under
  mkdir -p made/deep/below; rm -r made/deep; mkdir made/deep
)";
// Of root alone: other owners, devices.
constexpr char kChangeAsRoot[] = R"(
  chown 33:44 changed/deep/c attributes
  mknod device c 1 3
  setfattr -n trusted.mine -v t grown
)";

// One union over `directories`, mounted as long as it lives.
class AnyUnion {
 public:
  virtual ~AnyUnion() = default;
};

class KernelUnion : public AnyUnion {
 public:
  KernelUnion(const UnionOptions& directories, const std::string& options) : mountpoint_(directories.mountpoint) {
    const std::string data = absl::StrCat("lowerdir=", absl::StrJoin(directories.lowers, ":"),
                                          ",upperdir=", directories.upper, ",workdir=", directories.work, options);
    Require(mount("overlay", mountpoint_.c_str(), "overlay", 0, data.c_str()) == 0, "mount overlay " + data);
  }
  ~KernelUnion() override { umount2(mountpoint_.c_str(), 0); }

 private:
  const std::string mountpoint_;
};

class ProgramUnion : public AnyUnion {
 public:
  ProgramUnion(const UnionOptions& directories, const std::string& program, const std::string& options)
      : mounted_(With(directories, program, options)) {}
  ~ProgramUnion() override { EXPECT_EQ(mounted_.Unmount(), 0) << mounted_.Log(); }

 private:
  static UnionOptions With(UnionOptions directories, const std::string& program, const std::string& options) {
    directories.program = program;
    directories.mount_options = absl::StrSplit(options, ',', absl::SkipEmpty());
    return directories;
  }
  MountedUnion mounted_;
};

// How one of the unions is mounted.
struct Kind {
  const char* name;
  enum { kFusefs, kKernel, kFuseOverlayfs } program;
  const char* options;
};

std::unique_ptr<AnyUnion> Mount(const Kind& kind, const UnionOptions& directories) {
  switch (kind.program) {
    case Kind::kKernel:
      return std::make_unique<KernelUnion>(directories, absl::StrCat(",", kind.options));
    case Kind::kFuseOverlayfs:
      return std::make_unique<ProgramUnion>(directories, "fuse-overlayfs", kind.options);
    case Kind::kFusefs:
      break;
  }
  return std::make_unique<ProgramUnion>(directories, "", kind.options);
}

// The tree at `root`. Left out are access times, which reading changes; the files that fuse-overlayfs marks opaque
// directories with, which every other union shows; and its own xattrs, likewise.
std::string TreeOf(const std::string& root) {
  Require(chdir(root.c_str()) == 0, "chdir " + root);
  std::string text;
  // A year that no file has: the time of what was just written is compared too.
  for (const std::string& line : differential::Describer(4102444800).Walk()) {
    const std::vector<std::string> words = absl::StrSplit(line, ' ');
    if (absl::StrContains(words[0], ".wh.")) continue;
    std::vector<std::string> kept;
    for (const std::string& word : words) {
      if (absl::StartsWith(word, "atime=")) continue;
      if (!absl::StartsWith(word, "xattrs={")) {
        kept.push_back(word);
        continue;
      }
      std::vector<std::string> xattrs = absl::StrSplit(word.substr(8, word.size() - 9), ',');
      std::erase_if(xattrs, [](const std::string& xattr) { return absl::StartsWith(xattr, "user.fuseoverlayfs."); });
      if (!xattrs.empty()) kept.push_back(absl::StrCat("xattrs={", absl::StrJoin(xattrs, ","), "}"));
    }
    absl::StrAppend(&text, absl::StrJoin(kept, " "), "\n");
  }
  Require(chdir("/") == 0, "chdir /");
  return text;
}

void RunScript(const std::string& directory, const std::string& script, const std::vector<std::string>& arguments) {
  std::vector<std::string> argv = {"env", "-C", directory, "sh", "-euc", script, "sh"};
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  const CommandResult result = RunCommand(argv);
  if (result.status != 0) throw std::runtime_error(absl::StrCat("the script: ", result.err));
}

// What the writer shows at its end, and what each reader shows then.
struct Trees {
  std::string written;
  std::vector<std::string> read;
};

Trees WriteAndRead(const Kind& writer, const std::vector<Kind>& readers, bool as_root) {
  const TempDir dir;
  UnionOptions directories = MakeUnionDirs(dir.path(), 2);
  RunScript("/", kMakeLowers, directories.lowers);
  Trees trees;
  {
    const std::unique_ptr<AnyUnion> mounted = Mount(writer, directories);
    RunScript(directories.mountpoint, absl::StrCat(kChange, as_root ? kChangeAsRoot : ""), {});
  }
  {
    // Mounted anew, so that what it remembers is not compared with what it wrote.
    const std::unique_ptr<AnyUnion> mounted = Mount(writer, directories);
    trees.written = TreeOf(directories.mountpoint);
  }
  for (const Kind& reader : readers) {
    const std::unique_ptr<AnyUnion> mounted = Mount(reader, directories);
    trees.read.push_back(TreeOf(directories.mountpoint));
  }
  return trees;
}

// fuse-overlayfs 1.10 counts no links of what it copied up, and finds the contents of a lower file's other names in a
// copy of one of them by an xattr that only it knows: hard links are not compared with it.
std::vector<std::string> Lines(const std::string& tree, bool hard_links) {
  std::vector<std::string> lines = absl::StrSplit(tree, '\n');
  if (hard_links) return lines;
  std::erase_if(lines, [](const std::string& line) { return absl::StartsWith(line, "names"); });
  for (std::string& line : lines) {
    std::vector<std::string> words = absl::StrSplit(line, ' ');
    std::erase_if(words, [](const std::string& word) {
      return absl::StartsWith(word, "nlink=") || absl::StartsWith(word, "inode-of=");
    });
    line = absl::StrJoin(words, " ");
  }
  return lines;
}

void ExpectSame(const Kind& writer, const std::vector<Kind>& readers, const Trees& trees) {
  EXPECT_GT(trees.written.size(), 1000U) << trees.written;
  ASSERT_EQ(trees.read.size(), readers.size());
  for (size_t i = 0; i < readers.size(); ++i) {
    const bool hard_links = writer.program != Kind::kFuseOverlayfs && readers[i].program != Kind::kFuseOverlayfs;
    const std::vector<std::string> written = Lines(trees.written, hard_links);
    std::string tree = trees.read[i];
    // The kernel finds the numbers of entries wrong in upper directories that it did not make, as the differential test
    // knows too.
    if (readers[i].program == Kind::kKernel) tree = absl::StrReplaceAll(tree, {{" but d_ino is not st_ino", ""}});
    const std::vector<std::string> read = Lines(tree, hard_links);
    ASSERT_EQ(read.size(), written.size()) << trees.written << "\nread by " << readers[i].name << "\n" << trees.read[i];
    for (size_t line = 0; line < read.size(); ++line) {
      EXPECT_EQ(read[line], written[line]) << "written by " << writer.name << ", read by " << readers[i].name;
    }
  }
}

void WriteTo(const std::string& path, const std::string& text) {
  const UniqueFd fd(open(path.c_str(), O_WRONLY | O_CLOEXEC));
  Require(write(fd.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()), "write " + path);
}

// Becomes the unprivileged user, as root of namespaces of its own.
void EnterNamespaces() {
  const passwd* user = getpwnam(kUser);
  Require(user != nullptr, absl::StrCat("no user '", kUser, "': tests/setup.sh makes it"));
  const uid_t uid = user->pw_uid;
  const gid_t gid = user->pw_gid;
  Require(setgroups(0, nullptr) == 0 && setgid(gid) == 0 && setuid(uid) == 0, "become a user");
  Require(prctl(PR_SET_DUMPABLE, 1) == 0, "prctl");  // the change of user closed /proc/self
  Require(unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0, "unshare");
  WriteTo("/proc/self/setgroups", "deny");
  WriteTo("/proc/self/uid_map", absl::StrCat("0 ", uid, " 1"));
  WriteTo("/proc/self/gid_map", absl::StrCat("0 ", gid, " 1"));
}

class InteropTest : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "mounting the kernel's overlayfs takes root";
    for (const char* program : {"fuse-overlayfs", "setfattr"}) {
      ASSERT_EQ(RunCommand({program, "--version"}).status, 0) << program << " is missing: tests/setup.sh installs it";
    }
    // The test's own directory is closed to other users.
    unsetenv("TEST_TMPDIR");
    EnterPrivateMountNamespace();
  }

  void AsRoot(const Kind& writer, const std::vector<Kind>& readers) {
    ExpectSame(writer, readers, WriteAndRead(writer, readers, /*as_root=*/true));
  }

  // In a process of its own, which tells the trees through files.
  void AsUser(const Kind& writer, const std::vector<Kind>& readers) {
    const TempDir dir;
    // The build's own directory may be closed to the user.
    std::filesystem::copy_file(FusefsProgram(), dir / "fusefs");
    ASSERT_EQ(chmod((dir / "fusefs").c_str(), 0755), 0);
    ASSERT_EQ(chmod(dir.path().c_str(), 0777), 0);
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      int status = 1;
      try {
        EnterNamespaces();
        setenv("ACETATE_FUSEFS", (dir / "fusefs").c_str(), 1);
        const Trees trees = WriteAndRead(writer, readers, /*as_root=*/false);
        WriteFile(dir / "written", trees.written);
        for (size_t i = 0; i < readers.size(); ++i) WriteFile(dir / absl::StrCat("read", i), trees.read[i]);
        status = HasFailure() ? 1 : 0;
      } catch (const std::exception& error) {
        fprintf(stderr, "as a user, written by %s: %s\n", writer.name, error.what());
      }
      fflush(nullptr);
      _exit(status);
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_EQ(status, 0) << "see above";
    Trees trees = {ReadFile(dir / "written"), {}};
    for (size_t i = 0; i < readers.size(); ++i) trees.read.push_back(ReadFile(dir / absl::StrCat("read", i)));
    ExpectSame(writer, readers, trees);
  }
};

constexpr char kAllMarks[] = "redirect_dir=on,metacopy=on,index=on";
// What fuse-overlayfs, and the kernel with userxattr, know of.
constexpr char kPlainMarks[] = "redirect_dir=off,metacopy=off,index=off";

constexpr Kind kFusefs = {"fusefs", Kind::kFusefs, kAllMarks};
constexpr Kind kPlainFusefs = {"fusefs without redirects and metadata-only copies", Kind::kFusefs, kPlainMarks};
constexpr Kind kKernel = {"the kernel's overlayfs", Kind::kKernel, kAllMarks};
constexpr Kind kUserKernel = {"the kernel's overlayfs with userxattr", Kind::kKernel, "userxattr"};
constexpr Kind kFuseOverlayfs = {"fuse-overlayfs", Kind::kFuseOverlayfs, ""};

TEST_F(InteropTest, TheKernelReadsWhatFusefsWrote) { AsRoot(kFusefs, {kKernel}); }

TEST_F(InteropTest, FusefsReadsWhatTheKernelWrote) { AsRoot(kKernel, {kFusefs}); }

TEST_F(InteropTest, FuseOverlayfsReadsWhatFusefsWrote) { AsRoot(kPlainFusefs, {kFuseOverlayfs, kKernel}); }

TEST_F(InteropTest, FusefsReadsWhatFuseOverlayfsWrote) { AsRoot(kFuseOverlayfs, {kFusefs}); }

TEST_F(InteropTest, AUsersLayerThatFusefsWrote) { AsUser(kPlainFusefs, {kUserKernel, kFuseOverlayfs}); }

TEST_F(InteropTest, AUsersLayerThatTheKernelWrote) { AsUser(kUserKernel, {kFusefs}); }

TEST_F(InteropTest, AUsersLayerThatFuseOverlayfsWrote) { AsUser(kFuseOverlayfs, {kFusefs}); }

}  // namespace
}  // namespace acetate
