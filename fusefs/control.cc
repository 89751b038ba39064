#include "fusefs/control.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <fstream>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/errno_or.h"
#include "common/syscalls.h"

namespace acetate::fusefs {
namespace {

constexpr size_t kMaxMessage = 1 << 20;
constexpr timeval kPatience = {2, 0};  // for a peer that says nothing, or does not listen
// Of who asks: a change of the branches takes its time.
constexpr timeval kReplyPatience = {20, 0};

// Through /proc, since sun_path holds 108 bytes only and a path may be longer.
sockaddr_un AddressIn(int dir, const std::string& name) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/%s", dir, name.c_str());
  return address;
}

struct Location {
  UniqueFd dir;
  std::string name;
};

absl::StatusOr<Location> Locate(const std::string& path) {
  const size_t slash = path.rfind('/');
  const std::string dir = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  Location location;
  location.name = path.substr(slash + 1);  // npos + 1 is 0
  if (location.name.empty() || location.name.size() > 80) {
    return absl::InvalidArgumentError(absl::StrCat("control socket '", path, "': give a file name of 1 to 80 bytes"));
  }
  ErrnoOr<UniqueFd> fd = sys::OpenAt(AT_FDCWD, dir.c_str(), O_PATH | O_DIRECTORY);
  if (!fd.ok()) return ErrnoToStatus(fd.error(), absl::StrCat("control socket '", path, "'"));
  location.dir = *std::move(fd);
  return location;
}

ErrnoOr<UniqueFd> Connect(const Location& location) {
  UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return Errno::Last();
  setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &kReplyPatience, sizeof(kReplyPatience));
  setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &kPatience, sizeof(kPatience));
  const sockaddr_un address = AddressIn(location.dir.get(), location.name);
  if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) return Errno::Last();
  return fd;
}

