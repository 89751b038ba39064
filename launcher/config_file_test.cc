#include "launcher/config_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "common/temp_dir.h"

namespace acetate::launcher {
namespace {

using ::testing::HasSubstr;

TEST(ConfigFileTest, WhatWasRunComesBackWhole) {
  ContainerConfig config;
  config.id = "abc";
  config.created = "2026-11-25T09:30:00Z";
  config.layers = {"/i/top:layer", "/i/b\xff"};
  Spec& spec = config.spec;
  spec.image = "/i";
  spec.name = "web";
  spec.command = {"sh", "-c", "echo \"\xfe\n\"", ""};
  spec.environment = {"A=1", "B=\\x"};
  spec.workdir = "/srv";
  spec.user = UserSpec{{33, ""}, IdOrName{std::nullopt, "staff"}};
  spec.hostname = "box";
  spec.volumes = {{"/a b", "/c", true}};
  spec.tmpfs = {*ParseTmpfs("/run:size=1m,mode=755,ro,exec"), *ParseTmpfs("/t")};
  spec.ulimits = {*ParseUlimit("nofile=10:unlimited")};
  spec.devices = {*ParseDevice("/dev/a b:/dev/c:r")};
  spec.userns = *ParseUserns("auto:size=7");
  spec.fake_ids = true;
  spec.cap_add = 6;
  spec.cap_drop = 9;
  spec.seccomp = "/p\xff";
  spec.seccomp_profile = "{\n}";
  spec.network.mode = NetworkMode::kSlirp4netns;
  spec.network.ports = {{"127.0.0.1", 8080, 80, false}, {"::1", 53, 54, true}};
  spec.network.hosts = {{"db", "10.0.0.1"}, {"six", "::1"}};
  spec.network.dns = {"9.9.9.9"};
  spec.read_only = true;
  spec.limits.memory_bytes = 1 << 30;
  spec.limits.pids_limit = 7;
  spec.limits.memory_swap = kUnlimitedSwap;
  spec.limits.memory_reservation = 1 << 20;
  spec.limits.cpu_quota_us = 150000;
  spec.limits.cpu_shares = 512;
  spec.limits.cpuset_cpus = "0-1";
  spec.limits.cpuset_mems = "0";
  spec.limits.blkio_weight = 100;
  spec.limits.best_effort = true;
  spec.detach = spec.interactive = spec.terminal = spec.init = true;
  spec.stop_signal = 2;
  spec.stop_timeout = 3;
  spec.log_max_bytes = 4096;

  absl::StatusOr<ContainerConfig> read = ParseConfig(FormatConfig(config));
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->id, config.id);
  EXPECT_EQ(read->created, config.created);
  EXPECT_EQ(read->layers, config.layers);
  EXPECT_EQ(read->spec.command, spec.command);
  EXPECT_EQ(read->spec.environment, spec.environment);
  EXPECT_EQ(read->spec.user->user.id, 33u);
  EXPECT_EQ(read->spec.user->group->name, "staff");
  EXPECT_EQ(read->spec.volumes[0].source, "/a b");
  EXPECT_TRUE(read->spec.volumes[0].read_only);
  EXPECT_EQ(read->spec.ulimits.at(0).soft, 10u);
  EXPECT_TRUE(read->spec.tmpfs.at(0).executable);
  EXPECT_EQ(read->spec.devices.at(0).source, "/dev/a b");
  EXPECT_EQ(read->spec.userns.size, 7u);
  EXPECT_TRUE(read->spec.fake_ids);
  EXPECT_EQ(read->spec.network.ports, spec.network.ports);
  // All else, in one comparison.
  EXPECT_EQ(FormatConfig(*read), FormatConfig(config));
}

TEST(ConfigFileTest, AContainerFromBeforeAChoiceHasTheDefault) {
  ContainerConfig config;
  config.spec.command = {"true"};
  nlohmann::json json = nlohmann::json::parse(FormatConfig(config));
  for (const char* later :
       {"devices", "userns", "fake_ids", "cap_add", "cap_drop", "seccomp", "seccomp_profile", "network", "publish",
        "add_hosts", "dns", "memory_swap", "memory_reservation", "cpu_quota_us", "cpu_shares", "cpuset_cpus",
        "cpuset_mems", "blkio_weight", "best_effort"}) {
    ASSERT_EQ(json.at("spec").erase(later), 1u) << later;
  }
  absl::StatusOr<ContainerConfig> read = ParseConfig(json.dump());
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(FormatConfig(*read), FormatConfig(config));
}

TEST(ConfigFileTest, WhatCannotBeReadIsAnErrorThatNamesTheFile) {
  TempDir dir;
  std::string path = dir / "config.json";
  EXPECT_THAT(ReadConfigFile(path).status().message(), HasSubstr(path + ": No such file"));
  for (const char* text : {"", "{", "[]", "{\"id\":\"x\"}", "{\"id\":7}"}) {
    WriteFile(path, text);
    EXPECT_THAT(ReadConfigFile(path).status().message(), HasSubstr(path + " cannot be understood")) << text;
  }
}

}  // namespace
}  // namespace acetate::launcher
