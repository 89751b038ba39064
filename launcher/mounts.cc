#include "launcher/mounts.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>

#include "common/syscalls.h"
#include "launcher/files.h"

namespace acetate::launcher {
namespace {

constexpr uint64_t kInside = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;

ErrnoOr<UniqueFd> NewFilesystem(const MountFilesystem& step) {
  ACETATE_ASSIGN_OR_RETURN(UniqueFd fs, sys::FsOpen(step.type.c_str()));
  ACETATE_RETURN_IF_ERROR(sys::FsConfigString(fs.get(), "source", step.type.c_str()));
  for (const auto& [key, value] : step.options) {
    ACETATE_RETURN_IF_ERROR(value.empty() ? sys::FsConfigFlag(fs.get(), key.c_str())
                                          : sys::FsConfigString(fs.get(), key.c_str(), value.c_str()));
  }
  ACETATE_RETURN_IF_ERROR(sys::FsConfigCreate(fs.get()));
  return sys::FsMount(fs.get(), static_cast<unsigned>(step.attributes));
}

// A node that is not the device it is called is ENODEV: on a host that is itself a container anything may lie there.
ErrnoOr<UniqueFd> HostDevice(const BindDevice& step) {
  char path[64];
  snprintf(path, sizeof(path), "/dev/%s", step.name.c_str());
  ACETATE_ASSIGN_OR_RETURN(UniqueFd source, sys::OpenTree(AT_FDCWD, path, OPEN_TREE_CLONE));
  struct stat st;
  if (fstat(source.get(), &st) != 0) return Errno::Last();
  if (!S_ISCHR(st.st_mode) || st.st_rdev != makedev(step.major, step.minor)) return Errno(ENODEV);
  return source;
}

ErrnoOr<UniqueFd> HostPath(const BindVolume& step) {
  ACETATE_ASSIGN_OR_RETURN(UniqueFd source,
                           sys::OpenTree(AT_FDCWD, step.volume.source.c_str(), OPEN_TREE_CLONE | AT_RECURSIVE));
  const uint64_t attributes =
      (step.volume.read_only ? MOUNT_ATTR_RDONLY : 0) | (step.no_devices ? MOUNT_ATTR_NODEV : 0);
  if (attributes != 0) ACETATE_RETURN_IF_ERROR(sys::MountSetAttr(source.get(), attributes, true));
  return source;
}

// What it is was looked at before, by its name; here it is the thing itself.
ErrnoOr<UniqueFd> HostNode(const BindHostDevice& step) {
  ACETATE_ASSIGN_OR_RETURN(UniqueFd source, sys::OpenTree(AT_FDCWD, step.device.source.c_str(), OPEN_TREE_CLONE));
  struct stat st;
  if (fstat(source.get(), &st) != 0) return Errno::Last();
  if (!S_ISCHR(st.st_mode) && !S_ISBLK(st.st_mode)) return Errno(ENODEV);
  // Keeps its times and its permissions from being changed; not its being written.
  if (step.device.read_only) ACETATE_RETURN_IF_ERROR(sys::MountSetAttr(source.get(), MOUNT_ATTR_RDONLY, false));
  return source;
}

ErrnoOr<UniqueFd> HostSys() {
  ACETATE_ASSIGN_OR_RETURN(UniqueFd source, sys::OpenTree(AT_FDCWD, "/sys", OPEN_TREE_CLONE | AT_RECURSIVE));
  ACETATE_RETURN_IF_ERROR(sys::MountSetAttr(source.get(), MOUNT_ATTR_RDONLY, true));
  return source;
}

ErrnoOr<UniqueFd> CloneMount(int fd) { return sys::OpenTree(fd, "", OPEN_TREE_CLONE | AT_EMPTY_PATH); }

// Makes the last part of `path` in the directory that the part before it names.
Errno MakeLast(int root, const char* path, bool directory, uint64_t resolve) {
  char parent[PATH_MAX];
  const char* slash = strrchr(path, '/');
  const char* name = slash != nullptr ? slash + 1 : path;
  size_t length = slash != nullptr ? static_cast<size_t>(slash - path) : 0;
  if (length >= sizeof(parent)) return Errno(ENAMETOOLONG);
  memcpy(parent, path, length);
  parent[length] = '\0';
  ACETATE_ASSIGN_OR_RETURN(UniqueFd dir, OpenInside(root, length > 0 ? parent : "/", O_PATH | O_DIRECTORY, resolve));
  if (directory) {
    return mkdirat(dir.get(), name, 0755) == 0 || errno == EEXIST ? kOk : Errno::Last();
  }
  return sys::OpenAt(dir.get(), name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0644).error();
}

}  // namespace

ErrnoOr<UniqueFd> OpenNewSource(const ContainerAction& action) {
  if (const auto* step = std::get_if<MountFilesystem>(&action)) return NewFilesystem(*step);
  return UniqueFd();
}

ErrnoOr<UniqueFd> OpenHostSource(const ContainerAction& action) {
  if (const auto* step = std::get_if<BindDevice>(&action)) return HostDevice(*step);
  if (const auto* step = std::get_if<BindVolume>(&action)) return HostPath(*step);
  if (const auto* step = std::get_if<BindHostDevice>(&action)) return HostNode(*step);
  if (std::holds_alternative<ShowHostSys>(action)) return HostSys();
  if (const auto* step = std::get_if<ShowEtcFile>(&action)) {
    return sys::OpenTree(AT_FDCWD, step->source.c_str(), OPEN_TREE_CLONE);
  }
  return UniqueFd();
}

ErrnoOr<UniqueFd> OpenOrMake(int root, const char* path, TargetKind kind, uint64_t resolve) {
  resolve |= kInside;
  uint64_t flags = O_PATH | (kind == TargetKind::kDirectory ? O_DIRECTORY : 0);
  ErrnoOr<UniqueFd> fd = OpenInside(root, path, flags, resolve);
  if (fd.ok() || !(fd.error() == ENOENT)) return fd;
  // Top down, each part that is missing.
  char prefix[PATH_MAX];
  for (const char* end = strchr(path + 1, '/');; end = strchr(end + 1, '/')) {
    size_t length = end != nullptr ? static_cast<size_t>(end - path) : strlen(path);
    if (length >= sizeof(prefix)) return Errno(ENAMETOOLONG);
    memcpy(prefix, path, length);
    prefix[length] = '\0';
    Errno error = OpenInside(root, prefix, O_PATH, resolve).error();
    if (error == ENOENT) error = MakeLast(root, prefix, end != nullptr || kind == TargetKind::kDirectory, resolve);
    if (!error.ok()) return error;
    if (end == nullptr) break;
  }
  return OpenInside(root, path, flags, resolve);
}

ErrnoOr<UniqueFd> Mounter::Resolve(const std::string& path) const {
  return OpenInside(root_, path.c_str(), O_PATH | O_NOFOLLOW, kInside | RESOLVE_NO_SYMLINKS);
}

Errno Mounter::Attach(const MountFilesystem& step, const UniqueFd& source) {
  ACETATE_ASSIGN_OR_RETURN(UniqueFd target,
                           OpenOrMake(root_, step.target.c_str(), TargetKind::kDirectory, RESOLVE_NO_SYMLINKS));
  return sys::MoveMount(source.get(), target.get());
}

Errno Mounter::Attach(const BindDevice& step, const UniqueFd& source) {
  char path[64];
  snprintf(path, sizeof(path), "/dev/%s", step.name.c_str());
  ACETATE_ASSIGN_OR_RETURN(UniqueFd target, OpenOrMake(root_, path, TargetKind::kFile, RESOLVE_NO_SYMLINKS));
  if (step.name == "null") null_ = source.get();
  return sys::MoveMount(source.get(), target.get());
}

Errno Mounter::Attach(const BindVolume& step, const UniqueFd& source) {
  struct stat st;
  if (fstat(source.get(), &st) != 0) return Errno::Last();
  TargetKind kind = S_ISDIR(st.st_mode) ? TargetKind::kDirectory : TargetKind::kFile;
  ACETATE_ASSIGN_OR_RETURN(UniqueFd target, OpenOrMake(root_, step.volume.target.c_str(), kind, 0));
  return sys::MoveMount(source.get(), target.get());
}

Errno Mounter::Attach(const BindHostDevice& step, const UniqueFd& source) {
  ACETATE_ASSIGN_OR_RETURN(UniqueFd target, OpenOrMake(root_, step.device.target.c_str(), TargetKind::kFile, 0));
  return sys::MoveMount(source.get(), target.get());
}

Errno Mounter::Attach(const ShowHostSys&, const UniqueFd& source) {
  ACETATE_ASSIGN_OR_RETURN(UniqueFd target, OpenOrMake(root_, "/sys", TargetKind::kDirectory, RESOLVE_NO_SYMLINKS));
  return sys::MoveMount(source.get(), target.get());
}

Errno Mounter::Attach(const ShowEtcFile& step, const UniqueFd& source) {
  char path[64];
  snprintf(path, sizeof(path), "/etc/%s", step.name.c_str());
  ErrnoOr<UniqueFd> target = OpenOrMake(root_, path, TargetKind::kFile, 0);
  if (target.error() == EEXIST) {
    // A link to what a service of the image would make.
    ACETATE_ASSIGN_OR_RETURN(UniqueFd etc, OpenInside(root_, "/etc", O_PATH | O_DIRECTORY, kInside));
    if (unlinkat(etc.get(), step.name.c_str(), 0) != 0) return Errno::Last();
    target = OpenOrMake(root_, path, TargetKind::kFile, 0);
  }
  if (!target.ok()) return target.error();
  return sys::MoveMount(source.get(), target->get());
}

Errno Mounter::Attach(const MaskPath& step) {
  ErrnoOr<UniqueFd> target = Resolve(step.path);
  if (!target.ok()) return target.error() == ENOENT ? kOk : target.error();
  struct stat st;
  if (fstat(target->get(), &st) != 0) return Errno::Last();
  if (S_ISDIR(st.st_mode)) return MaskDirectory(*target);
  ACETATE_ASSIGN_OR_RETURN(UniqueFd null, CloneMount(null_));
  return sys::MoveMount(null.get(), target->get());
}

// A mount can be cloned once it is attached: the first directory gets the empty filesystem itself.
Errno Mounter::MaskDirectory(const UniqueFd& target) {
  if (empty_.valid()) {
    ACETATE_ASSIGN_OR_RETURN(UniqueFd empty, CloneMount(empty_.get()));
    return sys::MoveMount(empty.get(), target.get());
  }
  ACETATE_ASSIGN_OR_RETURN(UniqueFd fs, sys::FsOpen("tmpfs"));
  ACETATE_RETURN_IF_ERROR(sys::FsConfigFlag(fs.get(), "ro"));
  ACETATE_RETURN_IF_ERROR(sys::FsConfigCreate(fs.get()));
  ACETATE_ASSIGN_OR_RETURN(
      empty_, sys::FsMount(fs.get(), MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC));
  return sys::MoveMount(empty_.get(), target.get());
}

Errno Mounter::Attach(const MakeReadOnly& step) {
  ErrnoOr<UniqueFd> target = Resolve(step.path);
  if (!target.ok()) return target.error() == ENOENT ? kOk : target.error();
  ACETATE_ASSIGN_OR_RETURN(UniqueFd clone, CloneMount(target->get()));
  ACETATE_RETURN_IF_ERROR(sys::MountSetAttr(clone.get(), MOUNT_ATTR_RDONLY, false));
  return sys::MoveMount(clone.get(), target->get());
}

Errno Mounter::AttachConsole(const UniqueFd& terminal) {
  ACETATE_ASSIGN_OR_RETURN(UniqueFd clone, CloneMount(terminal.get()));
  ACETATE_ASSIGN_OR_RETURN(UniqueFd target, OpenOrMake(root_, "/dev/console", TargetKind::kFile, RESOLVE_NO_SYMLINKS));
  return sys::MoveMount(clone.get(), target.get());
}

Errno Mounter::Make(const MakeSymlink& step) {
  // All links go into /dev, which is our own tmpfs by now: no link of the image is on the way.
  return symlinkat(step.target.c_str(), root_, step.link.c_str() + 1) == 0 ? kOk : Errno::Last();
}

}  // namespace acetate::launcher
