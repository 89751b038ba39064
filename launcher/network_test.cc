#include "launcher/network.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>

namespace acetate::launcher {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

NetworkSources Machine() {
  NetworkSources sources;
  sources.pasta = "/usr/bin/pasta";
  sources.slirp4netns = "/usr/bin/slirp4netns";
  sources.resolv_conf = "# made by hand\nnameserver 127.0.0.53\nnameserver 192.0.2.53\nsearch example.org\n";
  sources.hosts = "127.0.0.1 localhost\n192.0.2.7 printer";
  return sources;
}

NetworkSpec Publishing() {
  NetworkSpec spec;
  spec.ports = {{"", 8080, 80, false}};
  return spec;
}

NetworkSpec Asking(NetworkMode mode) {
  NetworkSpec spec;
  spec.mode = mode;
  return spec;
}

TEST(ParseNetworkTest, KnowsItsModes) {
  for (const char* name : {"none", "bridge", "host", "pasta", "slirp4netns"}) {
    absl::StatusOr<NetworkMode> mode = ParseNetwork(name);
    ASSERT_TRUE(mode.ok()) << name;
    EXPECT_STREQ(NetworkName(*mode), name);
  }
  for (const char* bad : {"", "None", "container:x", "net1"}) EXPECT_FALSE(ParseNetwork(bad).ok()) << bad;
}

TEST(ParseHostEntryTest, ReadsNamesAndAddresses) {
  EXPECT_EQ(ParseHostEntry("db.local:10.0.0.1")->name, "db.local");
  EXPECT_EQ(ParseHostEntry("db:10.0.0.1")->address, "10.0.0.1");
  EXPECT_EQ(ParseHostEntry("db:::1")->address, "::1");
  EXPECT_EQ(ParseHostEntry("db:[fe80::1]")->address, "fe80::1");
  for (const char* bad : {"", "db", "db:", ":10.0.0.1", "db:x", "d b:10.0.0.1", "db\n1:10.0.0.1", "db:10.0.0.1 x",
                          "db:[::1", "-db:10.0.0.1"}) {
    EXPECT_FALSE(ParseHostEntry(bad).ok()) << bad;
  }
}

TEST(ChooseNetworkTest, WithoutPortsThereIsNone) {
  absl::StatusOr<NetworkPlan> plan = ChooseNetwork({}, Machine(), "box");
  ASSERT_TRUE(plan.ok());
  EXPECT_EQ(plan->mode, NetworkMode::kNone);
  EXPECT_EQ(plan->program, "");
  EXPECT_EQ(plan->hosts, "");
  EXPECT_EQ(plan->resolv_conf, "");
}

TEST(ChooseNetworkTest, PortsTakePastaElseSlirp4netns) {
  NetworkSources machine = Machine();
  EXPECT_EQ(ChooseNetwork(Publishing(), machine, "box")->program, "/usr/bin/pasta");
  machine.pasta.clear();
  EXPECT_EQ(ChooseNetwork(Publishing(), machine, "box")->mode, NetworkMode::kSlirp4netns);
  machine.slirp4netns.clear();
  EXPECT_THAT(ChooseNetwork(Publishing(), machine, "box").status().message(), HasSubstr("apt install"));
}

TEST(ChooseNetworkTest, RootsPortsAreTheBridges) {
  NetworkSources machine = Machine();
  machine.is_root = true;
  EXPECT_EQ(ChooseNetwork(Publishing(), machine, "box")->mode, NetworkMode::kPasta);
  EXPECT_THAT(ChooseNetwork(Asking(NetworkMode::kBridge), machine, "box").status().message(),
              HasSubstr("apt install iproute2 nftables"));
  machine.ip = "/bin/ip";
  machine.nft = "/sbin/nft";
  EXPECT_EQ(ChooseNetwork(Publishing(), machine, "box")->mode, NetworkMode::kBridge);
  EXPECT_EQ(ChooseNetwork({}, machine, "box")->mode, NetworkMode::kNone);
  machine.is_root = false;
  EXPECT_THAT(ChooseNetwork(Asking(NetworkMode::kBridge), machine, "box").status().message(), HasSubstr("needs root"));
}

TEST(ChooseNetworkTest, SaysWhatIsMissing) {
  NetworkSources machine = Machine();
  machine.pasta.clear();
  EXPECT_THAT(ChooseNetwork(Asking(NetworkMode::kPasta), machine, "box").status().message(),
              HasSubstr("apt install passt"));
  machine.tun_error = EACCES;
  EXPECT_THAT(ChooseNetwork(Asking(NetworkMode::kSlirp4netns), machine, "box").status().message(),
              HasSubstr("/dev/net/tun: Permission denied; as root:"));
  EXPECT_TRUE(ChooseNetwork(Asking(NetworkMode::kNone), machine, "box").ok());
}

TEST(ChooseNetworkTest, PortsNeedANetworkThatCanHaveThem) {
  NetworkSpec spec = Publishing();
  for (NetworkMode mode : {NetworkMode::kNone, NetworkMode::kHost}) {
    spec.mode = mode;
    EXPECT_FALSE(ChooseNetwork(spec, Machine(), "box").ok());
  }
  spec.mode = NetworkMode::kSlirp4netns;
  spec.ports[0].address = "::1";
  EXPECT_THAT(ChooseNetwork(spec, Machine(), "box").status().message(), HasSubstr("IPv4"));
}

TEST(EtcFilesTest, NameServersOfTheHostsLoopbackAreLeftOut) {
  NetworkSources machine = Machine();
  NetworkPlan plan = *ChooseNetwork(Asking(NetworkMode::kPasta), machine, "box");
  EXPECT_EQ(plan.resolv_conf, "nameserver 192.0.2.53\nsearch example.org\n");
  EXPECT_FALSE(plan.forwards_dns);
  machine.resolv_conf = "nameserver 127.0.0.53\n";
  plan = *ChooseNetwork(Asking(NetworkMode::kPasta), machine, "box");
  EXPECT_EQ(plan.resolv_conf, "nameserver 169.254.1.1\n");
  EXPECT_TRUE(plan.forwards_dns);
  EXPECT_EQ(ChooseNetwork(Asking(NetworkMode::kSlirp4netns), machine, "box")->resolv_conf, "nameserver 10.0.2.3\n");
  EXPECT_EQ(ChooseNetwork(Asking(NetworkMode::kHost), machine, "box")->resolv_conf, machine.resolv_conf);
}

TEST(EtcFilesTest, TheBridgeHasTheNameServersBehindTheHostsOwn) {
  NetworkSources machine = Machine();
  machine.is_root = true;
  machine.ip = machine.nft = "/bin/x";
  machine.resolv_conf = "nameserver 127.0.0.53\n";
  machine.upstream_resolv_conf = "nameserver 192.0.2.1\n";
  NetworkPlan plan = *ChooseNetwork(Asking(NetworkMode::kBridge), machine, "box");
  EXPECT_EQ(plan.resolv_conf, "nameserver 192.0.2.1\n");
  EXPECT_THAT(plan.hosts, Not(HasSubstr("box")));
}

TEST(EtcFilesTest, WhatWasAskedForComesFirst) {
  NetworkSpec spec = Asking(NetworkMode::kPasta);
  spec.dns = {"9.9.9.9", "::1"};
  spec.hosts = {{"db", "10.0.0.1"}};
  NetworkPlan plan = *ChooseNetwork(spec, Machine(), "box");
  EXPECT_EQ(plan.resolv_conf, "nameserver 9.9.9.9\nnameserver ::1\n");
  EXPECT_THAT(plan.hosts, HasSubstr("127.0.1.1\tbox\n10.0.0.1\tdb\n"));
  spec.mode = NetworkMode::kHost;
  EXPECT_THAT(ChooseNetwork(spec, Machine(), "box")->hosts, HasSubstr("192.0.2.7 printer\n10.0.0.1\tdb\n"));
  spec.mode = NetworkMode::kNone;
  EXPECT_THAT(ChooseNetwork(spec, Machine(), "box")->hosts, Not(HasSubstr("printer")));
}

TEST(NameServersTest, ReadsLinesAsTheResolverDoes) {
  EXPECT_THAT(NameServers("nameserver 1.1.1.1\n#nameserver 2.2.2.2\n nameserver\t::1 x\nnameserver\nfoo"),
              ElementsAre("1.1.1.1", "::1"));
}

}  // namespace
}  // namespace acetate::launcher
