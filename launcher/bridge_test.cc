#include "launcher/bridge.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace acetate::launcher {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

Lease Web() {
  return {std::string(64, 'a'), "10.213.0.2", {"web", "web.local"}, {{"", 8080, 80, false}}, "/run/a/hosts", "head\n"};
}

Lease Db() { return {std::string(64, 'b'), "10.213.0.3", {"db"}, {{"127.0.0.1", 53, 54, true}}, "/run/b/hosts", ""}; }

TEST(LeaseTest, ComesBackAsItWasWritten) {
  std::optional<Lease> read = ParseLease(FormatLease(Web()));
  ASSERT_TRUE(read.has_value());
  EXPECT_EQ(FormatLease(*read), FormatLease(Web()));
  EXPECT_EQ(read->ports, Web().ports);
  for (const char* bad : {"", "{", "[]", "{\"id\":7}"}) EXPECT_FALSE(ParseLease(bad).has_value()) << bad;
}

TEST(FreeAddressTest, IsTheFirstThatNobodyHas) {
  EXPECT_EQ(FreeAddress({}), "10.213.0.2");
  EXPECT_EQ(FreeAddress({Web(), Db()}), "10.213.0.4");
  EXPECT_EQ(FreeAddress({Db()}), "10.213.0.2");
  std::vector<Lease> all;
  for (int i = 0; i < 65536; ++i) {
    Lease lease;
    lease.address = "10.213." + std::to_string(i / 256) + "." + std::to_string(i % 256);
    all.push_back(lease);
  }
  EXPECT_EQ(FreeAddress(all), std::nullopt);
}

TEST(BridgeRulesTest, LeadPortsToTheirContainersAndGoWithTheLast) {
  std::string rules = BridgeRules({Web(), Db()});
  EXPECT_THAT(rules, HasSubstr("fib daddr type local tcp dport 8080 dnat to 10.213.0.2:80\n"));
  EXPECT_THAT(rules, HasSubstr("ip daddr 127.0.0.1 udp dport 53 dnat to 10.213.0.3:54\n"));
  EXPECT_THAT(rules, HasSubstr("iifname \"acetate0\" ip daddr 127.0.0.0/8 drop"));
  EXPECT_EQ(BridgeRules({}), "table ip acetate_bridge\ndelete table ip acetate_bridge\n");
}

TEST(BridgeHostsTest, NamesAllThatAreOnTheBridge) {
  EXPECT_EQ(BridgeHosts(Web(), {Web(), Db()}), "head\n10.213.0.2\tweb web.local\n10.213.0.3\tdb\n");
  EXPECT_THAT(BridgeHosts(Web(), {Web()}), Not(HasSubstr("db")));
}

TEST(RouteInTheWayTest, IsOneToAPartOfTheBridgesNetwork) {
  constexpr char kHead[] = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n";
  const auto route = [&](const char* line) { return RouteInTheWay(absl::StrCat(kHead, line, "\n")); };
  EXPECT_EQ(route("eth0\t0007D50A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0"), "10.213.7.0/24 by eth0");
  EXPECT_EQ(route("tun0\t0000D50A\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0"), "10.213.0.0/16 by tun0");
  // Its own, the default one, a neighbour, and one that the bridge's goes before.
  EXPECT_EQ(route("acetate0\t0000D50A\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0"), "");
  EXPECT_EQ(route("eth0\t00000000\t0102000A\t0003\t0\t0\t0\t00000000\t0\t0\t0"), "");
  EXPECT_EQ(route("eth0\t0000D60A\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0"), "");
  EXPECT_EQ(route("eth0\t0000000A\t00000000\t0001\t0\t0\t0\t000000FF\t0\t0\t0"), "");
  EXPECT_EQ(RouteInTheWay(""), "");
}

TEST(HostDeviceTest, FitsIntoTheKernelsNames) { EXPECT_EQ(HostDevice(std::string(64, 'a')).size(), 15u); }

}  // namespace
}  // namespace acetate::launcher
