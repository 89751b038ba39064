#include "launcher/session.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace acetate::launcher {
namespace {

// So much is kept for a client that does not read, and from one whose input the container does not read. Then the
// command, or the client, has to wait, as with any terminal or pipe.
constexpr size_t kLargestQueue = 256 << 10;
constexpr size_t kLargestInput = 64 << 10;

// How long the end waits for a client that has not read anything meanwhile.
constexpr int kPatienceMs = 5000;

bool IsOwnUser(int socket) {
  ucred peer;
  socklen_t size = sizeof(peer);
  return getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.uid == geteuid();
}

void SetNonBlocking(const UniqueFd& fd) {
  if (fd.valid()) fcntl(fd.get(), F_SETFL, fcntl(fd.get(), F_GETFL) | O_NONBLOCK);
}

}  // namespace

Session::Session(const Spec& spec, UniqueFd owner, UniqueFd listener)
    : interactive_(spec.interactive),
      terminal_(spec.terminal),
      needs_owner_(!spec.detach),
      listener_(std::move(listener)) {
  clients_.emplace_back();
  clients_.back().fd = std::move(owner);
  clients_.back().attached = clients_.back().watching = terminal_ && !spec.detach;
}

void Session::SetPipes(StreamEnds ends) {
  in_ = std::move(ends.in);
  out_ = std::move(ends.out);
  err_ = std::move(ends.err);
  for (const UniqueFd* fd : {&in_, &out_, &err_}) SetNonBlocking(*fd);
}

void Session::SetTerminal(UniqueFd master, UniqueFd slave) {
  in_ = std::move(master);
  out_.Reset(fcntl(in_.get(), F_DUPFD_CLOEXEC, 0));
  slave_ = std::move(slave);
  SetNonBlocking(in_);
}

bool Session::HoldsBack() const {
  for (const Client& client : clients_) {
    if (client.queued > kLargestQueue) return true;
  }
  return false;
}

void Session::AddTo(std::vector<pollfd>* fds) {
  // poll(2) passes over negative fds.
  short wanted = HoldsBack() ? 0 : POLLIN;
  fds->push_back({listener_.get(), POLLIN, 0});
  fds->push_back({wanted != 0 ? out_.get() : -1, wanted, 0});
  fds->push_back({wanted != 0 ? err_.get() : -1, wanted, 0});
  fds->push_back({input_.empty() ? -1 : in_.get(), POLLOUT, 0});
  for (const Client& client : clients_) {
    short events = client.queue.empty() ? 0 : POLLOUT;
    if (input_.size() < kLargestInput) events |= POLLIN;
    fds->push_back({client.fd.get(), events, 0});
  }
}

void Session::Handle(const pollfd* fds, std::vector<Request>* requests) {
  const pollfd* listener = fds++;
  const pollfd* out = fds++;
  const pollfd* err = fds++;
  const pollfd* in = fds++;
  for (Client& client : clients_) {
    short events = (fds++)->revents;
    if ((events & POLLOUT) != 0) WriteQueue(&client);
    if ((events & (POLLIN | POLLHUP | POLLERR)) != 0 && client.fd.valid()) Read(&client, requests);
  }
  clients_.remove_if([](const Client& client) { return !client.fd.valid(); });
  if (in->revents != 0) WriteInput();
  if (out->revents != 0) ReadStream(&out_, Stream::kOut);
  if (err->revents != 0) ReadStream(&err_, Stream::kErr);
  if (listener->revents != 0) Accept();
}

void Session::Accept() {
  for (;;) {
    UniqueFd fd(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!fd.valid()) return;
    if (!IsOwnUser(fd.get())) continue;
    clients_.emplace_back();
    clients_.back().id = next_id_++;
    clients_.back().fd = std::move(fd);
  }
}

void Session::Read(Client* client, std::vector<Request>* requests) {
  for (;;) {
    ErrnoOr<Packet> packet = ReceivePacket(client->fd.get());
    if (packet.ok()) {
      Take(client, *std::move(packet), requests);
      if (client->fd.valid() && input_.size() < kLargestInput) continue;
      return;
    }
    if (packet.error() == EAGAIN) return;
    client->fd.Reset();
    if (IsOwner(*client) && needs_owner_) requests->push_back({Request::Kind::kOwnerGone, 0, client->id});
    return;
  }
}

