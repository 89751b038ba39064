// Networks of containers: what is served inside is reached from the host, and nothing of it is left.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/unique_fd.h"
#include "launcher/each_user_test.h"
#include "launcher/files.h"
#include "launcher/launch_fixture.h"
#include "launcher/serving.h"

namespace acetate::launcher {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

// The processes of one of these programs whose command line names this directory.
std::vector<pid_t> ProcessesOf(const std::vector<std::string>& programs, const std::string& directory) {
  std::vector<pid_t> found;
  for (const auto& entry : fs::directory_iterator("/proc")) {
    std::string name = ReadFileOrEmpty(entry.path().string() + "/comm");
    // Of others not even the command line may be asked for: it can be on a filesystem that hangs.
    bool known = std::any_of(programs.begin(), programs.end(),
                             [&](const std::string& program) { return name.rfind(program, 0) == 0; });
    if (!known) continue;
    std::string command = ReadFileOrEmpty(entry.path().string() + "/cmdline");
    if (command.find(directory) != std::string::npos) found.push_back(atoi(entry.path().filename().c_str()));
  }
  return found;
}

// pasta executes a passt.avx2 where the processor has that.
std::vector<pid_t> ProgramsOf(const std::string& directory) {
  return ProcessesOf({"pasta", "passt", "slirp4netns", "fusefs"}, directory);
}

pid_t NetworkProgramOf(const std::string& directory) {
  std::vector<pid_t> found = ProcessesOf({"pasta", "passt", "slirp4netns"}, directory);
  return found.size() == 1 ? found[0] : 0;
}

class NetworkTest : public ::testing::TestWithParam<std::tuple<Who, std::string>> {
 protected:
  void SetUp() override {
    try {
      host_ = std::make_unique<LaunchFixture>(std::get<0>(GetParam()));
    } catch (const std::exception& missing) {
      GTEST_SKIP() << missing.what();
    }
    if (FindProgram(mode()).empty()) GTEST_SKIP() << mode() << " is not installed: run tests/setup.sh";
    Result probe = host_->Exec({"sh", "-c", "exec 3<>/dev/net/tun"});
    if (probe.status != 0) GTEST_SKIP() << "/dev/net/tun cannot be opened: " << probe.err;
  }

  void TearDown() override {
    if (host_ == nullptr) return;
    for (const std::string& id : started_) host_->Launch({"rm", "-f", id});
    EXPECT_TRUE(Eventually([&] { return ProgramsOf(host_->path()).empty(); }));
    EXPECT_TRUE(NothingRuns());
  }

  bool NothingRuns() const { return !fs::exists(host_->runtime()) || fs::is_empty(host_->runtime()); }

  std::string mode() const { return std::get<1>(GetParam()); }

  // Starts a container in the background.
  std::string StartContainer(std::vector<std::string> flags, const std::string& script) {
    flags.insert(flags.end(), {"-d", "--network", mode()});
    Result result = host_->Shell(flags, script);
    EXPECT_EQ(result.status, 0) << result;
    std::string id = result.out.substr(0, 12);
    started_.push_back(id);
    return id;
  }

  nlohmann::json Inspect(const std::string& id) {
    return nlohmann::json::parse(host_->Launch({"inspect", id}).out).at(0);
  }

