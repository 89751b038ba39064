// What a container may not do, tried from inside, and how that is changed, for each kind of user who launches.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/temp_dir.h"
#include "launcher/each_user_test.h"
#include "launcher/launch_fixture.h"

namespace acetate::launcher {
namespace {

using ::testing::ContainsRegex;
using ::testing::HasSubstr;

class SecurityTest : public EachUserTest {
 protected:
  // What a script prints on both streams.
  std::string Tries(const std::vector<std::string>& flags, const std::string& script) {
    std::vector<std::string> words = {"--rm"};
    words.insert(words.end(), flags.begin(), flags.end());
    const Result result = host_->Shell(words, "{ " + script + "; } 2>&1");
    return result.out + result.err;
  }
};

ACETATE_FOR_EACH_USER(SecurityTest);

TEST_P(SecurityTest, SystemCallsAreFiltered) {
  EXPECT_THAT(Tries({}, "grep Seccomp: /proc/self/status"), HasSubstr("Seccomp:\t2\n"));
  EXPECT_THAT(Tries({"--init"}, "grep Seccomp: /proc/self/status /proc/1/status"),
              HasSubstr("/proc/self/status:Seccomp:\t2\n/proc/1/status:Seccomp:\t0\n"));
  for (const char* way : {"unshare -m true", "unshare -U true", "mount -t tmpfs none /mnt", "umount /proc"}) {
    EXPECT_THAT(Tries({}, way), ContainsRegex("not permitted|permission denied")) << way;
    EXPECT_THAT(Tries({"-u", "0"}, way), ContainsRegex("not permitted|permission denied")) << way;
  }
}

TEST_P(SecurityTest, UnlessItIsUnconfined) {
  const std::vector<std::string> flags = {"--security-opt", "seccomp=unconfined"};
  EXPECT_THAT(Tries(flags, "grep Seccomp: /proc/self/status"), HasSubstr("Seccomp:\t0\n"));
  EXPECT_EQ(Tries(flags, "unshare -U true && echo made"), "made\n");
}

TEST_P(SecurityTest, ACapabilityOpensTheCallsThatItIsFor) {
  EXPECT_EQ(Tries({"--cap-add", "SYS_ADMIN"}, "mkdir -p /mnt && mount -t tmpfs none /mnt && echo mounted"),
            "mounted\n");
  EXPECT_THAT(
      Tries({"--cap-drop", "all"}, "grep CapBnd /proc/self/status; chroot / true"),
      HasSubstr("CapBnd:\t0000000000000000\nchroot: can't change root directory to '/': Operation not permitted"));
  EXPECT_THAT(Tries({"--cap-drop=ALL", "--cap-add=kill"}, "grep CapEff /proc/self/status"),
              HasSubstr("CapEff:\t0000000000000020\n"));
}

TEST_P(SecurityTest, AProfileIsKeptWithTheContainer) {
  const std::string profile = *host_ / "profile.json";
  WriteFile(profile, R"({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
                          {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95}]})");
  const Result started = host_->Run({"-d", "--name", "box", "--security-opt", "seccomp=" + profile}, {"sleep", "1000"});
  ASSERT_EQ(started.status, 0) << started;
  ASSERT_EQ(unlink(profile.c_str()), 0);
  const Result made = host_->Launch({"exec", "box", "mkdir", "/made"});
  EXPECT_THAT(made.err, HasSubstr("not supported"));
  EXPECT_EQ(host_->Launch({"stop", "--time", "0", "box"}).status, 0);
  EXPECT_EQ(host_->Launch({"start", "box"}).status, 0);
  EXPECT_THAT(host_->Launch({"exec", "box", "mkdir", "/made"}).err, HasSubstr("not supported"));
  EXPECT_EQ(host_->Launch({"rm", "-f", "box"}).status, 0);
}

TEST_P(SecurityTest, WhatIsNoProfileIsSaidInOneLine) {
  const std::string profile = *host_ / "profile.json";
  WriteFile(profile, "{}");
  const std::pair<std::string, std::string> rows[] = {
      {"seccomp=" + profile, "launch: --security-opt seccomp=" + profile + ": is no profile: "},
      {"seccomp=/no/such/file", "launch: --security-opt: /no/such/file: No such file or directory"},
      {"seccomp=", "launch: --security-opt \"seccomp=\" is none of "},
      {"apparmor=x", "launch: --security-opt \"apparmor=x\" is none of "},
  };
  for (const auto& [option, message] : rows) {
    const Result result = host_->Run({"--security-opt", option}, {"true"});
    EXPECT_EQ(result.status, 125) << result;
    EXPECT_THAT(result.err, HasSubstr(message));
    EXPECT_EQ(result.err.find('\n'), result.err.size() - 1) << result;
  }
  EXPECT_THAT(host_->Run({"--cap-add", "NO_SUCH"}, {"true"}).err, HasSubstr("--cap-add \"NO_SUCH\" is no capability"));
}

}  // namespace
}  // namespace acetate::launcher