void Session::Take(Client* client, Packet packet, std::vector<Request>* requests) {
  auto ask = [&](Request::Kind kind, int signal = 0) { requests->push_back({kind, signal, client->id}); };
  switch (packet.type) {
    case Message::kAttach:
      client->attached = client->watching = true;
      break;
    case Message::kWatch:
      client->watching = true;
      break;
    case Message::kSignal:
      if (packet.payload.size() == 1) ask(Request::Kind::kSignal, static_cast<unsigned char>(packet.payload[0]));
      break;
    case Message::kInput:
      if (interactive_ && in_.valid()) input_ += packet.payload;
      WriteInput();
      break;
    case Message::kInputEnd:
      // A terminal has no end; who types at it types Ctrl-D.
      input_ends_ = interactive_ && !terminal_;
      WriteInput();
      break;
    case Message::kWindowSize: {
      WindowSize size;
      if (packet.payload.size() != sizeof(size) || !terminal_ || !in_.valid()) break;
      memcpy(&size, packet.payload.data(), sizeof(size));
      winsize terminal = {size.rows, size.columns, 0, 0};
      ioctl(in_.get(), TIOCSWINSZ, &terminal);
      break;
    }
    case Message::kDetach:
      if (IsOwner(*client)) needs_owner_ = false;
      client->fd.Reset();
      break;
    case Message::kPause:
      ask(Request::Kind::kPause);
      break;
    case Message::kUnpause:
      ask(Request::Kind::kUnpause);
      break;
    case Message::kNamespaces:
      ask(Request::Kind::kNamespaces);
      break;
    default:
      client->fd.Reset();  // not one of ours
  }
}

void Session::ReadStream(UniqueFd* fd, Stream stream) {
  char buffer[kLargestPayload];
  ssize_t n = read(fd->get(), buffer, sizeof(buffer));
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  // EIO is how a terminal says that no one has it open any more.
  if (n <= 0) {
    fd->Reset();
    if (log_.has_value()) log_->Flush();
    return;
  }
  absl::string_view data(buffer, static_cast<size_t>(n));
  if (log_.has_value()) log_->Append(stream, data);
  for (Client& client : clients_) {
    if (!client.attached) continue;
    Queue(&client, stream == Stream::kOut ? Message::kOut : Message::kErr, std::string(data));
  }
}

void Session::WriteInput() {
  while (in_.valid() && !input_.empty()) {
    ssize_t n = write(in_.get(), input_.data(), input_.size());
    if (n < 0 && errno == EAGAIN) return;
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {  // the command has closed its stdin
      in_.Reset();
      break;
    }
    input_.erase(0, static_cast<size_t>(n));
  }
  if (!in_.valid()) input_.clear();
  if (input_ends_) in_.Reset();
}

void Session::Queue(Client* client, Message type, std::string payload) {
  client->queued += payload.size();
  client->queue.emplace_back(type, std::move(payload));
  WriteQueue(client);
}

void Session::WriteQueue(Client* client) {
  while (client->fd.valid() && !client->queue.empty()) {
    const auto& [type, payload] = client->queue.front();
    Errno error = SendPacket(client->fd.get(), type, payload);
    if (error == EAGAIN) return;
    if (!error.ok()) {  // gone, as the next read from it will tell
      client->queue.clear();
      client->queued = 0;
      return;
    }
    client->queued -= payload.size();
    client->queue.pop_front();
  }
}

void Session::Started(pid_t pid) {
  for (Client& client : clients_) {
    if (IsOwner(client)) Queue(&client, Message::kStarted, absl::StrCat(pid));
  }
}

void Session::Reply(uint64_t id, Message type, const std::string& payload, const std::vector<int>& fds) {
  for (Client& client : clients_) {
    if (client.id != id) continue;
    if (fds.empty()) {
      Queue(&client, type, payload);
    } else {
      // Who asks for fds asks for nothing else, so its queue is empty and there is room.
      SendPacket(client.fd.get(), type, payload, fds).IgnoreError();
    }
  }
}

void Session::CommandEnded() { slave_.Reset(); }

bool Session::Delivered() const {
  for (const Client& client : clients_) {
    if (client.fd.valid() && !client.queue.empty()) return false;
  }
  return true;
}

void Session::End(int exit_status, const std::string& message) {
  // Whoever has come meanwhile did so to ask something: the end is the answer, also to what is not read any more.
  Accept();
  for (Client& client : clients_) {
    if (IsOwner(client) && !client.watching) continue;
    if (!message.empty() && client.watching) Queue(&client, Message::kText, message.substr(0, kLargestPayload));
    Queue(&client, Message::kExit, std::string(1, static_cast<char>(exit_status)));
  }
  while (!Delivered()) {
    std::vector<pollfd> fds;
    for (const Client& client : clients_) {
      bool waits = client.fd.valid() && !client.queue.empty();
      fds.push_back({waits ? client.fd.get() : -1, POLLOUT, 0});
    }
    // An owner that still lives is somebody's terminal, perhaps stopped: it is waited for.
    bool owner_waits = !clients_.empty() && IsOwner(clients_.front()) && needs_owner_ && fds.front().fd >= 0;
    int ready = poll(fds.data(), fds.size(), owner_waits ? -1 : kPatienceMs);
    if (ready == 0) return;
    size_t i = 0;
    for (Client& client : clients_) {
      short events = fds[i++].revents;
      if ((events & (POLLERR | POLLHUP)) != 0) client.fd.Reset();
      if ((events & POLLOUT) != 0) WriteQueue(&client);
    }
  }
}

}  // namespace acetate::launcher
