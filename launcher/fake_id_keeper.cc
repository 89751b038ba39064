#include "launcher/fake_id_keeper.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/errno_or.h"
#include "common/syscalls.h"
#include "launcher/callers.h"
#include "launcher/capabilities.h"
#include "launcher/fake_ids.h"
#include "launcher/protocol.h"

#ifndef SECCOMP_IOCTL_NOTIF_SET_FLAGS  // Linux 6.6
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS SECCOMP_IOW(4, __u64)
#define SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP (1UL << 0)
#endif

namespace acetate::launcher {
namespace {

// How fusefs is asked for, and told, an owner that it records.
constexpr char kOwnerXattr[] = "security.acetate.owner";
// More than programs need, and so few that all can be kept: sets of ids that were ever believed in, and groups of each.
constexpr size_t kMostGroups = 1024;
constexpr size_t kMostSets = 4096;

// The kernel looks at the low half of an id.
uint32_t Id(uint64_t argument) { return static_cast<uint32_t>(argument); }

class Keeper {
 public:
  Keeper(UniqueFd listener, const FakeUser& first, uint64_t capabilities)
      : listener_(std::move(listener)),
        callers_(listener_.get()),
        sets_users_((capabilities >> CAP_SETUID & 1) != 0),
        sets_groups_((capabilities >> CAP_SETGID & 1) != 0) {
    sets_.push_back(&numbers_.emplace(IdsOf(first), 0).first->first);
  }

  Errno Prepare() {
    ACETATE_RETURN_IF_ERROR(callers_.Prepare());
    // The caller runs on, on this CPU, as soon as this process waits again.
    ioctl(listener_.get(), SECCOMP_IOCTL_NOTIF_SET_FLAGS, SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP);
    return kOk;
  }

  // Until nobody is left who could ask.
  void Run() {
    for (;;) {
      seccomp_notif call = {};
      if (ioctl(listener_.get(), SECCOMP_IOCTL_NOTIF_RECV, &call) != 0) {
        // ENOENT: the caller was killed meanwhile.
        if (errno == EINTR || errno == ENOENT) {
          pollfd fd = {listener_.get(), POLLIN, 0};
          if (poll(&fd, 1, -1) > 0 && (fd.revents & (POLLHUP | POLLERR)) != 0) return;
          continue;
        }
        return;
      }
      value_ = 0;
      goes_on_ = false;
      const Errno error = Answer(call);
      seccomp_notif_resp response = {};
      response.id = call.id;
      if (goes_on_ && error.ok()) {
        response.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
      } else {
        response.error = -error.value();
        response.val = error.ok() ? value_ : 0;
      }
      // ENOENT: the caller is gone.
      ioctl(listener_.get(), SECCOMP_IOCTL_NOTIF_SEND, &response);
    }
  }

 private:
  Errno Answer(const seccomp_notif& call) {
    const auto& args = call.data.args;
    uint64_t number = 0;
    ACETATE_RETURN_IF_ERROR(Load(call, &number));
    FakeIds ids = *sets_[number < sets_.size() ? number : 0];
    const bool had_root = ids.HasRoot();
    const bool sets_users = ids.is_root() && sets_users_;
    const bool sets_groups = ids.is_root() && sets_groups_;
    Errno error;
    switch (call.data.nr) {
      case SYS_getuid:
        return Say(ids.user.real);
      case SYS_geteuid:
        return Say(ids.user.effective);
      case SYS_getgid:
        return Say(ids.group.real);
      case SYS_getegid:
        return Say(ids.group.effective);
      case SYS_getresuid:
        return WriteThree(call, ids.user);
      case SYS_getresgid:
        return WriteThree(call, ids.group);
      case SYS_getgroups:
        return WriteGroups(call, ids.groups);
      case SYS_setuid:
        error = SetId(Id(args[0]), sets_users, &ids.user);
        break;
      case SYS_setgid:
        error = SetId(Id(args[0]), sets_groups, &ids.group);
        break;
      case SYS_setreuid:
        error = SetRealAndEffective(Id(args[0]), Id(args[1]), sets_users, &ids.user);
        break;
      case SYS_setregid:
        error = SetRealAndEffective(Id(args[0]), Id(args[1]), sets_groups, &ids.group);
        break;
      case SYS_setresuid:
        error = SetAllThree(Id(args[0]), Id(args[1]), Id(args[2]), sets_users, &ids.user);
        break;
      case SYS_setresgid:
        error = SetAllThree(Id(args[0]), Id(args[1]), Id(args[2]), sets_groups, &ids.group);
        break;
      case SYS_setfsuid:
        value_ = SetFilesystemId(Id(args[0]), sets_users, &ids.user);
        break;
      case SYS_setfsgid:
        value_ = SetFilesystemId(Id(args[0]), sets_groups, &ids.group);
        break;
      case SYS_setgroups:
        error = sets_groups ? ReadGroups(call, &ids.groups) : Errno(EPERM);
        break;
      case SYS_prctl:
        // Looked at, and done by the kernel as well: whatever it is by then, it is nothing that a filter forbids.
        ids.keeps_capabilities = args[1] == 1;
        goes_on_ = true;
        break;
      default:
        return Give(call, ids);
    }
    if (error.ok() && call.data.nr != SYS_prctl) ids.UserChanged(had_root);
    return error.ok() ? Store(call, number, ids) : error;
  }