// Removes the socket that is there, so that its name can be bound.
absl::Status RemoveOld(const Location& location, const std::string& path, ControlServer::IfServed if_served) {
  struct stat st;
  if (fstatat(location.dir.get(), location.name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0) return absl::OkStatus();
  if (!S_ISSOCK(st.st_mode)) {
    return absl::FailedPreconditionError(
        absl::StrCat("control socket '", path, "': a file that is no socket is there; remove it or give another path"));
  }
  if (if_served == ControlServer::IfServed::kRefuse && Connect(location).ok()) {
    return absl::FailedPreconditionError(
        absl::StrCat("control socket '", path, "': in use by another process; give another path"));
  }
  unlinkat(location.dir.get(), location.name.c_str(), 0);
  return absl::OkStatus();
}

// Up to a line end, the end of the stream or the end of patience.
std::string ReadMessage(int fd, bool until_newline) {
  std::string message;
  char buffer[4096];
  while (message.size() < kMaxMessage) {
    const ssize_t got = recv(fd, buffer, sizeof(buffer), 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    message.append(buffer, got);
    if (until_newline && message.back() == '\n') break;
  }
  return message;
}

bool SendAll(int fd, absl::string_view message) {
  while (!message.empty()) {
    const ssize_t sent = send(fd, message.data(), message.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) return false;
    message.remove_prefix(sent);
  }
  return true;
}

// The mounting user and root. Inside a user namespace the kernel shows a peer from outside as the overflow id: root of
// the host, since the socket's mode lets nobody else in.
bool IsPermitted(uid_t peer) {
  if (peer == geteuid() || peer == 0) return true;
  uid_t overflow = 65534;
  std::ifstream("/proc/sys/kernel/overflowuid") >> overflow;
  uint64_t first = 0, outside = 0, count = 0;
  std::ifstream("/proc/self/uid_map") >> first >> outside >> count;
  const bool in_initial_namespace = count == 0xffffffff;
  return peer == overflow && !in_initial_namespace;
}

}  // namespace

std::string ControlPath(absl::string_view dir, unsigned major, unsigned minor) {
  return absl::StrCat(dir, "/fusefs-", major, ":", minor, ".sock");
}

absl::StatusOr<std::unique_ptr<ControlServer>> ControlServer::Start(const std::string& path, IfServed if_served,
                                                                    Handler handler) {
  absl::StatusOr<Location> location = Locate(path);
  if (!location.ok()) return location.status();
  absl::Status removed = RemoveOld(*location, path, if_served);
  if (!removed.ok()) return removed;

  UniqueFd socket_fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  UniqueFd stop(eventfd(0, EFD_CLOEXEC));
  const sockaddr_un address = AddressIn(location->dir.get(), location->name);
  struct stat st;
  // The mode of an unbound socket is the mode that bind() makes the file with.
  if (!socket_fd.valid() || !stop.valid() || fchmod(socket_fd.get(), 0600) != 0 ||
      bind(socket_fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0 ||
      listen(socket_fd.get(), 16) != 0 ||
      fstatat(location->dir.get(), location->name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0) {
    return ErrnoToStatus(Errno::Last(), absl::StrCat("control socket '", path, "'"));
  }
  return std::unique_ptr<ControlServer>(new ControlServer(std::move(location->dir), std::move(location->name),
                                                          st.st_ino, std::move(socket_fd), std::move(stop),
                                                          std::move(handler)));
}

ControlServer::ControlServer(UniqueFd dir, std::string name, uint64_t inode, UniqueFd socket, UniqueFd stop,
                             Handler handler)
    : dir_(std::move(dir)),
      name_(std::move(name)),
      inode_(inode),
      socket_(std::move(socket)),
      stop_(std::move(stop)),
      handler_(std::move(handler)) {
  // Signals are for the thread that reads requests. A thread starts with the mask of the one that makes it.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread([this] { Serve(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

ControlServer::~ControlServer() {
  struct stat st;
  if (fstatat(dir_.get(), name_.c_str(), &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_ino == inode_) {
    unlinkat(dir_.get(), name_.c_str(), 0);
  }
  eventfd_write(stop_.get(), 1);
  thread_.join();
}

void ControlServer::Serve() {
  pollfd fds[2] = {{socket_.get(), POLLIN, 0}, {stop_.get(), POLLIN, 0}};
  while (true) {
    if (poll(fds, 2, -1) < 0 && errno != EINTR) return;
    if (fds[1].revents != 0) return;
    UniqueFd client(accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (client.valid()) Answer(client.get());
  }
}

void ControlServer::Answer(int client) {
  ucred peer = {};
  socklen_t size = sizeof(peer);
  if (getsockopt(client, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0 || !IsPermitted(peer.uid)) return;
  setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &kPatience, sizeof(kPatience));
  setsockopt(client, SOL_SOCKET, SO_SNDTIMEO, &kPatience, sizeof(kPatience));
  const std::string request = ReadMessage(client, /*until_newline=*/true);
  SendAll(client, absl::StrCat(handler_(absl::StripSuffix(request, "\n")), "\n"));
}

absl::StatusOr<std::string> AskControl(const std::string& path, absl::string_view request) {
  absl::StatusOr<Location> location = Locate(path);
  if (!location.ok()) return location.status();
  ErrnoOr<UniqueFd> connection = Connect(*location);
  if (!connection.ok()) {
    if (connection.error() == ENOENT || connection.error() == ECONNREFUSED) {
      return absl::NotFoundError(absl::StrCat("control socket '", path, "': no fusefs answers there"));
    }
    return ErrnoToStatus(connection.error(), absl::StrCat("control socket '", path, "'"));
  }
  if (!SendAll(connection->get(), absl::StrCat(request, "\n"))) {
    return ErrnoToStatus(Errno::Last(), absl::StrCat("ask '", path, "'"));
  }
  std::string reply = ReadMessage(connection->get(), /*until_newline=*/false);
  if (reply.empty() || reply.back() != '\n') {
    return absl::UnavailableError(absl::StrCat("control socket '", path, "': no whole reply within 20 seconds"));
  }
  reply.pop_back();
  return reply;
}

}  // namespace acetate::fusefs
