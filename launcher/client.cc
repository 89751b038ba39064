#include "launcher/client.h"

#include <poll.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <climits>
#include <deque>

#include "absl/strings/numbers.h"
#include "common/errno_or.h"
#include "launcher/detach_keys.h"
#include "launcher/error_line.h"
#include "launcher/signals.h"
#include "launcher/terminal.h"

namespace acetate::launcher {
namespace {

sigset_t ClientSignals() {
  sigset_t set = ForwardedSignals();
  sigaddset(&set, SIGCHLD);
  sigaddset(&set, SIGTSTP);
  return set;
}

int TerminalOfUser() {
  for (int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (isatty(fd) == 1) return fd;
  }
  return -1;
}

class Client {
 public:
  explicit Client(ClientOptions options)
      : in_(std::move(options)), keys_(in_.terminal ? in_.detach_keys : ""), started_(in_.started) {
    sigset_t set = ClientSignals();
    signals_.Reset(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  }

  ClientEnd Run() {
    if (started_) EnterTerminal();
    while (!Finished()) {
      enum { kSignals, kSocket, kInput, kOut, kErr, kCount };
      // poll(2) passes over negative fds. While output waits for its reader no more is taken.
      bool full = !out_.empty() || !err_.empty();
      short wanted = static_cast<short>((full ? 0 : POLLIN) | (queue_.empty() ? 0 : POLLOUT));
      bool reads = in_.interactive && started_ && queue_.empty() && in_.socket.valid();
      pollfd fds[kCount] = {{signals_.get(), POLLIN, 0},
                            {wanted != 0 ? in_.socket.get() : -1, wanted, 0},
                            {reads ? STDIN_FILENO : -1, POLLIN, 0},
                            {out_.empty() ? -1 : STDOUT_FILENO, POLLOUT, 0},
                            {err_.empty() ? -1 : STDERR_FILENO, POLLOUT, 0}};
      if (poll(fds, kCount, -1) < 0) continue;  // EINTR
      if (fds[kOut].revents != 0) WriteOut(STDOUT_FILENO, &out_);
      if (fds[kErr].revents != 0) WriteOut(STDERR_FILENO, &err_);
      if ((fds[kSocket].revents & POLLOUT) != 0) WriteQueue();
      if ((fds[kSocket].revents & ~POLLOUT) != 0) ReadSocket();
      if (fds[kInput].revents != 0) ReadInput();
      if (fds[kSignals].revents != 0) ReadSignals();
    }
    raw_.Leave();
    // What the helper could not say itself, since the streams it was born with are not its own any more.
    if (!text_.empty()) PrintErrorLine(text_);
    return end_;
  }

 private:
  bool Finished() {
    if (left_) return true;
    // A child that has ended may have left packets, and those may wait for a reader.
    bool over = in_.child != 0 ? child_ended_ : !in_.socket.valid() || exited_;
    if (over && in_.socket.valid() && out_.empty() && err_.empty()) ReadSocket();
    return left_ || (over && out_.empty() && err_.empty());
  }

  void Leave() {
    left_ = true;
    end_.how = ClientEnd::How::kLeft;
  }

  void EnterTerminal() {
    if (!in_.terminal) return;
    if (in_.interactive) raw_.Enter(STDIN_FILENO);
    SendWindowSize();
  }

  void SendWindowSize() {
    WindowSize size = WindowSizeOfUser();
    if (size.rows != 0) Send(Message::kWindowSize, {reinterpret_cast<const char*>(&size), sizeof(size)});
  }

  void Send(Message type, absl::string_view payload) {
    queue_.emplace_back(type, std::string(payload));
    WriteQueue();
  }

  void WriteQueue() {
    while (in_.socket.valid() && !queue_.empty()) {
      Errno error = SendPacket(in_.socket.get(), queue_.front().first, queue_.front().second);
      if (error == EAGAIN) return;
      queue_.pop_front();  // to whom is gone there is nothing to say
    }
  }

  void ReadSocket() {
    while (in_.socket.valid() && out_.empty() && err_.empty()) {
      ErrnoOr<Packet> packet = ReceivePacket(in_.socket.get());
      if (!packet.ok()) {
        if (!(packet.error() == EAGAIN)) in_.socket.Reset();
        return;
      }
      Take(*packet);
    }
  }

  void Take(const Packet& packet) {
    switch (packet.type) {
      case Message::kStarted: {
        int pid = 0;
        if (absl::SimpleAtoi(packet.payload, &pid)) in_.on_start(pid);
        started_ = true;
        EnterTerminal();
        if (in_.leaves_at_start) Leave();
        break;
      }
      case Message::kOut:
        out_ = packet.payload;
        WriteOut(STDOUT_FILENO, &out_);
        break;
      case Message::kErr:
        err_ = packet.payload;
        WriteOut(STDERR_FILENO, &err_);
        break;
      case Message::kText:
        // Before the command runs the helper says it itself.
        if (started_) text_ = packet.payload;
        break;
      case Message::kExit:
        exited_ = true;
        if (in_.child != 0 || packet.payload.size() != 1) break;
        end_ = {ClientEnd::How::kExited, static_cast<unsigned char>(packet.payload[0])};
        break;
      default:
        break;
    }
  }

  // Writes what can be written without waiting.
  void WriteOut(int fd, std::string* text) {
    while (!text->empty()) {
      pollfd ready = {fd, POLLOUT, 0};
      if (poll(&ready, 1, 0) <= 0) return;
      // So much a pipe that is ready takes at once.
      ssize_t n = write(fd, text->data(), std::min<size_t>(text->size(), PIPE_BUF));
      if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
      if (n < 0) {
        // No one reads any more: the connection's end says so to the helper.
        text->clear();
        in_.socket.Reset();
        if (in_.child == 0) Leave();
        return;
      }
      text->erase(0, static_cast<size_t>(n));
    }
  }

  void ReadInput() {
    char buffer[4096];
    ssize_t n = read(STDIN_FILENO, buffer, sizeof(buffer));
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n <= 0) {
      in_.interactive = false;
      Send(Message::kInputEnd, "");
      return;
    }
    std::string typed;
    bool leaves = keys_.Filter({buffer, static_cast<size_t>(n)}, &typed);
    if (!typed.empty()) Send(Message::kInput, typed);
    if (!leaves) return;
    Send(Message::kDetach, "");
    // A helper that is behind with its reading is waited for: unsaid, this would end the container.
    while (!queue_.empty() && in_.socket.valid()) {
      pollfd ready = {in_.socket.get(), POLLOUT, 0};
      poll(&ready, 1, -1);
      if ((ready.revents & (POLLERR | POLLHUP)) != 0) break;
      WriteQueue();
    }
    Leave();
  }

