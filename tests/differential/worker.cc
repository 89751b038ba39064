#include "tests/differential/worker.h"

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <utility>

#include "tests/differential/executor.h"
#include "tests/differential/vocabulary.h"

namespace acetate::differential {
namespace {

constexpr int kPatienceMs = 30000;

bool WriteAll(int fd, const char* data, size_t size) {
  while (size > 0) {
    const ssize_t written = send(fd, data, size, MSG_NOSIGNAL);
    if (written <= 0) return false;
    data += written;
    size -= written;
  }
  return true;
}

bool ReadAll(int fd, char* data, size_t size) {
  while (size > 0) {
    const ssize_t got = read(fd, data, size);
    if (got <= 0) return false;
    data += got;
    size -= got;
  }
  return true;
}

// A message is its length and its bytes.
bool WriteMessage(int fd, const std::string& message) {
  const uint32_t size = message.size();
  return WriteAll(fd, reinterpret_cast<const char*>(&size), sizeof(size)) && WriteAll(fd, message.data(), size);
}

bool ReadMessage(int fd, std::string& message) {
  uint32_t size = 0;
  if (!ReadAll(fd, reinterpret_cast<char*>(&size), sizeof(size))) return false;
  message.resize(size);
  return ReadAll(fd, message.data(), size);
}

[[noreturn]] void Live(const std::string& root, time_t since, int socket) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  signal(SIGPIPE, SIG_IGN);
  umask(022);
  UniqueFd proc_self_fd(open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const gid_t groups[] = {kSharedGroup};
  if (!proc_self_fd.valid() || setgroups(1, groups) != 0 || chroot(root.c_str()) != 0 || chdir("/") != 0) _exit(1);
  Executor executor(std::move(proc_self_fd), since);
  std::string message;
  while (ReadMessage(socket, message)) {
    if (!WriteMessage(socket, executor.Run(OpFromRecord(Record::Parse(message))))) break;
  }
  _exit(0);
}

}  // namespace

Worker::Worker(const std::string& root, time_t since) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) throw std::runtime_error("socketpair");
  socket_.Reset(ends[0]);
  UniqueFd other(ends[1]);
  pid_ = fork();
  if (pid_ < 0) throw std::runtime_error(std::string("fork: ") + strerror(errno));
  if (pid_ == 0) {
    socket_.Reset();
    Live(root, since, other.get());
  }
}

Worker::~Worker() {
  kill(pid_, SIGKILL);
  // One that hangs inside a filesystem ends when that filesystem's daemon does; it is not waited for here.
  for (int i = 0; i < 1000 && waitpid(pid_, nullptr, WNOHANG) == 0; ++i) usleep(1000);
}

void Worker::Send(const Op& op) { WriteMessage(socket_.get(), ToString(op)); }

std::string Worker::Receive() {
  pollfd waiting = {socket_.get(), POLLIN, 0};
  if (poll(&waiting, 1, kPatienceMs) == 0) return "HANGS";
  std::string message;
  return ReadMessage(socket_.get(), message) ? message : "DIES";
}

std::string Worker::Run(const Op& op) {
  Send(op);
  return Receive();
}

}  // namespace acetate::differential
