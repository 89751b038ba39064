// Containers of root on the bridge: they serve on ports of the host, know each other by name, and leave nothing.
#include <arpa/inet.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>

#include "absl/strings/str_cat.h"
#include "common/unique_fd.h"
#include "launcher/files.h"
#include "launcher/launch_fixture.h"
#include "launcher/serving.h"

namespace acetate::launcher {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

constexpr char kBridge[] = "acetate0";
constexpr char kLeases[] = "/run/acetate-bridge";

sockaddr_in Loopback(int port) {
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

// A machine that the host reaches by a device of its own, and that knows no way to the bridge. It tells each caller
// their address, at port 8000 of kAddress.
class Outside {
 public:
  static constexpr char kAddress[] = "198.51.100.2";
  static constexpr char kHostsAddress[] = "198.51.100.1";

  explicit Outside(LaunchFixture* host) {
    int ready[2], go[2];
    if (pipe2(ready, O_CLOEXEC) != 0 || pipe2(go, O_CLOEXEC) != 0) return;
    pid_ = fork();
    if (pid_ == 0) {
      char byte = 0;
      if (unshare(CLONE_NEWNET) == 0 && write(ready[1], &byte, 1) == 1 && read(go[0], &byte, 1) == 1) Serve();
      _exit(1);
    }
    char byte = 0;
    EXPECT_EQ(read(ready[0], &byte, 1), 1);
    const Result made =
        host->Exec({"sh", "-ec",
                    absl::StrCat("ip link add acetate-out type veth peer name eth0 netns ", pid_, "\nip addr add ",
                                 kHostsAddress, "/24 dev acetate-out\nip link set acetate-out up")});
    EXPECT_EQ(made.status, 0) << made;
    EXPECT_EQ(write(go[1], &byte, 1), 1);
    for (int fd : {ready[0], ready[1], go[0], go[1]}) close(fd);
  }
  // Its end of the device goes with its namespace, and the other with that.
  ~Outside() {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }

 private:
  static void Serve() {
    const std::string up = absl::StrCat("ip addr add ", kAddress, "/24 dev eth0 && ip link set eth0 up");
    const int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_port = htons(8000);
    if (system(up.c_str()) != 0 || bind(server, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) return;
    listen(server, 8);
    for (;;) {
      sockaddr_in caller = {};
      socklen_t size = sizeof(caller);
      const int connection = accept(server, reinterpret_cast<sockaddr*>(&caller), &size);
      dprintf(connection, "%s\n", inet_ntoa(caller.sin_addr));
      close(connection);
    }
  }

  pid_t pid_ = -1;
};

class BridgeTest : public ::testing::Test {
 protected:
  void SetUp() override {
    try {
      host_ = std::make_unique<LaunchFixture>(Who::kRoot);
    } catch (const std::exception& missing) {
      GTEST_SKIP() << missing.what();
    }
    for (const char* program : {"ip", "nft"}) {
      if (FindProgram(program).empty()) GTEST_SKIP() << program << " is not installed: run tests/setup.sh";
    }
    if (if_nametoindex(kBridge) != 0) GTEST_SKIP() << "somebody's containers are on the bridge " << kBridge;
    Result probe = host_->Exec({"sh", "-c", "ip link add acetate-probe type bridge && ip link delete acetate-probe"});
    if (probe.status != 0) GTEST_SKIP() << "no bridge can be made here: " << probe.err;
    checks_ = true;
  }

  void TearDown() override {
    if (!checks_) return;
    for (const std::string& id : started_) host_->Launch({"rm", "-f", id});
    EXPECT_TRUE(Eventually([&] { return NothingIsLeft(); }));
  }

  bool NothingIsLeft() {
    bool devices = if_nametoindex(kBridge) != 0;
    for (const auto& entry : fs::directory_iterator("/sys/class/net")) {
      devices = devices || entry.path().filename().string().rfind("acv", 0) == 0;
    }
    bool rules = host_->Exec({"nft", "list", "tables"}).out.find("acetate_bridge") != std::string::npos;
    return !devices && !rules && !fs::exists(kLeases);
  }

  std::string StartContainer(std::vector<std::string> flags, const std::string& script) {
    flags.insert(flags.end(), {"-d", "--network", "bridge"});
    Result result = host_->Shell(flags, script);
    EXPECT_EQ(result.status, 0) << result;
    started_.push_back(result.out.substr(0, 12));
    return started_.back();
  }

  nlohmann::json Inspect(const std::string& id) {
    return nlohmann::json::parse(host_->Launch({"inspect", id}).out).at(0);
  }

  // Whoever holds the lease of this address.
  void KillKeeper(const std::string& address) {
    std::string path = absl::StrCat(kLeases, "/", address);
    for (const auto& entry : fs::directory_iterator("/proc")) {
      if (ReadFileOrEmpty(entry.path().string() + "/comm") != "launch\n") continue;
      std::error_code ignored;
      for (const auto& fd : fs::directory_iterator(entry.path() / "fd", ignored)) {
        if (fs::read_symlink(fd.path(), ignored) == path) kill(atoi(entry.path().filename().c_str()), SIGKILL);
      }
    }
  }

  bool checks_ = false;
  std::unique_ptr<LaunchFixture> host_;
  std::vector<std::string> started_;
};

TEST_F(BridgeTest, TwoContainersServePort80AndKnowEachOtherByName) {
  int first = FreePort(SOCK_STREAM);
  int second = FreePort(SOCK_STREAM);
  std::string one = StartContainer({"--name", "one", "-p", absl::StrCat(first, ":80")}, ServePage("first"));
  std::string two =
      StartContainer({"--name", "two", "--hostname", "second.local", "-p", absl::StrCat("127.0.0.1:", second, ":80")},
                     ServePage("second"));
  EXPECT_TRUE(Eventually([&] { return Get(first).find("first\n") != std::string::npos; }));
  EXPECT_TRUE(Eventually([&] { return Get(second).find("second\n") != std::string::npos; }));

  // A static BusyBox cannot ask the C library for names.
  auto page = [&](const std::string& from, const std::string& of) {
    std::string script = absl::StrCat("set -- $(grep -w ", of, " /etc/hosts); printf 'GET / HTTP/1.0\r\n\r\n' | ",
                                      "/bin/busybox nc -w 10 $1 80");
    return host_->Launch({"exec", from, "sh", "-c", script});
  };
  EXPECT_THAT(page(one, "two").out, HasSubstr("second\n")) << page(one, "two");
  EXPECT_THAT(page(one, "second.local").out, HasSubstr("second\n"));
  EXPECT_THAT(page(two, "one").out, HasSubstr("first\n")) << page(two, "one");

  nlohmann::json network = Inspect(one)["network"];
  EXPECT_EQ(network["mode"], "bridge");
  EXPECT_THAT(std::string(network["address"]), StartsWith("10.213."));
  EXPECT_NE(network["address"], Inspect(two)["network"]["address"]);
  EXPECT_THAT(host_->Launch({"ps"}).out, HasSubstr(absl::StrCat("*:", first, "->80/tcp")));

  EXPECT_EQ(host_->Launch({"rm", "-f", two}).status, 0);
  EXPECT_THAT(host_->Launch({"exec", one, "cat", "/etc/hosts"}).out, AllOf(HasSubstr(" one\n"), Not(HasSubstr("two"))));
}

TEST_F(BridgeTest, UdpIsAnswered) {
  int port = FreePort(SOCK_DGRAM);
  fs::copy_file(fs::canonical("launcher/udp_echo"), *host_ / "image/base/bin/udp_echo");
  StartContainer({"-p", absl::StrCat(port, ":5353/udp")}, "exec udp_echo 5353");
  EXPECT_TRUE(Eventually([&] { return Ask(port, "hello\n", SOCK_DGRAM) == "hello\n"; }));
}

TEST_F(BridgeTest, ThereIsARouteAndTheHostsLoopbackIsOutOfReach) {
  UniqueFd server(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address = Loopback(0);
  socklen_t size = sizeof(address);
  ASSERT_EQ(bind(server.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
  ASSERT_EQ(listen(server.get(), 8), 0);
  ASSERT_EQ(getsockname(server.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
  Result result = host_->Shell({"--rm", "--network", "bridge"},
                               absl::StrCat("ip route; ip -o link | wc -l; /bin/busybox nc -w 1 10.213.0.1 ",
                                            ntohs(address.sin_port), " </dev/null && echo reached"));
  EXPECT_THAT(result.out, AllOf(HasSubstr("default via 10.213.0.1"), HasSubstr("\n2\n"), Not(HasSubstr("reached"))))
      << result;
  EXPECT_TRUE(NothingIsLeft());
}

TEST_F(BridgeTest, TheOutsideIsReachedByTheHostsAddress) {
  const Outside outside(host_.get());
  const std::string call = absl::StrCat("/bin/busybox nc -w 10 ", Outside::kAddress, " 8000");
  Result result;
  EXPECT_TRUE(Eventually([&] {
    result = host_->Shell({"--rm", "--network", "bridge"}, call);
    return result.out == absl::StrCat(Outside::kHostsAddress, "\n");
  })) << result;
}

TEST_F(BridgeTest, ARouteOfTheHostIsNotTakenAway) {
  const Result made =
      host_->Exec({"sh", "-ec",
                   "ip link add acetate-route type bridge\nip addr add 10.213.7.1/24 dev acetate-route\n"
                   "ip link set acetate-route up"});
  EXPECT_EQ(made.status, 0) << made;
  const Result result = host_->Run({"--network", "bridge"}, {"true"});
  EXPECT_EQ(host_->Exec({"ip", "link", "delete", "acetate-route"}).status, 0);
  EXPECT_EQ(result.status, 125);
  EXPECT_EQ(
      result.err,
      "launch: --network bridge: the host has a route to 10.213.7.0/24 by acetate-route, which is in the bridge's "
      "network; take another --network\n");
}

TEST_F(BridgeTest, APortThatAnotherContainerHasIsOneLine) {
  int port = FreePort(SOCK_STREAM);
  StartContainer({"-p", absl::StrCat(port, ":80")}, "sleep 1000");
  Result result = host_->Run({"--network", "bridge", "-p", absl::StrCat(port, ":81")}, {"true"});
  EXPECT_EQ(result.status, 125);
  EXPECT_EQ(result.err, absl::StrCat("launch: --publish ", port, ":81/tcp: port ", port, " of the host is in use\n"));
}

TEST_F(BridgeTest, ManyAtOnceGetAddressesOfTheirOwn) {
  constexpr int kMany = 6;
  std::vector<Running> running;
  for (int i = 0; i < kMany; ++i) {
    running.push_back(host_->Start(host_->WithProgram({"--image", host_->image(), "--rm", "--network", "bridge", "--",
                                                       "sh", "-c", "ip -4 -o addr show eth0; sleep 1"})));
  }
  std::set<std::string> lines;
  for (Running& each : running) {
    Result result = host_->Wait(std::move(each));
    EXPECT_EQ(result.status, 0) << result;
    size_t at = result.out.find("10.213.");
    ASSERT_NE(at, std::string::npos) << result;
    lines.insert(result.out.substr(at, result.out.find('/', at) - at));
  }
  EXPECT_EQ(lines.size(), size_t{kMany});
}

TEST_F(BridgeTest, NothingIsLeftOfAKilledLauncher) {
  int port = FreePort(SOCK_STREAM);
  Running running = host_->Start(host_->WithProgram({"--image", host_->image(), "--rm", "--network", "bridge", "-p",
                                                     absl::StrCat(port, ":80"), "--", "sh", "-c", ServePage("mine")}));
  EXPECT_TRUE(Eventually([&] { return Get(port).find("mine\n") != std::string::npos; }));
  kill(running.pid, SIGKILL);
  EXPECT_EQ(host_->Wait(std::move(running)).status, 128 + SIGKILL);
  EXPECT_TRUE(Eventually([&] { return NothingIsLeft(); }));
}

TEST_F(BridgeTest, NothingIsLeftOfAKilledHelper) {
  std::string id = StartContainer({}, "sleep 1000");
  std::string status = ReadFileOrEmpty(absl::StrCat("/proc/", int{Inspect(id)["pid"]}, "/status"));
  size_t at = status.find("PPid:\t");
  ASSERT_NE(at, std::string::npos);
  kill(atoi(status.c_str() + at + 6), SIGKILL);
  EXPECT_TRUE(Eventually([&] { return NothingIsLeft(); }));
  EXPECT_THAT(host_->Launch({"ps", "-a"}).out, HasSubstr("Exited (137)"));
}

TEST_F(BridgeTest, WhatAKilledKeeperLeftTheNextContainerTakesAway) {
  std::string id = StartContainer({}, "sleep 1000");
  KillKeeper(Inspect(id)["network"]["address"]);
  EXPECT_TRUE(Eventually([&] { return std::string(Inspect(id)["message"]).find("was killed") != std::string::npos; }));
  EXPECT_EQ(host_->Launch({"rm", "-f", id}).status, 0);
  EXPECT_TRUE(fs::exists(kLeases));
  EXPECT_EQ(host_->Run({"--rm", "--network", "bridge"}, {"true"}).status, 0);
  EXPECT_TRUE(NothingIsLeft());
}

TEST(BridgeWithoutRootTest, IsOneLineThatNamesTheOtherWay) {
  std::unique_ptr<LaunchFixture> host;
  try {
    host = std::make_unique<LaunchFixture>(Who::kPlain);
  } catch (const std::exception& missing) {
    GTEST_SKIP() << missing.what();
  }
  Result result = host->Run({"--network", "bridge"}, {"true"});
  EXPECT_EQ(result.status, 125);
  EXPECT_EQ(result.err, "launch: --network bridge needs root; --network pasta does not\n");
}

}  // namespace
}  // namespace acetate::launcher
