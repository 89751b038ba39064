#include "launcher/protocol.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstdio>
#include <cstring>

#include "common/syscalls.h"

namespace acetate::launcher {
namespace {

constexpr size_t kMostFds = 8;

Errno Send(int socket, iovec* parts, size_t part_count, const int* fds, size_t count) {
  alignas(cmsghdr) char control[CMSG_SPACE(kMostFds * sizeof(int))] = {};
  msghdr header = {};
  header.msg_iov = parts;
  header.msg_iovlen = part_count;
  if (count > 0) {
    header.msg_control = control;
    header.msg_controllen = CMSG_SPACE(count * sizeof(int));
    cmsghdr* rights = CMSG_FIRSTHDR(&header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(count * sizeof(int));
    memcpy(CMSG_DATA(rights), fds, count * sizeof(int));
  }
  return sendmsg(socket, &header, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0 ? kOk : Errno::Last();
}

// The address of `name` in the directory that `fd` holds open: sun_path has room for 107 bytes only.
sockaddr_un AddressIn(const UniqueFd& fd, const char* name) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/%s", fd.get(), name);
  return address;
}

ErrnoOr<UniqueFd> NewSocket() {
  UniqueFd fd(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) return Errno::Last();
  return fd;
}

}  // namespace

Errno SendPacket(int socket, Message type, absl::string_view payload, const std::vector<int>& fds) {
  iovec parts[2] = {{&type, sizeof(type)}, {const_cast<char*>(payload.data()), payload.size()}};
  return Send(socket, parts, 2, fds.data(), fds.size());
}

Errno SendRecord(int socket, const void* data, size_t size, const int* fds, size_t count) {
  iovec part = {const_cast<void*>(data), size};
  return Send(socket, &part, 1, fds, count);
}

ErrnoOr<size_t> ReceiveRecord(int socket, void* data, size_t size, std::vector<UniqueFd>* fds) {
  alignas(cmsghdr) char control[CMSG_SPACE(kMostFds * sizeof(int))];
  iovec part = {data, size};
  msghdr header = {};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = control;
  header.msg_controllen = sizeof(control);
  ssize_t n;
  do {
    n = recvmsg(socket, &header, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    // ECONNRESET tells, once, that the other side closed with something of ours unread; what it sent before is there.
  } while (n < 0 && (errno == EINTR || errno == ECONNRESET));
  if (n < 0) return Errno::Last();
  for (cmsghdr* rights = CMSG_FIRSTHDR(&header); rights != nullptr; rights = CMSG_NXTHDR(&header, rights)) {
    if (rights->cmsg_level != SOL_SOCKET || rights->cmsg_type != SCM_RIGHTS) continue;
    size_t count = (rights->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int fd;
      memcpy(&fd, CMSG_DATA(rights) + i * sizeof(int), sizeof(fd));
      fds->push_back(UniqueFd(fd));
    }
  }
  return static_cast<size_t>(n);
}

ErrnoOr<Packet> ReceivePacket(int socket) {
  char buffer[1 + kLargestPayload];
  Packet packet;
  ACETATE_ASSIGN_OR_RETURN(size_t size, ReceiveRecord(socket, buffer, sizeof(buffer), &packet.fds));
  if (size == 0) return Errno(EPIPE);
  packet.type = static_cast<Message>(buffer[0]);
  packet.payload.assign(buffer + 1, size - 1);
  return packet;
}

ErrnoOr<Packet> AwaitPacket(int socket, double seconds) {
  pollfd fd = {socket, POLLIN, 0};
  int ready;
  do {
    ready = poll(&fd, 1, seconds < 0 ? -1 : static_cast<int>(seconds * 1000));
  } while (ready < 0 && errno == EINTR);
  if (ready == 0) return Errno(ETIMEDOUT);
  return ReceivePacket(socket);
}

ErrnoOr<std::pair<UniqueFd, UniqueFd>> SocketPair() {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0) return Errno::Last();
  return std::make_pair(UniqueFd(ends[0]), UniqueFd(ends[1]));
}

ErrnoOr<UniqueFd> ListenIn(const std::string& directory, const char* name) {
  ACETATE_ASSIGN_OR_RETURN(UniqueFd dir, sys::OpenAt(AT_FDCWD, directory.c_str(), O_PATH | O_DIRECTORY));
  ACETATE_ASSIGN_OR_RETURN(UniqueFd fd, NewSocket());
  sockaddr_un address = AddressIn(dir, name);
  if (bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) return Errno::Last();
  if (listen(fd.get(), SOMAXCONN) != 0) return Errno::Last();
  return fd;
}

ErrnoOr<UniqueFd> ConnectIn(const std::string& directory, const char* name) {
  ACETATE_ASSIGN_OR_RETURN(UniqueFd dir, sys::OpenAt(AT_FDCWD, directory.c_str(), O_PATH | O_DIRECTORY));
  ACETATE_ASSIGN_OR_RETURN(UniqueFd fd, NewSocket());
  sockaddr_un address = AddressIn(dir, name);
  if (connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) return Errno::Last();
  return fd;
}

}  // namespace acetate::launcher
