#include "launcher/network_process.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_join.h"

namespace acetate::launcher {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

std::string Line(const NetworkPlan& plan, const std::vector<PublishedPort>& ports) {
  return absl::StrJoin(NetworkCommand(plan, ports, "/run/c"), " ");
}

TEST(NetworkCommandTest, PastaGetsEachPortAndOpensNoOther) {
  NetworkPlan plan;
  plan.mode = NetworkMode::kPasta;
  plan.program = "/bin/pasta";
  EXPECT_THAT(Line(plan, {{"", 8080, 80, false}, {"127.0.0.1", 8081, 81, false}}),
              AllOf(HasSubstr("--tcp-ports 8080:80 --tcp-ports 127.0.0.1/8081:81 --udp-ports none"),
                    HasSubstr("--tcp-ns none --udp-ns none"), HasSubstr("--no-map-gw"), HasSubstr("--pid /run/c/")));
  EXPECT_THAT(Line(plan, {{"", 53, 54, true}}), HasSubstr("--tcp-ports none --udp-ports 53:54"));
  EXPECT_THAT(Line(plan, {}), Not(HasSubstr("--dns-forward")));
  plan.forwards_dns = true;
  EXPECT_THAT(Line(plan, {}), HasSubstr("--dns-forward 169.254.1.1"));
}

TEST(NetworkCommandTest, Slirp4netnsKeepsTheHostsLoopbackFromTheContainer) {
  NetworkPlan plan;
  plan.mode = NetworkMode::kSlirp4netns;
  plan.program = "/bin/slirp4netns";
  EXPECT_THAT(Line(plan, {}), AllOf(HasSubstr("--disable-host-loopback"), HasSubstr("--enable-sandbox")));
}

TEST(NetworkComplaintTest, IsTheLastLineThatIsNotAboutTheLog) {
  EXPECT_EQ(NetworkComplaint("a\nFailed to bind\nFailed to send 67 bytes to syslog\n\n"), "Failed to bind");
  EXPECT_EQ(NetworkComplaint(""), "");
}

}  // namespace
}  // namespace acetate::launcher
