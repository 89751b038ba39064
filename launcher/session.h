// A container's connections and streams, as its helper holds them: the owner's connection, the socket that other
// commands connect to, and, when the container has a session (Spec::HasSession), the terminal or the pipes of its
// command, the log that keeps what is written to them, and the clients that are attached.
//
// The helper polls for it: AddTo, poll(2), Handle. What clients ask of the container is handed to the caller as
// requests. Nothing waits here but End. One thread.
#pragma once

#include <poll.h>

#include <cstdint>
#include <deque>
#include <list>
#include <optional>
#include <string>
#include <vector>

#include "common/unique_fd.h"
#include "launcher/log_file.h"
#include "launcher/protocol.h"
#include "launcher/spec.h"

namespace acetate::launcher {

// The sides of the command's streams that stay outside.
struct StreamEnds {
  UniqueFd in;  // writing end; invalid when there is no stdin
  UniqueFd out;
  UniqueFd err;
};

class Session {
 public:
  struct Request {
    enum class Kind { kSignal, kPause, kUnpause, kNamespaces, kOwnerGone };
    Kind kind;
    int signal = 0;
    uint64_t client = 0;  // whom to reply to; 0 is the owner
  };

  // `spec` says who may type and whether the owner has to stay. `listener` may be invalid.
  Session(const Spec& spec, UniqueFd owner, UniqueFd listener);

  void KeepLog(LogWriter log) { log_ = std::move(log); }
  void SetPipes(StreamEnds ends);
  // Both ends of the terminal: with one of its own the helper never sees the terminal hung up while PID 1 lives,
  // whatever the programs inside close.
  void SetTerminal(UniqueFd master, UniqueFd slave);

  void AddTo(std::vector<pollfd>* fds);
  // `fds` are those that AddTo appended, after poll(2).
  void Handle(const pollfd* fds, std::vector<Request>* requests);

  // Tells the owner that the command runs.
  void Started(pid_t pid);
  void Reply(uint64_t client, Message type, const std::string& payload, const std::vector<int>& fds = {});

  // PID 1 is gone: no one writes to the streams any more, and when they are read to their end the session is drained.
  void CommandEnded();
  bool Drained() const { return !out_.valid() && !err_.valid(); }

  // Tells the end to all who want to know, and waits for those who read.
  void End(int exit_status, const std::string& message);

 private:
  struct Client {
    uint64_t id = 0;
    UniqueFd fd;
    bool attached = false;
    bool watching = false;
    std::deque<std::pair<Message, std::string>> queue;
    size_t queued = 0;  // bytes
  };

  void Accept();
  void Read(Client* client, std::vector<Request>* requests);
  void Take(Client* client, Packet packet, std::vector<Request>* requests);
  void ReadStream(UniqueFd* fd, Stream stream);
  void WriteInput();
  void Queue(Client* client, Message type, std::string payload);
  void WriteQueue(Client* client);
  bool IsOwner(const Client& client) const { return client.id == 0; }
  bool HoldsBack() const;
  bool Delivered() const;

  const bool interactive_;
  const bool terminal_;
  bool needs_owner_;
  UniqueFd listener_;
  std::list<Client> clients_;  // without those that are gone
  uint64_t next_id_ = 1;

  std::optional<LogWriter> log_;
  UniqueFd in_;  // the terminal's master is in_ and, duplicated, out_
  UniqueFd out_;
  UniqueFd err_;
  UniqueFd slave_;
  std::string input_;  // not yet taken by the container
  bool input_ends_ = false;
};

}  // namespace acetate::launcher
