// Watching over what connects a container's network, a program or the bridge's keeper (bridge_keeper.h), for the
// supervisor and within its poll loop. One thread.
#pragma once

#include <poll.h>
#include <signal.h>

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "common/unique_fd.h"
#include "launcher/network_process.h"
#include "launcher/plan.h"

namespace acetate::launcher {

class NetworkKeeper {
 public:
  enum class Event {
    kNothing,
    kReady,  // the network is there
    kEnded,  // the program has ended by itself; Complaint() tells how
  };

  // `plan` must outlive the object; `mask` is the program's signal mask.
  // `bridge` is the socket of the bridge's keeper, if the network is that.
  NetworkKeeper(const Plan& plan, const sigset_t& mask, UniqueFd bridge)
      : plan_(plan), mask_(mask), bridge_(std::move(bridge)) {}
  ~NetworkKeeper() { Stop(); }
  NetworkKeeper(const NetworkKeeper&) = delete;
  NetworkKeeper& operator=(const NetworkKeeper&) = delete;

  // Whether the container's network needs a program at all.
  bool IsNeeded() const { return !plan_.network.program.empty(); }
  absl::Status Start(const UniqueFd& netns);

  // Appends kFds entries, and takes what poll(2) said of them.
  static constexpr size_t kFds = 3;
  void AddTo(std::vector<pollfd>* fds) const;
  Event Handle(const pollfd* fds);

  // The container's address; empty when it is not known.
  const std::string& Address() const { return address_; }

  // How it ended, for people.
  const std::string& Complaint() const { return complaint_; }

  // Ends the program, and waits until it is gone.
  void Stop();

 private:
  void ReadOutput();
  Event HearFromBridge();
  void LeaveBridge();

  const Plan& plan_;
  const sigset_t mask_;
  UniqueFd bridge_;
  NetworkProcess process_;
  std::string address_;
  std::string output_;
  std::string complaint_;
};

}  // namespace acetate::launcher