  std::unique_ptr<LaunchFixture> host_;
  std::vector<std::string> started_;
};

INSTANTIATE_TEST_SUITE_P(Each, NetworkTest,
                         ::testing::Combine(::testing::Values(Who::kRoot, Who::kPlain, Who::kLone),
                                            ::testing::Values("pasta", "slirp4netns")),
                         [](const auto& test) { return NameOf(std::get<0>(test.param)) + std::get<1>(test.param); });

TEST_P(NetworkTest, TwoContainersServePort80OnDifferentPortsOfTheHost) {
  int first = FreePort(SOCK_STREAM);
  int second = FreePort(SOCK_STREAM);
  std::string id = StartContainer({"-p", absl::StrCat("127.0.0.1:", first, ":80")}, ServePage("first"));
  StartContainer({"-p", absl::StrCat(second, ":80/tcp")}, ServePage("second"));
  EXPECT_TRUE(Eventually([&] { return Get(first).find("first\n") != std::string::npos; }));
  EXPECT_TRUE(Eventually([&] { return Get(second).find("second\n") != std::string::npos; }));

  nlohmann::json network = Inspect(id)["network"];
  EXPECT_EQ(network["mode"], mode());
  EXPECT_EQ(network["ports"][0]["host_port"], first);
  EXPECT_EQ(network["ports"][0]["container_port"], 80);
  EXPECT_THAT(host_->Launch({"ps"}).out, HasSubstr(absl::StrCat("127.0.0.1:", first, "->80/tcp")));
}

TEST_P(NetworkTest, UdpReachesTheContainer) {
  int port = FreePort(SOCK_DGRAM);
  fs::copy_file(fs::canonical("launcher/udp_echo"), *host_ / "image/base/bin/udp_echo");
  std::string id = StartContainer({"-p", absl::StrCat(port, ":5353/udp")}, "exec udp_echo 5353");
  // A datagram may be lost, and nobody may listen yet. What is answered to the host itself not all of these programs
  // pass on, so the container is asked.
  EXPECT_TRUE(Eventually([&] {
    UniqueFd fd = ConnectTo(port, SOCK_DGRAM);
    if (fd.valid()) send(fd.get(), "hello\n", 6, MSG_NOSIGNAL);
    return host_->Launch({"logs", id}).out.find("hello\n") != std::string::npos;
  }));
}

TEST_P(NetworkTest, UdpIsAnsweredWherePastaNeedNotTranslateThePort) {
  if (mode() != "pasta")
    GTEST_SKIP() << "slirp4netns takes the host's own address for its loopback, and answers nothing";
  int port = FreePort(SOCK_DGRAM);
  fs::copy_file(fs::canonical("launcher/udp_echo"), *host_ / "image/base/bin/udp_echo");
  StartContainer({"-p", absl::StrCat(port, ":", port, "/udp")}, absl::StrCat("exec udp_echo ", port));
  EXPECT_TRUE(Eventually([&] { return Ask(port, "hello\n", SOCK_DGRAM) == "hello\n"; }));
}

TEST_P(NetworkTest, APortThatIsTakenIsOneLineAndNothingIsLeft) {
  UniqueFd taken(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  socklen_t size = sizeof(address);
  ASSERT_EQ(bind(taken.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
  ASSERT_EQ(listen(taken.get(), 1), 0);
  ASSERT_EQ(getsockname(taken.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
  int port = ntohs(address.sin_port);
  Result result = host_->Run({"--network", mode(), "-p", absl::StrCat(port, ":80")}, {"true"});
  EXPECT_EQ(result.status, 125);
  EXPECT_EQ(result.err, absl::StrCat("launch: --publish ", port, ":80/tcp: port ", port, " of the host is in use\n"));
  EXPECT_FALSE(fs::exists(host_->store() + "/containers") && !fs::is_empty(host_->store() + "/containers"));
}

TEST_P(NetworkTest, TheContainerReachesTheHostsNetworkButNotItsLoopback) {
  UniqueFd server(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  ASSERT_EQ(bind(server.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
  ASSERT_EQ(listen(server.get(), 8), 0);
  ASSERT_EQ(getsockname(server.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
  // Both programs can show the host's loopback as the gateway.
  std::string script = absl::StrCat(
      "ip route; cat /etc/resolv.conf; set -- $(ip route | grep default); for address in 127.0.0.1 $3; do ",
      "/bin/busybox nc -w 2 $address ", ntohs(address.sin_port), " </dev/null && echo reached; done; true");
  Result result = host_->Shell({"--rm", "--network", mode()}, script);
  EXPECT_EQ(result.status, 0) << result;
  EXPECT_THAT(result.out, AllOf(Not(HasSubstr("reached")), HasSubstr("default via"), HasSubstr("nameserver ")));
  pollfd client = {server.get(), POLLIN, 0};
  EXPECT_EQ(poll(&client, 1, 0), 0);
}

TEST_P(NetworkTest, KillingTheLauncherEndsTheNetwork) {
  int port = FreePort(SOCK_STREAM);
  std::vector<std::string> words = {
      "--image", host_->image(), "--rm", "--network",      mode(), "-p", absl::StrCat(port, ":80"),
      "--",      "sh",           "-c",   ServePage("mine")};
  Running running = host_->Start(host_->WithProgram(words));
  EXPECT_TRUE(Eventually([&] { return Get(port).find("mine\n") != std::string::npos; }));
  kill(running.pid, SIGKILL);
  EXPECT_EQ(host_->Wait(std::move(running)).status, 128 + SIGKILL);
  EXPECT_TRUE(Eventually([&] { return ProgramsOf(host_->path()).empty() && NothingRuns(); }));
  EXPECT_EQ(Get(port), "");
}

TEST_P(NetworkTest, KillingTheHelperEndsTheNetwork) {
  int port = FreePort(SOCK_STREAM);
  StartContainer({"-p", absl::StrCat(port, ":80")}, ServePage("mine"));
  EXPECT_TRUE(Eventually([&] { return Get(port).find("mine\n") != std::string::npos; }));
  pid_t program = NetworkProgramOf(host_->path());
  ASSERT_NE(program, 0);
  std::string status = ReadFileOrEmpty(absl::StrCat("/proc/", program, "/status"));
  size_t at = status.find("PPid:\t");
  ASSERT_NE(at, std::string::npos);
  kill(atoi(status.c_str() + at + 6), SIGKILL);
  EXPECT_TRUE(Eventually([&] { return ProgramsOf(host_->path()).empty(); }));
  host_->Launch({"ps"});  // which cleans up
}

TEST_P(NetworkTest, TheEndOfItsProgramIsTold) {
  std::string id = StartContainer({}, "sleep 1000");
  pid_t program = NetworkProgramOf(host_->path());
  ASSERT_NE(program, 0);
  kill(program, SIGKILL);
  EXPECT_TRUE(Eventually([&] {
    std::string message = Inspect(id)["message"];
    return message == mode() +
                          ", which connects the container to the network, was killed by signal 9 (SIGKILL); the "
                          "container goes on without";
  }));
  EXPECT_EQ(Inspect(id)["status"], "running");
}

TEST_P(NetworkTest, AContainerThatEndedServesAgain) {
  int port = FreePort(SOCK_STREAM);
  std::string id = StartContainer({"-p", absl::StrCat(port, ":80")},
                                  "mkdir -p /www; echo again >/www/index.html; "
                                  "exec /bin/busybox httpd -f -p 80 -h /www");
  EXPECT_TRUE(Eventually([&] { return Get(port).find("again\n") != std::string::npos; }));
  EXPECT_EQ(host_->Launch({"kill", id}).status, 0);
  EXPECT_EQ(host_->Launch({"wait", id}).status, 0);
  EXPECT_EQ(Get(port), "");
  Result result = host_->Launch({"start", id});
  EXPECT_EQ(result.status, 0) << result;
  EXPECT_TRUE(Eventually([&] { return Get(port).find("again\n") != std::string::npos; }));
}

class HostNetworkTest : public EachUserTest {};

INSTANTIATE_TEST_SUITE_P(Each, HostNetworkTest, ::testing::Values(Who::kRoot, Who::kPlain, Who::kLone),
                         [](const auto& test) { return NameOf(test.param); });

TEST_P(HostNetworkTest, TheHostsNetworkIsTheContainersOwn) {
  std::string netns = fs::read_symlink("/proc/self/ns/net");
  Result result = host_->Shell({"--rm", "--network", "host", "--add-host", "db:10.9.8.7"},
                               "readlink /proc/self/ns/net; grep db /etc/hosts; touch /sys/x; ls /sys/fs/cgroup");
  EXPECT_THAT(result.out, StartsWith(netns + "\n10.9.8.7\tdb\n"));
  EXPECT_THAT(result.out, Not(HasSubstr("cgroup.procs")));
  EXPECT_THAT(result.err, HasSubstr("Read-only file system")) << result;
  std::string id = host_->Run({"-d", "--network", "host"}, {"sleep", "1000"}).out.substr(0, 12);
  EXPECT_EQ(host_->Launch({"exec", id, "readlink", "/proc/self/ns/net"}).out, netns + "\n");
  EXPECT_EQ(host_->Launch({"rm", "-f", id}).status, 0);
}

TEST_P(HostNetworkTest, WithoutANetworkTheImagesFilesStayAndThereIsALoopbackOnly) {
  Result result = host_->Shell({"--rm", "--network", "none"}, "cat /etc/hostname; ip -o link | wc -l; ls /etc");
  EXPECT_THAT(result.out, StartsWith("image\n1\n")) << result;
  EXPECT_THAT(result.out, Not(HasSubstr("resolv.conf")));
}

TEST_P(HostNetworkTest, ALinkThatLeadsNowhereGivesWayToTheFile) {
  fs::create_symlink("/run/nowhere/resolv.conf", host_->image() + "/base/etc/resolv.conf");
  Result result = host_->Shell({"--rm", "--dns", "9.9.9.9"}, "cat /etc/resolv.conf");
  EXPECT_EQ(result.out, "nameserver 9.9.9.9\n") << result;
}

TEST_P(HostNetworkTest, BadInputIsOneLine) {
  const std::vector<std::vector<std::string>> bad = {{"--network", "bad"},
                                                     {"--network", "none", "-p", "80:80"},
                                                     {"--network", "host", "-p", "80:80"},
                                                     {"-p", "80"},
                                                     {"-p", "1-2:1"},
                                                     {"-p", "8080:80", "-p", "127.0.0.1:8080:81"},
                                                     {"--add-host", "db"},
                                                     {"--dns", "dns.example.org"}};
  for (const std::vector<std::string>& flags : bad) {
    Result result = host_->Run(flags, {"true"});
    EXPECT_EQ(result.status, 125) << result;
    EXPECT_THAT(result.err, StartsWith("launch: --"));
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result;
    EXPECT_FALSE(fs::exists(host_->store() + "/containers"));
  }
}

}  // namespace
}  // namespace acetate::launcher
