// nginx, Debian's package, in two containers at once: each serves on its own port 80, and on a port of the host.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "launcher/serving.h"
#include "tests/e2e/container.h"

namespace acetate {
namespace {

using launcher::FreePort;
using launcher::Get;
using testing::HasSubstr;

bool Eventually(const std::function<bool()>& holds) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (!holds()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  return true;
}

class WebServerTest : public testing::Test {
 protected:
  void SetUp() override {
    image_ = TestImage(kToolsImage);
    if (image_.empty()) GTEST_SKIP() << "there are no images: run tests/setup.sh";
  }

  void TearDown() override {
    for (const std::string& name : started_) Run({"rm", "-f", name});
  }

  CommandResult Run(const std::vector<std::string>& arguments) const {
    return as_root_ ? host_.LaunchAsCaller(arguments) : host_.Launch(arguments);
  }

  // Starts nginx in the background, with a page that says who it is. The port of the host that it is published on.
  int Serve(const std::string& name, const std::string& network) {
    const int port = FreePort(SOCK_STREAM);
    // The layer's packages are unpacked, not configured.
    const std::string script = absl::StrCat(
        "mkdir -p /var/www/html; echo this is ", name, " >/var/www/html/index.html;",
        "echo 'server { listen 80; root /var/www/html; }' >/etc/nginx/conf.d/site.conf; exec nginx -g 'daemon off;'");
    const CommandResult result =
        Run({"-d", "--name", name, "--network", network, "-p", absl::StrCat("127.0.0.1:", port, ":80"), "--image",
             image_, "--", "sh", "-euc", script});
    EXPECT_EQ(result.status, 0) << result;
    started_.push_back(name);
    return port;
  }

  bool Serves(int port, const std::string& page) {
    return Eventually([&] { return Get(port).find(page) != std::string::npos; });
  }

  // What the host sees of a container's nginx, for a message.
  std::string LogsOf(const std::string& name) const {
    const CommandResult result = Run({"logs", name});
    return result.out + result.err;
  }

  ContainerHost host_;
  bool as_root_ = false;
  std::string image_;
  std::vector<std::string> started_;
};

TEST_F(WebServerTest, TwoOfAUsersServeAtOnce) {
  if (access("/dev/net/tun", R_OK | W_OK) != 0) GTEST_SKIP() << "/dev/net/tun cannot be opened";
  const int first = Serve("first", "pasta");
  const int second = Serve("second", "pasta");
  EXPECT_TRUE(Serves(first, "\r\n\r\nthis is first\n")) << LogsOf("first");
  EXPECT_TRUE(Serves(second, "\r\n\r\nthis is second\n")) << LogsOf("second");
  EXPECT_THAT(Get(first), HasSubstr("Server: nginx"));
}

TEST_F(WebServerTest, TwoOfRootsServeAtOnceAndReachEachOtherByName) {
  if (geteuid() != 0) GTEST_SKIP() << "the bridge is root's";
  as_root_ = true;
  const int first = Serve("first", "bridge");
  const int second = Serve("second", "bridge");
  EXPECT_TRUE(Serves(first, "\r\n\r\nthis is first\n")) << LogsOf("first");
  EXPECT_TRUE(Serves(second, "\r\n\r\nthis is second\n")) << LogsOf("second");
  auto fetched = [&](const std::string& from, const std::string& by_name) {
    return Run({"exec", from, "bash", "-c",
                absl::StrCat("exec 3<>/dev/tcp/", by_name, "/80; printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3")});
  };
  for (const auto& [from, to] : {std::pair("first", "second"), std::pair("second", "first")}) {
    const CommandResult result = fetched(from, to);
    EXPECT_THAT(result.out, HasSubstr(absl::StrCat("\r\n\r\nthis is ", to, "\n"))) << result;
  }
}

}  // namespace
}  // namespace acetate
