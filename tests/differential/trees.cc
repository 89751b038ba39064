#include "tests/differential/trees.h"

#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/temp_dir.h"
#include "tests/differential/describe.h"
#include "tests/differential/materialise.h"
#include "tests/fixture/mounted_union.h"

namespace acetate::differential {
namespace {

class PlainTree : public Tree {
 public:
  explicit PlainTree(const std::string& root) : Tree("plain directory", root) {}
  std::string Close() override {
    worker_.reset();
    return "";
  }
};

class KernelTree : public Tree {
 public:
  KernelTree(const std::string& name, const UnionDirectories& directories, const std::string& options)
      : Tree(name, directories.mountpoint) {
    const std::string data = absl::StrCat("lowerdir=", absl::StrJoin(directories.lowers, ":"),
                                          ",upperdir=", directories.upper, ",workdir=", directories.work, ",", options);
    if (mount("overlay", root_.c_str(), "overlay", MS_NOATIME, data.c_str()) != 0) {
      throw std::runtime_error(absl::StrCat("mount overlay ", data, ": ", strerror(errno)));
    }
  }
  ~KernelTree() override { Close(); }
  std::string Close() override {
    worker_.reset();
    if (std::exchange(closed_, true)) return "";
    return umount(root_.c_str()) == 0 ? "" : absl::StrCat("umount: ", strerror(errno));
  }

 private:
  bool closed_ = false;
};

class ProgramTree : public Tree {
 public:
  ProgramTree(const std::string& program, const UnionDirectories& directories, int max_fds,
              const std::vector<std::string>& more_options)
      : Tree(program.empty() ? "fusefs" : program, directories.mountpoint) {
    UnionOptions options;
    options.lowers = directories.lowers;
    options.upper = directories.upper;
    options.work = directories.work;
    options.mountpoint = directories.mountpoint;
    options.program = program;
    options.max_fds = max_fds;
    options.mount_options = {"allow_other", "default_permissions"};
    options.mount_options.insert(options.mount_options.end(), more_options.begin(), more_options.end());
    options.log_file = directories.mountpoint + ".log";
    mount_ = std::make_unique<MountedUnion>(options);
  }
  // The worker first: it keeps the mount busy.
  ~ProgramTree() override { worker_.reset(); }
  std::string Close() override {
    worker_.reset();
    const int status = mount_->Unmount();
    if (status == 0) return "";
    return absl::StrCat("the daemon ended with status ", status, "; it wrote: ", mount_->Log());
  }
  void Kill() override {
    worker_.reset();
    mount_->KillDaemon();
  }

 private:
  std::unique_ptr<MountedUnion> mount_;
};

bool IsWhiteout(const std::string& path) {
  struct stat st;
  return lstat(path.c_str(), &st) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == 0;
}

bool IsOpaque(const std::string& path) {
  char value[8];
  return lgetxattr(path.c_str(), "trusted.overlay.opaque", value, sizeof(value)) == 1 && value[0] == 'y';
}

// Where the layers below hold what the upper directory `path` merges, when they hold its parent at `parent`.
std::string PathBelow(const std::string& upper, const std::string& path, const std::string& parent) {
  char value[4096];
  const ssize_t size = lgetxattr((upper + path).c_str(), "trusted.overlay.redirect", value, sizeof(value));
  if (size < 0) return parent + path.substr(path.rfind('/'));
  const std::string redirect(value, static_cast<size_t>(size));
  return redirect[0] == '/' ? redirect : parent + "/" + redirect;
}

// Whiteouts of `upper`/`path` that hide nothing that the lowers (mounted on `below`) show at `path_below`.
void FindNeedless(const std::string& upper, const std::string& below, const std::string& path,
                  const std::string& path_below, bool hidden, std::string& needless) {
  std::vector<DirectoryEntry> entries;
  ListDirectory(upper + path, entries);
  for (const DirectoryEntry& entry : entries) {
    const std::string child = path + "/" + entry.name;
    struct stat st;
    if (IsWhiteout(upper + child)) {
      if (hidden || lstat((below + path_below + "/" + entry.name).c_str(), &st) != 0) {
        absl::StrAppend(&needless, " ", Escape(child));
      }
    } else if (lstat((upper + child).c_str(), &st) == 0 && S_ISDIR(st.st_mode)) {
      const bool opaque = IsOpaque(upper + child);
      const std::string child_below = PathBelow(upper, child, path_below);
      // Below a redirect there is something again, whatever hides the names above it.
      const bool redirected = !opaque && child_below != path_below + "/" + entry.name;
      FindNeedless(upper, below, child, child_below, opaque || (hidden && !redirected), needless);
    }
  }
}

}  // namespace

UnionDirectories MaterialiseLayers(const Layers& layers, const std::string& base) {
  UnionDirectories directories;
  directories.upper = base + "/upper";
  directories.work = base + "/work";
  directories.mountpoint = base + "/mnt";
  for (const std::string& made : {directories.upper, directories.work, directories.mountpoint}) MakeDirs(made);
  Materialise(layers.entries, 0, directories.upper);
  for (int layer = 1; layer < layers.count; ++layer) {
    directories.lowers.push_back(absl::StrCat(base, "/lower", layer - 1));
    MakeDirs(directories.lowers.back());
    Materialise(layers.entries, layer, directories.lowers.back());
  }
  return directories;
}

std::unique_ptr<Tree> MakePlainTree(const Layers& layers, const std::string& base) {
  const std::string root = base + "/plain";
  MakeDirs(root);
  Materialise(Flatten(layers), 0, root);
  return std::make_unique<PlainTree>(root);
}

std::unique_ptr<Tree> MountKernelUnion(const std::string& name, const UnionDirectories& directories,
                                       const std::string& options) {
  return std::make_unique<KernelTree>(name, directories, options);
}

std::unique_ptr<Tree> MountProgramUnion(const std::string& program, const UnionDirectories& directories, int max_fds,
                                        const std::vector<std::string>& options) {
  return std::make_unique<ProgramTree>(program, directories, max_fds, options);
}

std::string CheckLeftovers(const UnionDirectories& directories) {
  const std::string below = directories.mountpoint + ".below";
  MakeDirs(below);
  // One lower alone is refused without an upper; an empty one beside it changes nothing.
  const std::string empty = directories.mountpoint + ".empty";
  MakeDirs(empty);
  const std::string data = absl::StrCat("lowerdir=", absl::StrJoin(directories.lowers, ":"), ":", empty);
  if (mount("overlay", below.c_str(), "overlay", MS_RDONLY, data.c_str()) != 0) {
    return absl::StrCat("mount ", data, ": ", strerror(errno));
  }
  std::string needless;
  FindNeedless(directories.upper, below, "", "", false, needless);
  umount(below.c_str());
  if (!needless.empty()) return "whiteouts that hide nothing:" + needless;
  std::vector<DirectoryEntry> left;
  ListDirectory(directories.work + "/work", left);
  for (const DirectoryEntry& entry : left) {
    // A union may keep a whiteout to make links of.
    if (!IsWhiteout(directories.work + "/work/" + entry.name)) return "left in the work directory: " + entry.name;
  }
  return "";
}

std::string WalkText(const std::string& root, time_t since) { return Worker(root, since).Run(Op()); }

}  // namespace acetate::differential