  Errno Say(uint32_t id) {
    value_ = id;
    return kOk;
  }

  // ---- the ids of the caller

  Errno Load(const seccomp_notif& call, uint64_t* number) const {
    rlimit limit;
    if (prlimit(static_cast<pid_t>(call.pid), RLIMIT_LOCKS, nullptr, &limit) != 0) return Errno::Last();
    *number = limit.rlim_cur;
    return kOk;
  }

  Errno Store(const seccomp_notif& call, uint64_t number, const FakeIds& ids) {
    if (sets_.size() >= kMostSets && !numbers_.contains(ids)) return Errno(EAGAIN);
    const auto [known, is_new] = numbers_.emplace(ids, sets_.size());
    if (is_new) sets_.push_back(&known->first);
    const uint64_t wanted = known->second;
    if (wanted == number) return kOk;
    rlimit limit;
    const auto pid = static_cast<pid_t>(call.pid);
    if (prlimit(pid, RLIMIT_LOCKS, nullptr, &limit) != 0) return Errno::Last();
    limit.rlim_cur = wanted;
    if (limit.rlim_cur > limit.rlim_max) return Errno(EPERM);  // who lowers that has given up changing ids
    if (!callers_.IsWaiting(call)) return Errno(ESRCH);
    return prlimit(pid, RLIMIT_LOCKS, &limit, nullptr) == 0 ? kOk : Errno::Last();
  }

  // ---- what is asked for, and told, in the caller's memory

  Errno WriteThree(const seccomp_notif& call, const FakeIdSet& ids) const {
    const uint32_t values[] = {ids.real, ids.effective, ids.saved};
    for (int i = 0; i < 3; ++i)
      ACETATE_RETURN_IF_ERROR(callers_.Write(call, call.data.args[i], &values[i], sizeof(uint32_t)));
    return kOk;
  }

  Errno WriteGroups(const seccomp_notif& call, const std::vector<gid_t>& groups) {
    const auto room = static_cast<int>(call.data.args[0]);
    if (room < 0 || (room > 0 && static_cast<size_t>(room) < groups.size())) return Errno(EINVAL);
    value_ = static_cast<int64_t>(groups.size());
    return room == 0 ? kOk : callers_.Write(call, call.data.args[1], groups.data(), groups.size() * sizeof(gid_t));
  }

  Errno ReadGroups(const seccomp_notif& call, std::vector<gid_t>* groups) const {
    const auto count = static_cast<unsigned>(call.data.args[0]);
    if (count > kMostGroups) return Errno(EINVAL);
    groups->resize(count);
    return count == 0 ? kOk : callers_.Read(call, call.data.args[1], groups->data(), count * sizeof(gid_t));
  }

  // ---- giving files away

  Errno Give(const seccomp_notif& call, const FakeIds& ids) {
    const auto& args = call.data.args;
    switch (call.data.nr) {
#ifdef SYS_chown
      case SYS_chown:
        return GiveNamed(call, ids, AT_FDCWD, args[0], Id(args[1]), Id(args[2]), 0);
      case SYS_lchown:
        return GiveNamed(call, ids, AT_FDCWD, args[0], Id(args[1]), Id(args[2]), AT_SYMLINK_NOFOLLOW);
#endif
      case SYS_fchown: {
        ACETATE_ASSIGN_OR_RETURN(UniqueFd file, callers_.OpenFd(call, static_cast<int>(args[0])));
        return GiveFile(file, ids, Id(args[1]), Id(args[2]));
      }
      case SYS_fchownat:
        return GiveNamed(call, ids, static_cast<int>(args[0]), args[1], Id(args[2]), Id(args[3]),
                         static_cast<int>(args[4]));
      default:
        return Errno(ENOSYS);
    }
  }

  Errno GiveNamed(const seccomp_notif& call, const FakeIds& ids, int dirfd, uint64_t path, uint32_t uid, uint32_t gid,
                  int flags) {
    if ((flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)) != 0) return Errno(EINVAL);
    ACETATE_ASSIGN_OR_RETURN(UniqueFd file, callers_.OpenNamed(call, dirfd, path, flags));
    return GiveFile(file, ids, uid, gid);
  }

