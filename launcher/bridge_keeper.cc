#include "launcher/bridge_keeper.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <memory>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/errno_or.h"
#include "common/syscalls.h"
#include "launcher/arguments.h"
#include "launcher/bridge.h"
#include "launcher/files.h"
#include "launcher/network_process.h"
#include "launcher/protocol.h"

namespace acetate::launcher {
namespace {

// One for the machine, as is the bridge. A lease is a file named by its address, locked by its keeper as long as that
// lives; all changes are made under the lock.
constexpr char kDirectory[] = "/run/acetate-bridge";
constexpr char kLock[] = "/run/acetate-bridge.lock";
constexpr size_t kLargestLease = 1 << 20;

// Runs a program with a text as its input, in a network namespace (or the present one); what it says is the error.
absl::Status RunProgram(const std::vector<std::string>& words, const std::string& input, int netns) {
  std::vector<char*> argv = ArgumentPointers(words);
  UniqueFd text(memfd_create("input", MFD_CLOEXEC)), output(memfd_create("output", MFD_CLOEXEC));
  if (!text.valid() || !output.valid()) return ErrnoToStatus(Errno::Last(), "make a memory file");
  if (Errno e = WriteAll(text.get(), input); !e.ok()) return ErrnoToStatus(e, "write to a memory file");
  if (lseek(text.get(), 0, SEEK_SET) != 0) return ErrnoToStatus(Errno::Last(), "rewind a memory file");
  ErrnoOr<pid_t> pid = sys::Fork(0, nullptr);
  if (!pid.ok()) return ErrnoToStatus(pid.error(), "fork");
  if (*pid == 0) {
    if (netns >= 0 && setns(netns, CLONE_NEWNET) != 0) _exit(126);
    dup2(text.get(), STDIN_FILENO);
    dup2(output.get(), STDOUT_FILENO);
    dup2(output.get(), STDERR_FILENO);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);
    execve(argv[0], argv.data(), environ);
    _exit(127);
  }
  int status;
  while (waitpid(*pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return absl::OkStatus();
  char said[512] = "";
  ssize_t n = pread(output.get(), said, sizeof(said), 0);
  absl::string_view line(said, n > 0 ? static_cast<size_t>(n) : 0);
  return absl::InternalError(
      absl::StrCat(words[0], " failed: ", absl::StripAsciiWhitespace(line.substr(0, line.find('\n')))));
}

class BridgeKeeper {
 public:
  BridgeKeeper(const Plan& plan, UniqueFd socket) : plan_(plan), socket_(std::move(socket)) {}

  [[noreturn]] void Run() {
    setsid();
    Hide();
    Await();
    char word;
    std::vector<UniqueFd> fds;
    ErrnoOr<size_t> size = ReceiveRecord(socket_.get(), &word, sizeof(word), &fds);
    if (!size.ok() || *size != sizeof(word) || fds.size() != 1) _exit(0);  // it never came to that
    absl::Status status = Connect(fds[0]);
    fds.clear();
    std::string answer = status.ok() ? absl::StrCat("+", lease_.address) : absl::StrCat("-", status.message());
    SendRecord(socket_.get(), answer.data(), std::min<size_t>(answer.size(), 1000), nullptr, 0).IgnoreError();
    Await();
    TakeBack();
    _exit(0);
  }

 private:
  // Its streams are nobody's, and it holds no directory and nothing that launch was started with.
  void Hide() {
    unsigned own = static_cast<unsigned>(socket_.get());
    if (own > 3) close_range(3, own - 1, 0);
    close_range(own + 1, ~0U, 0);
    ErrnoOr<UniqueFd> null = sys::OpenAt(AT_FDCWD, "/dev/null", O_RDWR);
    for (int fd = 0; null.ok() && fd < 3; ++fd) dup2(null->get(), fd);
    if (chdir("/") != 0) _exit(1);
  }

  void Await() {
    pollfd helper = {socket_.get(), POLLIN, 0};
    while (poll(&helper, 1, -1) < 0) {
    }
  }

  absl::Status Lock(UniqueFd* lock) {
    ErrnoOr<UniqueFd> fd = sys::OpenAt(AT_FDCWD, kLock, O_RDWR | O_CREAT | O_NOFOLLOW, 0600);
    if (!fd.ok()) return ErrnoToStatus(fd.error(), absl::StrCat("open ", kLock));
    while (flock(fd->get(), LOCK_EX) != 0) {
      if (errno != EINTR) return ErrnoToStatus(Errno::Last(), absl::StrCat("lock ", kLock));
    }
    *lock = *std::move(fd);
    return absl::OkStatus();
  }

  // The leases of others that live; what those that were killed left is removed.
  std::vector<Lease> OtherLeases() {
    std::vector<Lease> leases;
    std::unique_ptr<DIR, int (*)(DIR*)> dir(opendir(kDirectory), closedir);
    if (dir == nullptr) return leases;
    while (const dirent* entry = readdir(dir.get())) {
      if (entry->d_name[0] == '.' || entry->d_name == lease_.address) continue;
      ErrnoOr<UniqueFd> fd = sys::OpenAt(dirfd(dir.get()), entry->d_name, O_RDWR | O_NOFOLLOW);
      if (!fd.ok()) continue;
      ErrnoOr<std::string> text = ReadFileAt(dirfd(dir.get()), entry->d_name, kLargestLease);
      std::optional<Lease> lease = text.ok() ? ParseLease(*text) : std::nullopt;
      if (flock(fd->get(), LOCK_EX | LOCK_NB) == 0) {
        if (lease.has_value()) RemoveDevice(lease->id);
        unlinkat(dirfd(dir.get()), entry->d_name, 0);
      } else if (lease.has_value()) {
        leases.push_back(*std::move(lease));
      }
    }
    return leases;
  }

  absl::Status Connect(const UniqueFd& netns) {
    UniqueFd lock;
    if (absl::Status s = Lock(&lock); !s.ok()) return s;
    if (mkdir(kDirectory, 0700) != 0 && errno != EEXIST) return ErrnoToStatus(Errno::Last(), kDirectory);
    std::vector<Lease> leases = OtherLeases();
    absl::Status status = TakeLease(leases);
    if (status.ok()) {
      leases.push_back(lease_);
      status = MakeBridge();
    }
    if (status.ok()) status = MakeDevices(netns);
    if (status.ok()) status = HoldPorts(plan_.spec.network.ports, &held_);
    if (status.ok()) status = Apply(leases);
    return status;
  }

  absl::Status TakeLease(const std::vector<Lease>& others) {
    std::optional<std::string> address = FreeAddress(others);
    if (!address.has_value()) return absl::ResourceExhaustedError("the bridge has no address left");
    lease_.id = plan_.id;
    lease_.names = {plan_.hostname};
    if (!plan_.spec.name.empty() && plan_.spec.name != plan_.hostname) lease_.names.push_back(plan_.spec.name);
    lease_.ports = plan_.spec.network.ports;
    lease_.hosts_file = plan_.runtime_dir + "/hosts";
    lease_.hosts_head = plan_.network.hosts;
    lease_.address = *address;
    ErrnoOr<UniqueFd> fd = sys::OpenAt(AT_FDCWD, Path().c_str(), O_RDWR | O_CREAT | O_EXCL, 0600);
    if (!fd.ok()) return ErrnoToStatus(fd.error(), absl::StrCat("make ", Path()));
    file_ = *std::move(fd);
    Errno error = flock(file_.get(), LOCK_EX) == 0 ? WriteAll(file_.get(), FormatLease(lease_)) : Errno::Last();
    return error.ok() ? absl::OkStatus() : ErrnoToStatus(error, absl::StrCat("write ", Path()));
  }

  absl::Status MakeBridge() {
    std::string commands;
    if (access(absl::StrCat("/sys/class/net/", kBridge).c_str(), F_OK) != 0) {
      const std::string route = RouteInTheWay(ReadFileOrEmpty("/proc/net/route"));
      if (!route.empty()) {
        return absl::FailedPreconditionError(
            absl::StrCat("--network bridge: the host has a route to ", route,
                         ", which is in the bridge's network; take another --network"));
      }
      absl::StrAppend(&commands, "link add ", kBridge, " type bridge\n");
    }
    absl::StrAppend(&commands, "addr replace ", kBridgeAddress, "/", kBridgePrefix, " dev ", kBridge, "\nlink set ",
                    kBridge, " up\n");
    if (absl::Status s = Ip(commands, -1); !s.ok()) return s;
    // So that the host's loopback leads to published ports; the rules keep the bridge from the loopback.
    std::string localnet = absl::StrCat("/proc/sys/net/ipv4/conf/", kBridge, "/route_localnet");
    for (const std::string& setting : {std::string("/proc/sys/net/ipv4/ip_forward"), localnet}) {
      if (ReadFileOrEmpty(setting) == "1\n") continue;
      if (Errno e = WriteExisting(setting, "1"); !e.ok()) return ErrnoToStatus(e, absl::StrCat("write 1 to ", setting));
    }
    return absl::OkStatus();
  }

  absl::Status MakeDevices(const UniqueFd& netns) {
    // ip opens the namespace by a name; this process's own fd has one.
    std::string name = absl::StrCat("/proc/", getpid(), "/fd/", netns.get());
    std::string device = HostDevice(plan_.id);
    absl::Status status = Ip(absl::StrCat("link add ", device, " type veth peer name eth0 netns ", name, "\nlink set ",
                                          device, " master ", kBridge, " up\n"),
                             -1);
    if (!status.ok()) return status;
    return Ip(absl::StrCat("addr add ", lease_.address, "/", kBridgePrefix, " dev eth0\nlink set lo up\n",
                           "link set eth0 up\nroute add default via ", kBridgeAddress, "\n"),
              netns.get());
  }

  void RemoveDevice(const std::string& id) {
    std::string device = HostDevice(id);
    if (access(absl::StrCat("/sys/class/net/", device).c_str(), F_OK) != 0) return;
    Ip(absl::StrCat("link delete ", device, "\n"), -1).IgnoreError();  // it may go by itself meanwhile
  }

  // The rules, everybody's /etc/hosts, and whether there is a bridge at all.
  absl::Status Apply(const std::vector<Lease>& leases) {
    absl::Status status = RunProgram({plan_.network.nft, "-f", "-"}, BridgeRules(leases), -1);
    for (const Lease& lease : leases) {
      // In place: the file is mounted in the container.
      ErrnoOr<UniqueFd> fd = sys::OpenAt(AT_FDCWD, lease.hosts_file.c_str(), O_WRONLY | O_TRUNC | O_NOFOLLOW);
      if (fd.ok()) WriteAll(fd->get(), BridgeHosts(lease, leases)).IgnoreError();  // it may be ending
    }
    if (leases.empty()) {
      Ip(absl::StrCat("link delete ", kBridge, "\n"), -1).IgnoreError();  // there may be none yet
      rmdir(kDirectory);
    }
    return status;
  }

  void TakeBack() {
    UniqueFd lock;
    if (!Lock(&lock).ok() || lease_.address.empty()) return;
    RemoveDevice(plan_.id);
    unlink(Path().c_str());
    std::vector<Lease> others = OtherLeases();
    Apply(others).IgnoreError();
  }

  absl::Status Ip(const std::string& commands, int netns) {
    return RunProgram({plan_.network.program, "-batch", "-"}, commands, netns);
  }

  std::string Path() const { return absl::StrCat(kDirectory, "/", lease_.address); }

  const Plan& plan_;
  UniqueFd socket_;
  UniqueFd file_;  // of the lease; locked
  std::vector<UniqueFd> held_;
  Lease lease_;
};

}  // namespace

absl::StatusOr<UniqueFd> StartBridgeKeeper(const Plan& plan) {
  auto ends = SocketPair();
  if (!ends.ok()) return ErrnoToStatus(ends.error(), "make a socket");
  ErrnoOr<pid_t> pid = sys::Fork(0, nullptr);
  if (!pid.ok()) return ErrnoToStatus(pid.error(), "fork");
  if (*pid == 0) {
    ends->first.Reset();
    BridgeKeeper(plan, std::move(ends->second)).Run();
  }
  return std::move(ends->first);
}

}  // namespace acetate::launcher
