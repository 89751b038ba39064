#include "fusefs/passthrough.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "common/unique_fd.h"

namespace acetate::fusefs {
namespace {

bool Writes(const fuse_file_info& info) { return (info.flags & O_ACCMODE) != O_RDONLY; }

#if ACETATE_LIBFUSE_HAS_PASSTHROUGH

// PROC_USER_INIT_INO of the kernel.
constexpr ino_t kInitialUserNamespace = 0xEFFFFFFD;

// FUSE_DEV_IOC_BACKING_CLOSE, which headers before 6.9 lack.
constexpr unsigned long kCloseBacking = _IOW(229, 2, uint32_t);

bool HasCapability(unsigned capability) {
  __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2] = {};
  return syscall(SYS_capget, &header, data) == 0 && (data[0].effective & (1U << capability)) != 0;
}

// Whether `write` leaves setuid bits depends on who writes; what the kernel writes by itself is written by whoever
// registered the file. Without this right the filesystem below clears them.
class WithoutFsetid {
 public:
  WithoutFsetid() {
    if (syscall(SYS_capget, &header_, before_) != 0) return;
    __user_cap_data_struct data[2] = {before_[0], before_[1]};
    data[0].effective &= ~(1U << CAP_FSETID);
    done_ = syscall(SYS_capset, &header_, data) == 0;
  }
  ~WithoutFsetid() {
    if (done_) syscall(SYS_capset, &header_, before_);
  }
  WithoutFsetid(const WithoutFsetid&) = delete;
  WithoutFsetid& operator=(const WithoutFsetid&) = delete;
  bool done() const { return done_; }

 private:
  __user_cap_header_struct header_ = {_LINUX_CAPABILITY_VERSION_3, 0};  // of the calling thread
  __user_cap_data_struct before_[2] = {};
  bool done_ = false;
};

#endif

}  // namespace

absl::Status Passthrough::Check() {
#if ACETATE_LIBFUSE_HAS_PASSTHROUGH
  struct stat user_namespace;
  if (!HasCapability(CAP_SYS_ADMIN) || stat("/proc/self/ns/user", &user_namespace) != 0 ||
      user_namespace.st_ino != kInitialUserNamespace) {
    return absl::PermissionDeniedError(
        "passthrough: the kernel allows it only to root of the machine (CAP_SYS_ADMIN in the initial user namespace); "
        "mount as root, or leave the option out");
  }
  // A kernel that knows the call says that this fd is of no mount.
  UniqueFd device(open("/dev/fuse", O_RDWR | O_CLOEXEC));
  uint32_t id = 0;
  if (device.valid() && ioctl(device.get(), kCloseBacking, &id) != 0 && errno == ENOTTY) {
    return absl::UnavailableError(
        "passthrough: needs Linux 6.9 or later; leave the option out, or boot a newer kernel");
  }
  return absl::OkStatus();
#else
  return absl::UnavailableError(
      "passthrough: this fusefs was built with a libfuse before 3.17; leave the option out, or build it with a newer "
      "one");
#endif
}

bool Passthrough::Negotiate([[maybe_unused]] fuse_conn_info* connection) {
#if ACETATE_LIBFUSE_HAS_PASSTHROUGH
  if ((connection->capable & FUSE_CAP_PASSTHROUGH) == 0) return false;
  // With the flags of an open the daemon knows of a truncation, and copies nothing up for it.
  connection->want |= FUSE_CAP_PASSTHROUGH | (connection->capable & FUSE_CAP_ATOMIC_O_TRUNC);
  connection->max_backing_stack_depth = FUSE_BACKING_STACKED_UNDER;
  return true;
#else
  return false;
#endif
}

int Passthrough::RegisterLocked([[maybe_unused]] fuse_req_t req, [[maybe_unused]] int fd) {
#if ACETATE_LIBFUSE_HAS_PASSTHROUGH
  struct stat st;
  if (fstat(fd, &st) != 0 || refused_.contains(st.st_dev)) return 0;
  WithoutFsetid rights;
  const int id = rights.done() ? fuse_passthrough_open(req, fd) : 0;
  // libfuse has said why; once is enough.
  if (id == 0) refused_.insert(st.st_dev);
  return id;
#else
  return 0;
#endif
}

void Passthrough::Open([[maybe_unused]] fuse_req_t req, [[maybe_unused]] fuse_session* session,
                       [[maybe_unused]] NodeId node, [[maybe_unused]] fuse_file_info* info) {
#if ACETATE_LIBFUSE_HAS_PASSTHROUGH
  const bool write = Writes(*info);
  bool first;
  {
    MutexLock lock(&mu_);
    first = !open_.contains(node);
  }
  // It may copy the file up, which takes long. Should another open come first meanwhile, that one has decided.
  const FdRef file = first ? fs_->FileToPass(node, write) : nullptr;
  bool written_now = false;
  {
    MutexLock lock(&mu_);
    OpenFile& open = open_[node];
    if (open.opens == 0 && file != nullptr) open.backing_id = RegisterLocked(req, file->get());
    ++open.opens;
    if (write) ++open.writers;
    info->backing_id = open.backing_id;
    // Pages that were cached before the kernel wrote by itself are dropped at such an open.
    info->keep_cache = open.backing_id == 0;
    written_now = write && open.writers == 1 && open.backing_id != 0;
  }
  // What it knows was said to last.
  if (written_now) fuse_lowlevel_notify_inval_inode(session, node, -1, 0);
#endif
}

void Passthrough::Release([[maybe_unused]] fuse_session* session, NodeId node, const fuse_file_info& info) {
  MutexLock lock(&mu_);
  const auto open = open_.find(node);
  if (open == open_.end()) return;
  if (Writes(info) && open->second.writers > 0) --open->second.writers;
  if (--open->second.opens > 0) return;
#if ACETATE_LIBFUSE_HAS_PASSTHROUGH
  // As fuse_passthrough_close(), which wants a request that is not answered yet.
  uint32_t id = static_cast<uint32_t>(open->second.backing_id);
  if (id != 0) ioctl(fuse_session_fd(session), kCloseBacking, &id);
#endif
  open_.erase(open);
}

bool Passthrough::IsWritten(NodeId node) {
  MutexLock lock(&mu_);
  const auto open = open_.find(node);
  return open != open_.end() && open->second.backing_id != 0 && open->second.writers > 0;
}

}  // namespace acetate::fusefs
