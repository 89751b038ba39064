#include "launcher/ports.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace acetate::launcher {
namespace {

using ::testing::ElementsAre;

TEST(ParsePublishTest, ReadsEachForm) {
  EXPECT_THAT(*ParsePublish("8080:80"), ElementsAre(PublishedPort{"", 8080, 80, false}));
  EXPECT_THAT(*ParsePublish("8080:80/tcp"), ElementsAre(PublishedPort{"", 8080, 80, false}));
  EXPECT_THAT(*ParsePublish("127.0.0.1:53:5353/udp"), ElementsAre(PublishedPort{"127.0.0.1", 53, 5353, true}));
  EXPECT_THAT(*ParsePublish("[::1]:1:65535"), ElementsAre(PublishedPort{"::1", 1, 65535, false}));
  EXPECT_THAT(*ParsePublish("10.0.0.1:8000-8001:80-81"),
              ElementsAre(PublishedPort{"10.0.0.1", 8000, 80, false}, PublishedPort{"10.0.0.1", 8001, 81, false}));
  EXPECT_EQ(ParsePublish("8000-8010:80-90")->size(), 11u);
}

TEST(ParsePublishTest, RefusesOthers) {
  for (const char* bad : {"",
                          ":",
                          "80",
                          "8080:",
                          ":80",
                          "0:80",
                          "80:0",
                          "65536:80",
                          "80:65536",
                          "x:80",
                          "80:x",
                          "+1:80",
                          " 1:80",
                          "80:80/",
                          "80:80/sctp",
                          "80:80/tcp/udp",
                          "8001-8000:1-2",
                          "8000-8001:80",
                          "8000:80-81",
                          "8000-8001:80-82",
                          "1.2.3:80:80",
                          "host:80:80",
                          "::1:80:80",
                          "[::1:80:80",
                          "[]:80:80",
                          ":80:80",
                          "1-2-3:1-2-3",
                          "-1:1"}) {
    EXPECT_FALSE(ParsePublish(bad).ok()) << bad;
  }
}

TEST(ParsePublishTest, ComesBackFromWhatIsWritten) {
  for (const char* text : {"8080:80/tcp", "127.0.0.1:53:5353/udp", "[::1]:1:65535/tcp"}) {
    EXPECT_EQ(FormatPublish(ParsePublish(text)->at(0)), text);
  }
  EXPECT_EQ(ShowPort({"", 8080, 80, false}), "*:8080->80/tcp");
  EXPECT_EQ(ShowPort({"::1", 53, 53, true}), "[::1]:53->53/udp");
}

TEST(OverlapTest, TellsWhatOneHostCannotHaveTwice) {
  EXPECT_TRUE(Overlap({"", 80, 1, false}, {"10.0.0.1", 80, 2, false}));
  EXPECT_TRUE(Overlap({"10.0.0.1", 80, 1, false}, {"10.0.0.1", 80, 1, false}));
  EXPECT_FALSE(Overlap({"10.0.0.2", 80, 1, false}, {"10.0.0.1", 80, 2, false}));
  EXPECT_FALSE(Overlap({"", 80, 1, false}, {"", 80, 1, true}));
  EXPECT_FALSE(Overlap({"", 80, 1, false}, {"", 81, 1, false}));
}

}  // namespace
}  // namespace acetate::launcher
