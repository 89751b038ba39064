#include "launcher/network_keeper.h"

#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>

#include "absl/strings/str_cat.h"
#include "common/errno_or.h"
#include "common/syscalls.h"
#include "launcher/protocol.h"

namespace acetate::launcher {
namespace {

constexpr size_t kKeptOutput = 4096;

std::string DescribeEnd(const siginfo_t& info) {
  if (info.si_code == CLD_EXITED) return absl::StrCat("exited with status ", info.si_status);
  const char* name = sigabbrev_np(info.si_status);
  return absl::StrCat("was killed by signal ", info.si_status, name != nullptr ? absl::StrCat(" (SIG", name, ")") : "");
}

}  // namespace

absl::Status NetworkKeeper::Start(const UniqueFd& netns) {
  if (plan_.network.mode == NetworkMode::kBridge) {
    int fd = netns.get();
    Errno error = SendRecord(bridge_.get(), "", 1, &fd, 1);
    return error.ok() ? absl::OkStatus() : ErrnoToStatus(error, "ask the bridge's keeper");
  }
  absl::StatusOr<NetworkProcess> process =
      StartNetwork(plan_.network, plan_.spec.network.ports, plan_.runtime_dir, netns, mask_);
  if (!process.ok()) return process.status();
  process_ = *std::move(process);
  return absl::OkStatus();
}

void NetworkKeeper::AddTo(std::vector<pollfd>* fds) const {
  fds->push_back({bridge_.valid() ? bridge_.get() : process_.ready.get(), POLLIN, 0});
  fds->push_back({process_.output.get(), POLLIN, 0});
  fds->push_back({process_.pidfd.get(), POLLIN, 0});
}

NetworkKeeper::Event NetworkKeeper::Handle(const pollfd* fds) {
  if (bridge_.valid()) return fds[0].revents != 0 ? HearFromBridge() : Event::kNothing;
  if (fds[1].revents != 0) ReadOutput();
  if (fds[2].revents != 0) {
    siginfo_t info = {};
    if (waitid(P_PIDFD, static_cast<id_t>(process_.pidfd.get()), &info, WEXITED) != 0) return Event::kNothing;
    ReadOutput();
    process_ = NetworkProcess();
    std::string said = info.si_code == CLD_EXITED ? NetworkComplaint(output_) : "";
    complaint_ = absl::StrCat(NetworkName(plan_.network.mode), ", which connects the container to the network, ",
                              DescribeEnd(info), said.empty() ? "" : ": ", said);
    return Event::kEnded;
  }
  if (fds[0].revents == 0) return Event::kNothing;
  char buffer[64];
  ssize_t n = read(process_.ready.get(), buffer, sizeof(buffer));
  process_.ready.Reset();
  if (n <= 0) return Event::kNothing;  // its end follows
  absl::Status status = FinishNetwork(plan_.network, plan_.spec.network.ports, plan_.runtime_dir);
  if (status.ok()) return Event::kReady;
  Stop();
  complaint_ = std::string(status.message());
  return Event::kEnded;
}

NetworkKeeper::Event NetworkKeeper::HearFromBridge() {
  char buffer[1024];
  ssize_t n = recv(bridge_.get(), buffer, sizeof(buffer), MSG_DONTWAIT);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return Event::kNothing;
  if (n > 0 && buffer[0] == '+') {
    address_.assign(buffer + 1, static_cast<size_t>(n) - 1);
    return Event::kReady;
  }
  complaint_ = n > 0 ? std::string(buffer + 1, static_cast<size_t>(n) - 1)
                     : "the process that keeps the container on the bridge was killed";
  LeaveBridge();
  return Event::kEnded;
}

// The keeper has taken all back when it closes its end.
void NetworkKeeper::LeaveBridge() {
  if (!bridge_.valid()) return;
  shutdown(bridge_.get(), SHUT_WR);
  constexpr int kLongEnough = 10000;
  pollfd keeper = {bridge_.get(), POLLIN, 0};
  char buffer[64];
  while (poll(&keeper, 1, kLongEnough) > 0 && recv(bridge_.get(), buffer, sizeof(buffer), 0) > 0) {
  }
  bridge_.Reset();
}

void NetworkKeeper::ReadOutput() {
  char buffer[1024];
  ssize_t n;
  while ((n = read(process_.output.get(), buffer, sizeof(buffer))) > 0) {
    output_.append(buffer, static_cast<size_t>(n));
    if (output_.size() > kKeptOutput) output_.erase(0, output_.size() - kKeptOutput);
  }
  if (n == 0) process_.output.Reset();
}

void NetworkKeeper::Stop() {
  LeaveBridge();
  if (!process_.pidfd.valid()) return;
  sys::PidFdSendSignal(process_.pidfd.get(), SIGKILL).IgnoreError();
  siginfo_t info = {};
  while (waitid(P_PIDFD, static_cast<id_t>(process_.pidfd.get()), &info, WEXITED) != 0 && errno == EINTR) {
  }
  process_ = NetworkProcess();
}

}  // namespace acetate::launcher