  // What the kernel lets happen, giving it to root, happens: it clears set-id bits, moves the time, and refuses what
  // cannot be changed at all. Then fusefs records whom it was meant for. Elsewhere nobody can.
  static Errno GiveFile(const UniqueFd& file, const FakeIds& ids, uint32_t uid, uint32_t gid) {
    struct stat st;
    if (fstat(file.get(), &st) != 0) return Errno::Last();
    struct statfs fs;
    const bool may_be_ours = fstatfs(file.get(), &fs) == 0 && fs.f_type == FUSE_SUPER_MAGIC;
    const std::string path = absl::StrCat("/proc/self/fd/", file.get());
    uint32_t owner = st.st_uid;
    char text[64];
    const ssize_t size = may_be_ours ? getxattr(path.c_str(), kOwnerXattr, text, sizeof(text)) : -1;
    if (size > 0) {
      const std::vector<absl::string_view> parts =
          absl::StrSplit(absl::string_view(text, static_cast<size_t>(size)), ':');
      if (!absl::SimpleAtoi(parts[0], &owner)) owner = st.st_uid;
    }
    if (!MayGive(ids, owner, uid, gid)) return Errno(EPERM);
    const uint32_t real_uid = uid == kUnchangedId ? uid : 0;
    const uint32_t real_gid = gid == kUnchangedId ? gid : 0;
    if (fchownat(file.get(), "", real_uid, real_gid, AT_EMPTY_PATH) != 0) return Errno::Last();
    if (!may_be_ours) return kOk;
    auto shown = [](uint32_t id) { return id == kUnchangedId ? std::string("-1") : absl::StrCat(id); };
    const std::string value = absl::StrCat(shown(uid), ":", shown(gid));
    if (setxattr(path.c_str(), kOwnerXattr, value.data(), value.size(), 0) == 0) return kOk;
    // Another filesystem's refusal.
    return size <= 0 && (errno == EPERM || errno == EOPNOTSUPP) ? kOk : Errno::Last();
  }

  const UniqueFd listener_;
  Callers callers_;
  const bool sets_users_;
  const bool sets_groups_;
  // Of the call that is being answered.
  int64_t value_ = 0;
  bool goes_on_ = false;  // the kernel is to make it as well
  std::map<FakeIds, uint64_t> numbers_;
  std::vector<const FakeIds*> sets_;  // by number: keys of the map
};

// What the answering process gets first.
UniqueFd AwaitListener(int socket, FakeUser* first) {
  pollfd fd = {socket, POLLIN, 0};
  while (poll(&fd, 1, -1) < 0) {
  }
  std::vector<UniqueFd> fds;
  ErrnoOr<size_t> size = ReceiveRecord(socket, first, sizeof(*first), &fds);
  return size.ok() && fds.size() == 1 ? std::move(fds[0]) : UniqueFd();
}

[[noreturn]] void RunKeeper(int socket, uint64_t capabilities, const UniqueFd& user_namespace) {
  prctl(PR_SET_NAME, "launch-ids", 0, 0, 0);
  if (user_namespace.valid() && setns(user_namespace.get(), CLONE_NEWUSER) != 0) _exit(1);
  // None of the helper's other fds: their ends have to be seen.
  if (dup2(socket, 0) != 0) _exit(1);
  close_range(1, ~0U, 0);
  // What the container's root may do to files, and what is needed to look at who asks.
  constexpr uint64_t kOwn = uint64_t{1} << CAP_SYS_ADMIN | uint64_t{1} << CAP_SYS_CHROOT |
                            uint64_t{1} << CAP_SYS_PTRACE | uint64_t{1} << CAP_SYS_RESOURCE;
  if (!SetCapabilities(capabilities | kOwn).ok()) _exit(1);
  // After the last change of capabilities, which clears the request. A helper that is gone has closed its end.
  if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0) _exit(1);
  FakeUser first;
  UniqueFd listener = AwaitListener(0, &first);
  if (!listener.valid()) _exit(0);
  Keeper keeper(std::move(listener), first, capabilities);
  if (!keeper.Prepare().ok()) _exit(1);
  keeper.Run();
  _exit(0);
}

}  // namespace

absl::Status FakeIdKeeper::Start(uint64_t capabilities, const UniqueFd& user_namespace) {
  auto ends = SocketPair();
  if (!ends.ok()) return ErrnoToStatus(ends.error(), "make a socket");
  ErrnoOr<pid_t> pid = sys::Fork(0, &pidfd_);
  if (!pid.ok()) return ErrnoToStatus(pid.error(), "fork");
  if (*pid == 0) RunKeeper(ends->second.get(), capabilities, user_namespace);
  socket_ = std::move(ends->first);
  return absl::OkStatus();
}

Errno FakeIdKeeper::Answer(const UniqueFd& listener, const FakeUser& first) {
  const int fd = listener.get();
  const Errno error = SendRecord(socket_.get(), &first, sizeof(first), &fd, 1);
  socket_.Reset();
  return error;
}

void FakeIdKeeper::Stop() {
  if (!pidfd_.valid()) return;
  sys::PidFdSendSignal(pidfd_.get(), SIGKILL).IgnoreError();
  siginfo_t info;
  while (waitid(P_PIDFD, static_cast<id_t>(pidfd_.get()), &info, WEXITED) != 0 && errno == EINTR) {
  }
  pidfd_.Reset();
  socket_.Reset();
}

}  // namespace acetate::launcher