  void ReadSignals() {
    signalfd_siginfo info;
    while (read(signals_.get(), &info, sizeof(info)) == sizeof(info)) TakeSignal(static_cast<int>(info.ssi_signo));
  }

  void TakeSignal(int signal) {
    if (signal == SIGCHLD) {
      if (in_.child != 0 && !child_ended_ && waitpid(in_.child, &end_.status, WNOHANG) == in_.child) {
        child_ended_ = true;
        if (!left_) end_.how = ClientEnd::How::kExited;
      }
      return;
    }
    if (signal == SIGTSTP) return Stop();
    if (signal == SIGWINCH && in_.terminal) return SendWindowSize();
    if (!in_.forwards_signals) {
      if (signal == SIGWINCH) return;
      // All others that are taken end whom they are sent to.
      left_ = true;
      end_ = {ClientEnd::How::kExited, 128 + signal};
      return;
    }
    // The reader of the last output does not read; whoever sends this does not want to wait for that.
    if (child_ended_ || exited_) {
      left_ = true;
      return;
    }
    char byte = static_cast<char>(signal);
    Send(Message::kSignal, {&byte, 1});
  }

  // As the signal would have, but with the user's terminal in order meanwhile. The kernel decides, as always, whether
  // there is anyone who could let this process go on.
  void Stop() {
    raw_.Leave();
    sigset_t stop;
    sigemptyset(&stop);
    sigaddset(&stop, SIGTSTP);
    raise(SIGTSTP);
    sigprocmask(SIG_UNBLOCK, &stop, nullptr);
    sigprocmask(SIG_BLOCK, &stop, nullptr);
    if (started_) EnterTerminal();
  }

  ClientOptions in_;
  DetachKeys keys_;
  UniqueFd signals_;
  RawMode raw_;
  std::deque<std::pair<Message, std::string>> queue_;  // to the helper
  std::string out_;                                    // for the standard streams
  std::string err_;
  std::string text_;
  bool started_;
  bool child_ended_ = false;
  bool exited_ = false;  // the helper said so
  bool left_ = false;
  ClientEnd end_;
};

}  // namespace

sigset_t BlockClientSignals() {
  sigset_t blocked = ClientSignals();
  sigaddset(&blocked, SIGPIPE);
  sigset_t mask;
  sigprocmask(SIG_BLOCK, &blocked, &mask);
  return mask;
}

WindowSize WindowSizeOfUser() {
  int fd = TerminalOfUser();
  return fd >= 0 ? SizeOf(fd) : WindowSize();
}

ClientEnd RunClient(ClientOptions options) { return Client(std::move(options)).Run(); }

}  // namespace acetate::launcher
