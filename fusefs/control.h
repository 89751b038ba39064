// The control channel: a Unix stream socket of the mounting user, outside the mount, where a running fusefs answers
// questions about itself. One request is one line; the reply is one line of JSON, then the connection is closed.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/unique_fd.h"

namespace acetate::fusefs {

// The socket of the mount with that device number, in directory `dir`.
std::string ControlPath(absl::string_view dir, unsigned major, unsigned minor);

// Serves one socket from a thread of its own, one client after the other, from Start() to destruction. The thread
// blocks all signals.
class ControlServer {
 public:
  // Called on the server's thread with a request, without its line end; returns the reply.
  using Handler = std::function<std::string(absl::string_view request)>;

  // What to do about a socket that a process serves already. kReplace is for paths from ControlPath(): the number in it
  // is ours now, so whoever had it is about to end.
  enum class IfServed { kRefuse, kReplace };

  // Binds `path` with mode 0600. A socket there that nobody serves is replaced; what is no socket is never removed.
  static absl::StatusOr<std::unique_ptr<ControlServer>> Start(const std::string& path, IfServed if_served,
                                                              Handler handler);

  // Removes the socket, unless another took its place, and joins the thread.
  ~ControlServer();
  ControlServer(const ControlServer&) = delete;
  ControlServer& operator=(const ControlServer&) = delete;

 private:
  ControlServer(UniqueFd dir, std::string name, uint64_t inode, UniqueFd socket, UniqueFd stop, Handler handler);
  void Serve();
  void Answer(int client);

  const UniqueFd dir_;  // the socket's directory: it is removed there wherever the path leads by then
  const std::string name_;
  const uint64_t inode_;  // of the socket's file
  const UniqueFd socket_;
  const UniqueFd stop_;  // an eventfd
  const Handler handler_;
  std::thread thread_;
};

// Sends `request` to the socket at `path` and returns the reply, without its line end. NotFound: nobody serves there.
absl::StatusOr<std::string> AskControl(const std::string& path, absl::string_view request);

}  // namespace acetate::fusefs
