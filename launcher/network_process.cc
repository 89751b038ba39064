#include "launcher/network_process.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <nlohmann/json.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/errno_or.h"
#include "common/syscalls.h"
#include "launcher/arguments.h"
#include "launcher/files.h"

namespace acetate::launcher {
namespace {

constexpr int kReadyFd = 3;
constexpr char kNamespace[] = "/proc/self/fd/0";
constexpr char kReadyFifo[] = "pasta.ready";
constexpr char kApiSocket[] = "slirp4netns.sock";

// In the child, between fork and exec.
[[noreturn]] void Exec(char* const* argv, int netns, int output, int ready, const sigset_t& mask) {
  netns = fcntl(netns, F_DUPFD_CLOEXEC, kReadyFd + 1);
  output = fcntl(output, F_DUPFD_CLOEXEC, kReadyFd + 1);
  if (ready >= 0) ready = fcntl(ready, F_DUPFD_CLOEXEC, kReadyFd + 1);
  dup2(netns, STDIN_FILENO);
  dup2(output, STDOUT_FILENO);
  dup2(output, STDERR_FILENO);
  if (ready >= 0) dup2(ready, kReadyFd);
  sys::CloexecFrom(ready >= 0 ? kReadyFd + 1 : kReadyFd).IgnoreError();
  // It has a handle of the namespace, and would live on without the container.
  prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  sigprocmask(SIG_SETMASK, &mask, nullptr);
  execve(argv[0], argv, environ);
  const char* why = strerrordesc_np(errno);
  if (write(STDERR_FILENO, why, strlen(why)) < 0) _exit(126);
  _exit(127);
}

std::vector<std::string> PastaCommand(const NetworkPlan& plan, const std::vector<PublishedPort>& ports,
                                      const std::string& runtime_dir) {
  // It writes its number to the file when all is done. By itself it would open ports of the host for all that listens
  // inside, and show the host's loopback as the gateway.
  std::vector<std::string> words = {
      plan.program,   "--foreground", "--quiet",  "--config-net",
      "--netns-only", "--netns",      kNamespace, "--no-map-gw",
      "--runas",      "0:0",          "--tcp-ns", "none",
      "--udp-ns",     "none",         "--pid",    absl::StrCat(runtime_dir, "/", kReadyFifo)};
  if (plan.forwards_dns) words.insert(words.end(), {"--dns-forward", kForwardedDns});
  for (bool udp : {false, true}) {
    const char* flag = udp ? "--udp-ports" : "--tcp-ports";
    bool any = false;
    // Of a range it takes what it can get, so each port is one of its own.
    for (const PublishedPort& port : ports) {
      if (port.udp != udp) continue;
      any = true;
      words.push_back(flag);
      words.push_back(
          absl::StrCat(port.address, port.address.empty() ? "" : "/", port.host_port, ":", port.container_port));
    }
    if (!any) words.insert(words.end(), {flag, "none"});
  }
  return words;
}

union SocketAddress {
  sockaddr any;
  sockaddr_in v4;
  sockaddr_in6 v6;
};

absl::Status HoldPort(const PublishedPort& port, UniqueFd* held) {
  SocketAddress address = {};
  socklen_t size = sizeof(address.v4);
  address.v4.sin_family = AF_INET;
  address.v4.sin_port = htons(port.host_port);
  if (absl::StrContains(port.address, ':')) {
    address.v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port.host_port)};
    size = sizeof(address.v6);
    inet_pton(AF_INET6, port.address.c_str(), &address.v6.sin6_addr);
  } else if (!port.address.empty()) {
    inet_pton(AF_INET, port.address.c_str(), &address.v4.sin_addr);
  }
  UniqueFd fd(socket(address.any.sa_family, (port.udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return ErrnoToStatus(Errno::Last(), "make a socket");
  int on = 1;
  // What waits for the last packets of a connection is no one's port.
  if (!port.udp) setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  if (bind(fd.get(), &address.any, size) == 0 && (port.udp || listen(fd.get(), 1) == 0)) {
    *held = std::move(fd);
    return absl::OkStatus();
  }
  Errno error = Errno::Last();
  std::string what = absl::StrCat("--publish ", FormatPublish(port));
  if (error == EADDRINUSE) {
    return absl::AlreadyExistsError(absl::StrCat(what, ": port ", port.host_port, " of the host is in use"));
  }
  absl::Status status = ErrnoToStatus(error, what);
  if (!(error == EACCES)) return status;
  return absl::Status(
      status.code(),
      absl::StrCat(status.message(), "; as root: sysctl net.ipv4.ip_unprivileged_port_start=", port.host_port));
}

// Asks slirp4netns for one thing; it answers and closes.
absl::Status AskSlirp(const std::string& runtime_dir, const nlohmann::json& request) {
  std::string text = request.dump();
  ErrnoOr<UniqueFd> directory = sys::OpenAt(AT_FDCWD, runtime_dir.c_str(), O_PATH | O_DIRECTORY);
  if (!directory.ok()) return ErrnoToStatus(directory.error(), runtime_dir);
  UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return ErrnoToStatus(Errno::Last(), "make a socket");
  // Through the fd, since the directory's path may be longer than an address can be.
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  std::string path = absl::StrCat("/proc/self/fd/", directory->get(), "/", kApiSocket);
  strncpy(address.sun_path, path.c_str(), sizeof(address.sun_path) - 1);
  timeval limit = {10, 0};
  setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
  if (connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) {
    return ErrnoToStatus(Errno::Last(), "connect to slirp4netns");
  }
  if (Errno e = WriteAll(fd.get(), text); !e.ok()) return ErrnoToStatus(e, "ask slirp4netns");
  if (shutdown(fd.get(), SHUT_WR) != 0) return ErrnoToStatus(Errno::Last(), "ask slirp4netns");
  std::string answer;
  char buffer[1024];
  ssize_t n;
  while ((n = read(fd.get(), buffer, sizeof(buffer))) > 0) answer.append(buffer, static_cast<size_t>(n));
  if (n < 0) return ErrnoToStatus(Errno::Last(), "hear from slirp4netns");
  nlohmann::json parsed = nlohmann::json::parse(answer, nullptr, false);
  if (parsed.is_object() && parsed.contains("return")) return absl::OkStatus();
  bool says_why = parsed.is_object() && parsed.contains("error") && parsed["error"].contains("desc");
  return absl::InternalError(says_why ? parsed["error"]["desc"].dump() : "slirp4netns gave no answer");
}

}  // namespace

std::vector<std::string> NetworkCommand(const NetworkPlan& plan, const std::vector<PublishedPort>& ports,
                                        const std::string& runtime_dir) {
  if (plan.mode == NetworkMode::kPasta) return PastaCommand(plan, ports, runtime_dir);
  return {plan.program,
          "--configure",
          "--mtu=65520",
          "--disable-host-loopback",
          "--enable-sandbox",
          "--enable-seccomp",
          "--netns-type=path",
          absl::StrCat("--ready-fd=", kReadyFd),
          absl::StrCat("--api-socket=", runtime_dir, "/", kApiSocket),
          kNamespace,
          "tap0"};
}

absl::Status HoldPorts(const std::vector<PublishedPort>& ports, std::vector<UniqueFd>* held) {
  for (const PublishedPort& port : ports) {
    if (absl::Status s = HoldPort(port, &held->emplace_back()); !s.ok()) return s;
  }
  return absl::OkStatus();
}

absl::Status CheckPortsAreFree(const std::vector<PublishedPort>& ports) {
  std::vector<UniqueFd> held;
  return HoldPorts(ports, &held);
}

absl::StatusOr<NetworkProcess> StartNetwork(const NetworkPlan& plan, const std::vector<PublishedPort>& ports,
                                            const std::string& runtime_dir, const UniqueFd& netns,
                                            const sigset_t& mask) {
  std::vector<std::string> words = NetworkCommand(plan, ports, runtime_dir);
  std::vector<char*> argv = ArgumentPointers(words);
  NetworkProcess process;
  UniqueFd ready, output;
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return ErrnoToStatus(Errno::Last(), "make a pipe");
  process.output.Reset(ends[0]);
  output.Reset(ends[1]);
  if (fcntl(process.output.get(), F_SETFL, O_NONBLOCK) != 0) return ErrnoToStatus(Errno::Last(), "set up a pipe");
  if (plan.mode == NetworkMode::kPasta) {
    // pasta closes all fds that it inherits, so it tells by a name.
    std::string fifo = absl::StrCat(runtime_dir, "/", kReadyFifo);
    if (mkfifo(fifo.c_str(), 0600) != 0) return ErrnoToStatus(Errno::Last(), absl::StrCat("make ", fifo));
    ErrnoOr<UniqueFd> fd = sys::OpenAt(AT_FDCWD, fifo.c_str(), O_RDONLY | O_NONBLOCK);
    if (!fd.ok()) return ErrnoToStatus(fd.error(), absl::StrCat("open ", fifo));
    process.ready = *std::move(fd);
  } else {
    if (pipe2(ends, O_CLOEXEC) != 0) return ErrnoToStatus(Errno::Last(), "make a pipe");
    process.ready.Reset(ends[0]);
    ready.Reset(ends[1]);
  }
  ErrnoOr<pid_t> pid = sys::Fork(0, &process.pidfd);
  if (!pid.ok()) return ErrnoToStatus(pid.error(), "fork");
  if (*pid == 0) Exec(argv.data(), netns.get(), output.get(), ready.valid() ? ready.get() : -1, mask);
  return process;
}

absl::Status FinishNetwork(const NetworkPlan& plan, const std::vector<PublishedPort>& ports,
                           const std::string& runtime_dir) {
  if (plan.mode != NetworkMode::kSlirp4netns) return absl::OkStatus();
  for (const PublishedPort& port : ports) {
    nlohmann::json request = {{"execute", "add_hostfwd"},
                              {"arguments",
                               {{"proto", port.udp ? "udp" : "tcp"},
                                {"host_addr", port.address.empty() ? "0.0.0.0" : port.address},
                                {"host_port", port.host_port},
                                {"guest_port", port.container_port}}}};
    absl::Status status = AskSlirp(runtime_dir, request);
    if (status.ok()) continue;
    return absl::Status(status.code(), absl::StrCat("--publish ", FormatPublish(port), ": ", status.message()));
  }
  return absl::OkStatus();
}

std::string NetworkComplaint(absl::string_view output) {
  absl::string_view last;
  for (absl::string_view line : absl::StrSplit(output, '\n', absl::SkipWhitespace())) {
    if (!absl::StrContains(line, "to syslog")) last = line;
  }
  return std::string(absl::StripAsciiWhitespace(last));
}

}  // namespace acetate::launcher
