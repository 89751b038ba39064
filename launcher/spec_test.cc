#include "launcher/spec.h"

#include <gtest/gtest.h>

namespace acetate::launcher {
namespace {

TEST(ParseMemoryTest, ReadsSizesAndRefusesOthers) {
  EXPECT_EQ(*ParseMemory("6m"), 6u << 20);
  EXPECT_EQ(*ParseMemory("8388608"), 8u << 20);
  EXPECT_EQ(*ParseMemory("8388608b"), 8u << 20);
  EXPECT_EQ(*ParseMemory("10000k"), 10000u << 10);
  EXPECT_EQ(*ParseMemory("1g"), 1u << 30);
  EXPECT_EQ(*ParseMemory("1GB"), 1u << 30);
  EXPECT_EQ(*ParseMemory("2GiB"), uint64_t{2} << 30);
  EXPECT_EQ(*ParseMemory("1T"), uint64_t{1} << 40);
  for (const char* bad : {"", "m", "1x", "1gx", "-1g", "+1g", " 1g", "1 g", "1.5g", "5m", "0", "9999999t",
                          "99999999999999999999", "0x10000000"}) {
    EXPECT_FALSE(ParseMemory(bad).ok()) << bad;
  }
}

TEST(ParsePidsLimitTest, ReadsNumbersAndRefusesOthers) {
  EXPECT_EQ(*ParsePidsLimit("20"), 20u);
  EXPECT_EQ(*ParsePidsLimit("0"), 0u);
  EXPECT_EQ(*ParsePidsLimit("-1"), 0u);
  for (const char* bad : {"", "-2", "x", "1x", " 1", "+1", "4194305", "99999999999999999999"}) {
    EXPECT_FALSE(ParsePidsLimit(bad).ok()) << bad;
  }
}

TEST(ParseDeviceTest, IsShownUnderItsOwnNameUnlessAnotherIsGiven) {
  EXPECT_EQ(FormatDevice(*ParseDevice("/dev/kvm")), "/dev/kvm:/dev/kvm:rw");
  EXPECT_EQ(FormatDevice(*ParseDevice("/dev/kvm:/dev/./x/../machine")), "/dev/kvm:/dev/machine:rw");
  EXPECT_EQ(FormatDevice(*ParseDevice("/dev/kvm:r")), "/dev/kvm:/dev/kvm:r");
  EXPECT_EQ(FormatDevice(*ParseDevice("/dev/kvm:/x:rw")), "/dev/kvm:/x:rw");
  EXPECT_EQ(FormatDevice(*ParseDevice("/dev/kvm:/x:r")), "/dev/kvm:/x:r");
  for (const char* bad : {"", "kvm", "/dev/kvm:", "/dev/kvm:x", "/dev/kvm:/x:", "/dev/kvm:/x:y", "/dev/kvm:/x:rw:z",
                          "/dev/kvm:w", "/dev/kvm:rwm", "/", "/dev/kvm:/.."}) {
    EXPECT_FALSE(ParseDevice(bad).ok()) << bad;
  }
}

TEST(ParseUsernsTest, KnowsTheModes) {
  for (const char* mode : {"private", "keep-id", "host", "auto:size=1", "auto:size=4294967294"}) {
    ASSERT_TRUE(ParseUserns(mode).ok()) << mode;
    EXPECT_EQ(FormatUserns(*ParseUserns(mode)), mode);
  }
  EXPECT_EQ(FormatUserns(*ParseUserns("auto")), "auto:size=1024");
  for (const char* bad : {"", "none", "keep-id:uid=1", "auto:", "auto:size=", "auto:size=0", "auto:size=-1",
                          "auto:size=4294967295", "automatic"}) {
    EXPECT_FALSE(ParseUserns(bad).ok()) << bad;
  }
}

TEST(ParseVolumeTest, SplitsSourceTargetAndOption) {
  Volume volume = *ParseVolume("/data:/mnt/data");
  EXPECT_EQ(volume.source, "/data");
  EXPECT_EQ(volume.target, "/mnt/data");
  EXPECT_FALSE(volume.read_only);
  EXPECT_TRUE(ParseVolume("/data:/mnt:ro")->read_only);
  EXPECT_FALSE(ParseVolume("/data:/mnt:rw")->read_only);
  EXPECT_EQ(ParseVolume("./here:/mnt/")->target, "/mnt");
  EXPECT_EQ(ParseVolume(".:/mnt/../etc/./x")->target, "/etc/x");
  for (const char* bad : {"", ":", "/data", "/data:", ":/mnt", "/data:mnt", "/data:/mnt:", "/data:/mnt:rx",
                          "/data:/mnt:ro:ro", "data:/mnt", "/data:/", "/data:/mnt/.."}) {
    EXPECT_FALSE(ParseVolume(bad).ok()) << bad;
  }
}

TEST(ParseEnvironmentTest, TakesValuesAndLooksUpBareNames) {
  const char* environ[] = {"PATHX=no", "PATH=/bin", "EMPTY=", nullptr};
  EXPECT_EQ(**ParseEnvironment("A=b", environ), "A=b");
  EXPECT_EQ(**ParseEnvironment("A=", environ), "A=");
  EXPECT_EQ(**ParseEnvironment("A=b=c d", environ), "A=b=c d");
  EXPECT_EQ(**ParseEnvironment("PATH", environ), "PATH=/bin");
  EXPECT_EQ(**ParseEnvironment("EMPTY", environ), "EMPTY=");
  EXPECT_FALSE(ParseEnvironment("MISSING", environ)->has_value());
  EXPECT_FALSE(ParseEnvironment("=b", environ).ok());
  EXPECT_FALSE(ParseEnvironment("", environ).ok());
}

TEST(ParseUserTest, TellsNumbersFromNames) {
  EXPECT_EQ(ParseUser("0")->user.id, 0u);
  EXPECT_EQ(ParseUser("1000:50")->group->id, 50u);
  EXPECT_EQ(ParseUser("www-data")->user.name, "www-data");
  EXPECT_EQ(ParseUser("a:b")->group->name, "b");
  EXPECT_EQ(ParseUser("4294967294")->user.id, 4294967294u);
  EXPECT_FALSE(ParseUser("0")->group.has_value());
  for (const char* bad : {"", ":", "0:", ":0", "-1", "+1", " 1", "1 ", "4294967295", "4294967296", "1x", "-x", "a:b:c",
                          "a/b", "99999999999999999999"}) {
    EXPECT_FALSE(ParseUser(bad).ok()) << bad;
  }
}

TEST(CheckHostnameTest, TakesHostNamesOnly) {
  for (const char* good : {"a", "box-1", "box.example.org", "web_1"}) EXPECT_TRUE(CheckHostname(good).ok()) << good;
  for (const char* bad : {"", "-a", "a-", "a..b", ".a", "a b", "a/b"}) EXPECT_FALSE(CheckHostname(bad).ok()) << bad;
  EXPECT_TRUE(CheckHostname(std::string(64, 'a')).ok());
  EXPECT_FALSE(CheckHostname(std::string(65, 'a')).ok());
}

TEST(CheckNameTest, TakesWhatIsSafeAsAFileName) {
  for (const char* good : {"a", "web-1", "A.b_c"}) EXPECT_TRUE(CheckName(good).ok()) << good;
  for (const char* bad : {"", ".", "..", ".a", "-a", "a/b", "a b"}) EXPECT_FALSE(CheckName(bad).ok()) << bad;
  EXPECT_FALSE(CheckName(std::string(129, 'a')).ok());
}

TEST(ParseWorkdirTest, WantsAnAbsolutePathAndCleansIt) {
  EXPECT_EQ(*ParseWorkdir("/"), "/");
  EXPECT_EQ(*ParseWorkdir("/srv//app/"), "/srv/app");
  EXPECT_EQ(*ParseWorkdir("/srv/../../etc/."), "/etc");
  EXPECT_FALSE(ParseWorkdir("srv").ok());
  EXPECT_FALSE(ParseWorkdir("").ok());
}

TEST(SpecTest, TmpfsIsAPathWithOptions) {
  Tmpfs tmpfs = *ParseTmpfs("/run/../t:size=64m,mode=0700,ro,exec,nodev");
  EXPECT_EQ(tmpfs.target, "/t");
  EXPECT_EQ(tmpfs.size, "64m");
  EXPECT_TRUE(tmpfs.read_only && tmpfs.executable);
  EXPECT_EQ(FormatTmpfs(tmpfs), "/t:mode=0700,size=64m,ro,exec");
  EXPECT_EQ(FormatTmpfs(*ParseTmpfs("/t")), "/t:mode=1777");
  for (const char* text : {"", "t", "/", "/t:bogus", "/t:mode=9", "/t:size=x", "/t:size="}) {
    EXPECT_FALSE(ParseTmpfs(text).ok()) << text;
  }
}

TEST(SpecTest, UlimitsHaveASoftAndAHardLimit) {
  Ulimit limit = *ParseUlimit("nofile=100:200");
  EXPECT_EQ(limit.soft, 100u);
  EXPECT_EQ(limit.hard, 200u);
  EXPECT_EQ(ParseUlimit("core=0")->hard, 0u);
  EXPECT_EQ(FormatUlimit(*ParseUlimit("stack=5:-1")), "stack=5:unlimited");
  for (const char* text : {"", "nofile", "nofile=", "nofile=x", "files=1", "nofile=3:2", "nofile=1:2:3", "=1"}) {
    EXPECT_FALSE(ParseUlimit(text).ok()) << text;
  }
}

}  // namespace
}  // namespace acetate::launcher
