// Flags that say in other words what further ones do, and whence, for each kind of user who launches.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

#include "absl/strings/str_cat.h"
#include "launcher/each_user_test.h"

namespace acetate::launcher {
namespace {

using ::testing::HasSubstr;

class LaunchFlagsTest : public EachUserTest {};
ACETATE_FOR_EACH_USER(LaunchFlagsTest);

TEST_P(LaunchFlagsTest, VariablesOfAFile) {
  host_->Write("file", "# of the image\nA=one \"word\"\nB=file\nC=file\n");
  const std::string file = *host_ / "file";
  Result result = host_->Shell({"-e", "B=flag", "--env-file", file}, "echo $A; echo $B; echo $C");
  EXPECT_EQ(result.out, "one \"word\"\nflag\nfile\n") << result;
  StartBox();
  EXPECT_EQ(Exec({"--env-file", file, "-e", "C=flag"}, {"sh", "-c", "echo $A $B $C"}).out, "one \"word\" file flag\n");
  host_->Write("wrong", "A=1\nB C=2\n");
  result = host_->Run({"--env-file", *host_ / "wrong"}, {"true"});
  EXPECT_EQ(result.status, 125);
  EXPECT_THAT(result.err, HasSubstr("has in line 2 a name with a space in it"));
}

TEST_P(LaunchFlagsTest, EntrypointComesBeforeTheCommand) {
  EXPECT_EQ(host_->Run({"--entrypoint", "echo"}, {"a", "b"}).out, "a b\n");
  EXPECT_EQ(host_->Run({"--entrypoint", "hostname", "-h", "box"}, {}).out, "box\n");
}

TEST_P(LaunchFlagsTest, MountsInMoreWords) {
  host_->MakeDirectory("shared");
  host_->Write("shared/a,b", "of the host");
  const std::string bind = absl::StrCat("type=bind,readonly,target=/with:colon,source=", *host_ / "shared");
  Result result = host_->Shell({"--mount", bind, "--mount", "type=tmpfs,target=/t,tmpfs-size=1m,tmpfs-mode=0700"},
                               "cat '/with:colon/a,b'; touch '/with:colon/c' 2>/dev/null || echo ' read-only'; "
                               "grep ' /t ' /proc/self/mountinfo");
  EXPECT_THAT(result.out, HasSubstr("of the host read-only\n")) << result;
  EXPECT_THAT(result.out, HasSubstr("size=1024k,"));
  EXPECT_THAT(result.out, HasSubstr("mode=700"));
  // And of a container that is started again.
  StartBox({"--mount", bind, "--shm-size", "2m"}, {"sleep", "0"});
  EXPECT_EQ(host_->Launch({"wait", "box"}).out, "0\n");
  const auto spec = nlohmann::json::parse(host_->Launch({"inspect", "box"}).out)[0].at("spec");
  EXPECT_EQ(spec.at("shm_bytes"), 2 << 20);
  EXPECT_EQ(host_->Launch({"start", "-a", "box"}).status, 0);
}

TEST_P(LaunchFlagsTest, SizeOfSharedMemory) {
  constexpr char kMount[] = "grep ' /dev/shm ' /proc/self/mountinfo";
  EXPECT_THAT(host_->Shell({}, kMount).out, HasSubstr("size=65536k"));
  EXPECT_THAT(host_->Shell({"--shm-size", "3m"}, kMount).out, HasSubstr("size=3072k"));
  const Result result = host_->Run({"--shm-size", "0"}, {"true"});
  EXPECT_EQ(result.status, 125);
  EXPECT_THAT(result.err, HasSubstr("--shm-size \"0\" is nothing"));
}

TEST_P(LaunchFlagsTest, WhatAProfileKillsIsTold) {
  host_->Write("profile", R"({"defaultAction": "SCMP_ACT_ALLOW",
                              "syscalls": [{"names": ["uname"], "action": "SCMP_ACT_KILL_PROCESS"}]})");
  const Result result = host_->Run({"--security-opt", absl::StrCat("seccomp=", *host_ / "profile")}, {"hostname"});
  EXPECT_EQ(result.status, 128 + 31) << result;
  EXPECT_EQ(result.err, "launch: a system call that the seccomp profile forbids killed the command (SIGSYS)\n");
}

TEST_P(LaunchFlagsTest, WhenceTellsTheLayers) {
  StartBox();
  EXPECT_EQ(Exec({}, {"sh", "-c", "echo new >/etc/made; rm /etc/hostname; mkdir -p -- /-d; echo x >/-d/-f"}).status, 0);
  const std::string upper =
      nlohmann::json::parse(host_->Launch({"inspect", "box"}).out)[0].at("upper").get<std::string>();
  Result result = host_->Launch({"whence", "box", "/etc/made"});
  EXPECT_EQ(result.status, 0) << result;
  EXPECT_THAT(result.out, HasSubstr(upper));
  result = host_->Launch({"whence", "box", "etc/../etc/passwd"});
  EXPECT_THAT(result.out, HasSubstr(host_->image())) << result;
  result = host_->Launch({"whence", "--json", "box", "/-d/-f"});
  EXPECT_TRUE(nlohmann::json::accept(result.out)) << result;
  EXPECT_THAT(result.out, HasSubstr(upper));
  EXPECT_NE(host_->Launch({"whence", "box", "/none"}).status, 0);
  EXPECT_EQ(host_->Launch({"kill", "box"}).status, 0);
  EXPECT_EQ(host_->Launch({"wait", "box"}).status, 0);
  result = host_->Launch({"whence", "box", "/etc/made"});
  EXPECT_EQ(result.status, 125);
  EXPECT_EQ(result.err, "launch: box: is not running: nothing shows its files now\n");
}

}  // namespace
}  // namespace acetate::launcher
