#include "launcher/capabilities.h"

#include <gtest/gtest.h>

namespace acetate::launcher {
namespace {

constexpr uint64_t Bit(int capability) { return uint64_t{1} << capability; }

TEST(CapabilitiesTest, NamesAreReadAsDockerReadsThem) {
  for (const char* name : {"NET_ADMIN", "net_admin", "CAP_NET_ADMIN", "cap_net_admin"}) {
    const absl::StatusOr<uint64_t> parsed = ParseCapability(name);
    ASSERT_TRUE(parsed.ok()) << name;
    EXPECT_EQ(*parsed, Bit(CAP_NET_ADMIN));
  }
  EXPECT_EQ(*ParseCapability("all"), kAllCapabilities);
  for (const char* name : {"", "CAP_", "NO_SUCH", "12", "NET ADMIN", "CAP_CAP_CHOWN"}) {
    EXPECT_FALSE(ParseCapability(name).ok()) << name;
  }
}

TEST(CapabilitiesTest, WhatIsKept) {
  EXPECT_EQ(KeptCapabilities(0, 0), kDefaultCapabilities);
  EXPECT_EQ(KeptCapabilities(Bit(CAP_SYS_TIME), Bit(CAP_CHOWN)),
            (kDefaultCapabilities | Bit(CAP_SYS_TIME)) & ~Bit(CAP_CHOWN));
  EXPECT_EQ(KeptCapabilities(0, kAllCapabilities), 0u);
  EXPECT_EQ(KeptCapabilities(Bit(CAP_KILL), kAllCapabilities), Bit(CAP_KILL));
  EXPECT_EQ(KeptCapabilities(kAllCapabilities, 0), kAllCapabilities);
  EXPECT_EQ(KeptCapabilities(kAllCapabilities, Bit(CAP_KILL)), kAllCapabilities & ~Bit(CAP_KILL));
}

}  // namespace
}  // namespace acetate::launcher
