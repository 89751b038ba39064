#include "launcher/plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/mount.h>
#include <sched.h>

#include <nlohmann/json.hpp>

#include "launcher/capabilities.h"

namespace acetate::launcher {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

PlanInputs Inputs() {
  PlanInputs inputs;
  inputs.id = std::string(64, 'a');
  inputs.image = {"/images/x", {"/images/x/to:p", "/images/x/base"}};
  inputs.identity.uids = {{0, 1000, 1}};
  inputs.identity.gids = {{0, 1000, 1}};
  inputs.store_root = "/store";
  inputs.runtime_root = "/run/acetate";
  inputs.fusefs = "/bin/fusefs";
  return inputs;
}

Spec Wanted() {
  Spec spec;
  spec.image = "/images/x";
  spec.command = {"sh", "-c", "true"};
  return spec;
}

template <typename Action, typename Variant>
std::vector<Action> All(const std::vector<Step<Variant>>& steps) {
  std::vector<Action> found;
  for (const Step<Variant>& step : steps) {
    if (const Action* action = std::get_if<Action>(&step.action)) found.push_back(*action);
  }
  return found;
}

template <typename Action>
size_t IndexOf(const Plan& plan) {
  for (size_t i = 0; i < plan.container.size(); ++i) {
    if (std::holds_alternative<Action>(plan.container[i].action)) return i;
  }
  ADD_FAILURE() << "no such step";
  return 0;
}

TEST(PlanTest, TheDaemonGetsItsLayersEscapedAndTopFirst) {
  Plan plan = MakePlan(Wanted(), Inputs());
  std::string id(64, 'a');
  EXPECT_THAT(All<StartDaemon>(plan.helper)[0].words,
              ElementsAre("/bin/fusefs", "-f", "-o",
                          "lowerdir=/images/x/to\\:p:/images/x/base,upperdir=/store/containers/" + id +
                              "/upper,workdir=/store/containers/" + id + "/work",
                          "--confine", "--control=/run/acetate/aaaaaaaaaaaa/fusefs.sock", "--stats_fd=4"));
  EXPECT_EQ(EscapeLayer("a\\b,c:d e"), "a\\\\b\\,c\\:d e");
}

TEST(PlanTest, EveryNamespaceIsNew) {
  Plan plan = MakePlan(Wanted(), Inputs());
  EXPECT_EQ(All<StartInit>(plan.helper)[0].namespaces,
            uint64_t{CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWUTS | CLONE_NEWIPC});
  EXPECT_EQ(All<NewCgroupNamespace>(plan.container).size(), 1u);
}

TEST(PlanTest, TheHostsNetworkIsNotMadeAnew) {
  PlanInputs inputs = Inputs();
  inputs.network.mode = NetworkMode::kHost;
  inputs.network.hosts = "127.0.0.1 localhost\n";
  Plan plan = MakePlan(Wanted(), inputs);
  EXPECT_EQ(All<StartInit>(plan.helper)[0].namespaces & CLONE_NEWNET, 0u);
  EXPECT_EQ(All<BringUpLoopback>(plan.container).size(), 0u);
  EXPECT_EQ(All<ShowHostSys>(plan.container).size(), 1u);
  std::vector<std::string> masked;
  for (const MaskPath& step : All<MaskPath>(plan.container)) masked.push_back(step.path);
  EXPECT_THAT(masked, Contains("/sys/fs/cgroup"));
}

TEST(PlanTest, ANetworksFilesAreWrittenAndShownAndItIsWaitedFor) {
  PlanInputs inputs = Inputs();
  inputs.network.mode = NetworkMode::kPasta;
  inputs.network.program = "/bin/pasta";
  inputs.network.hosts = "127.0.0.1 localhost\n";
  inputs.network.resolv_conf = "nameserver 9.9.9.9\n";
  Spec spec = Wanted();
  spec.network.ports = {{"", 8080, 80, false}};
  spec.volumes = {{"/a", "/etc/hosts", true}};
  Plan plan = MakePlan(spec, inputs);
  EXPECT_EQ(All<WriteEtcFiles>(plan.host).size(), 1u);
  std::vector<std::string> shown;
  for (const ShowEtcFile& step : All<ShowEtcFile>(plan.container)) shown.push_back(step.source);
  EXPECT_THAT(shown, ElementsAre("/run/acetate/aaaaaaaaaaaa/hosts", "/run/acetate/aaaaaaaaaaaa/resolv.conf",
                                 "/run/acetate/aaaaaaaaaaaa/hostname"));
  // A volume covers what launch shows.
  EXPECT_LT(IndexOf<ShowEtcFile>(plan), IndexOf<BindVolume>(plan));
  EXPECT_LT(IndexOf<HandOutNamespaces>(plan), IndexOf<AwaitNetwork>(plan));
  EXPECT_LT(IndexOf<AwaitNetwork>(plan), IndexOf<LimitBoundingSet>(plan));
  EXPECT_THAT(ExplainPlan(plan), HasSubstr("/bin/pasta has connected the network, *:8080->80/tcp"));
  EXPECT_EQ(All<AwaitNetwork>(MakePlan(Wanted(), Inputs()).container).size(), 0u);
}

TEST(PlanTest, OrderInsideIsSafe) {
  Spec spec = Wanted();
  spec.workdir = "/srv";
  PlanInputs inputs = Inputs();
  inputs.cgroup.v1 = {"/sys/fs/cgroup/memory/acetate-aaaaaaaaaaaa"};
  Plan plan = MakePlan(spec, inputs);
  // The namespace's root is the cgroup that PID 1 is in by then.
  EXPECT_LT(IndexOf<JoinCgroups>(plan), IndexOf<NewCgroupNamespace>(plan));
  EXPECT_LT(IndexOf<SwitchRoot>(plan), IndexOf<MountFilesystem>(plan));
  EXPECT_LT(IndexOf<SwitchRoot>(plan), IndexOf<EnterWorkdir>(plan));
  EXPECT_LT(IndexOf<LimitBoundingSet>(plan), IndexOf<BecomeUser>(plan));
  EXPECT_LT(IndexOf<BecomeUser>(plan), IndexOf<LimitCapabilities>(plan));
  // A change of ids or capabilities would clear the request to die with the helper.
  EXPECT_LT(IndexOf<LimitCapabilities>(plan), IndexOf<DieWithHelper>(plan));
  EXPECT_EQ(IndexOf<Execute>(plan), plan.container.size() - 1);
}

TEST(PlanTest, ProcAndSysAreMountedHardened) {
  Plan plan = MakePlan(Wanted(), Inputs());
  std::vector<MountFilesystem> mounts = All<MountFilesystem>(plan.container);
  EXPECT_EQ(mounts[0].target, "/proc");
  EXPECT_EQ(mounts[0].attributes, uint64_t{MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC});
  EXPECT_EQ(mounts[1].target, "/sys");
  EXPECT_NE(mounts[1].attributes & MOUNT_ATTR_RDONLY, 0u);
  std::vector<std::string> masked, read_only;
  for (const MaskPath& step : All<MaskPath>(plan.container)) masked.push_back(step.path);
  for (const MakeReadOnly& step : All<MakeReadOnly>(plan.container)) read_only.push_back(step.path);
  for (const char* path : {"/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"}) {
    EXPECT_THAT(masked, Contains(path));
  }
  for (const char* path : {"/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus", "/proc/fs"}) {
    EXPECT_THAT(read_only, Contains(path));
  }
}

TEST(PlanTest, TheTtyGroupIsUsedWhereItIsMapped) {
  auto pts_options = [](const PlanInputs& inputs) {
    for (const MountFilesystem& mount : All<MountFilesystem>(MakePlan(Wanted(), inputs).container)) {
      if (mount.type == "devpts") return mount.options;
    }
    return decltype(MountFilesystem::options)();
  };
  PlanInputs inputs = Inputs();
  std::pair<std::string, std::string> gid = {"gid", "5"};
  EXPECT_THAT(pts_options(inputs), Not(Contains(gid)));
  inputs.identity.gids.push_back({1, 100000, 65536});
  EXPECT_THAT(pts_options(inputs), Contains(gid));
}

TEST(PlanTest, CapabilitiesAreDockersFourteen) {
  Plan plan = MakePlan(Wanted(), Inputs());
  EXPECT_EQ(All<LimitCapabilities>(plan.container)[0].capabilities, 0xa80425fbu);
  EXPECT_EQ(All<LimitBoundingSet>(plan.container)[0].capabilities, 0xa80425fbu);
}

TEST(PlanTest, EnvironmentHasPathFirstAndTheUsersWordLast) {
  Spec spec = Wanted();
  spec.environment = {"A=1", "PATH=/opt/bin", "HOME=/h"};
  Plan plan = MakePlan(spec, Inputs());
  EXPECT_THAT(plan.environment, ElementsAre("PATH=/opt/bin", "A=1"));
  EXPECT_EQ(plan.search_path, "/opt/bin");
  EXPECT_EQ(plan.home, "/h");
}

TEST(PlanTest, HomeOfAnotherUserIsLookedUpInTheImage) {
  EXPECT_EQ(MakePlan(Wanted(), Inputs()).home, "/root");
  Spec spec = Wanted();
  spec.user = UserSpec{{std::nullopt, "www"}, {}};
  Plan plan = MakePlan(spec, Inputs());
  EXPECT_EQ(plan.home, "");
  EXPECT_TRUE(All<BecomeUser>(plan.container)[0].look_up);
}

TEST(PlanTest, HostnameIsTheShortIdUnlessGiven) {
  EXPECT_EQ(All<SetHostname>(MakePlan(Wanted(), Inputs()).container)[0].name, std::string(12, 'a'));
  Spec spec = Wanted();
  spec.hostname = "box";
  EXPECT_EQ(All<SetHostname>(MakePlan(spec, Inputs()).container)[0].name, "box");
}

TEST(PlanTest, LimitsAreWrittenAfterTheirCgroupsAreMade) {
  PlanInputs inputs = Inputs();
  inputs.cgroup.unified = "/c/acetate-x";
  inputs.cgroup.enable_in = "/c/cgroup.subtree_control";
  inputs.cgroup.enable = "+memory";
  inputs.cgroup.limits = {{"--memory", {{"/c/acetate-x/memory.max", "1"}}}};
  std::vector<std::string> lines;
  for (const Step<HostAction>& step : MakePlan(Wanted(), inputs).host) lines.push_back(step.what);
  ASSERT_EQ(lines.size(), 7u);
  EXPECT_EQ(lines[4], "write +memory to /c/cgroup.subtree_control");
  EXPECT_EQ(lines[5], "make the cgroup /c/acetate-x");
  EXPECT_EQ(lines[6], "write 1 to /c/acetate-x/memory.max");
}

TEST(PlanTest, ExplainPrintsItAsJson) {
  Spec spec = Wanted();
  spec.command.push_back("not \xff utf-8");
  nlohmann::json json = nlohmann::json::parse(ExplainPlan(MakePlan(spec, Inputs())));
  EXPECT_EQ(json["id"], std::string(64, 'a'));
  EXPECT_EQ(json["image"]["layers_top_first"][1], "/images/x/base");
  EXPECT_EQ(json["uid_map"][0]["outside"], 1000);
  EXPECT_THAT(json["steps"]["container"].dump(), HasSubstr("mount proc on /proc"));
  EXPECT_TRUE(json["kept_afterwards"]);
}

TEST(PlanTest, ATerminalIsMadeAfterItsDevptsAndBeforePrivilegesGo) {
  Spec spec = Wanted();
  spec.terminal = true;
  Plan plan = MakePlan(spec, Inputs());
  EXPECT_GT(IndexOf<MakeTerminal>(plan), IndexOf<MountFilesystem>(plan));
  EXPECT_GT(IndexOf<MakeTerminal>(plan), IndexOf<BindDevice>(plan));
  EXPECT_LT(IndexOf<MakeTerminal>(plan), IndexOf<BecomeUser>(plan));
  EXPECT_THAT(plan.environment, Contains("TERM=xterm"));
  EXPECT_EQ(All<OpenLog>(plan.helper).size(), 1u);
  spec.environment = {"TERM=vt100"};
  EXPECT_THAT(MakePlan(spec, Inputs()).environment, Not(Contains("TERM=xterm")));
}

TEST(PlanTest, WithoutASessionThereIsNoLogButASocketAlways) {
  Plan plan = MakePlan(Wanted(), Inputs());
  EXPECT_EQ(All<OpenLog>(plan.helper).size(), 0u);
  EXPECT_EQ(All<Listen>(plan.helper).size(), 1u);
  EXPECT_EQ(All<MakeTerminal>(plan.container).size(), 0u);
}

TEST(PlanTest, InitStaysBehindAsTheLastStepBeforeTheCommand) {
  Spec spec = Wanted();
  spec.init = true;
  Plan plan = MakePlan(spec, Inputs());
  EXPECT_EQ(IndexOf<StayAsInit>(plan) + 2, plan.container.size());
}

TEST(PlanTest, AContainerThatExistsIsNotMadeAgain) {
  Spec spec = Wanted();
  spec.name = "web";
  PlanInputs inputs = Inputs();
  inputs.exists = true;
  Plan plan = MakePlan(spec, inputs);
  EXPECT_EQ(All<MakeContainer>(plan.host).size() + All<ClaimName>(plan.host).size(), 0u);
  EXPECT_EQ(All<WriteRecord>(plan.host).size(), 1u);
}

TEST(PlanTest, AFurtherCommandLosesTheSamePrivilegesAfterItHasJoined) {
  Plan plan = MakeExecPlan(Wanted(), Inputs().identity, true, {}, {{{}}});
  EXPECT_EQ(IndexOf<JoinCgroups>(plan), 0u);
  EXPECT_EQ(IndexOf<JoinNamespaces>(plan), 1u);
  EXPECT_EQ(All<LimitBoundingSet>(plan.container)[0].capabilities, kDefaultCapabilities);
  EXPECT_EQ(All<LimitCapabilities>(plan.container)[0].capabilities, kDefaultCapabilities);
  EXPECT_EQ(All<ForbidNewPrivileges>(plan.container).size(), 1u);
  EXPECT_EQ(IndexOf<FilterSystemCalls>(plan) + 2, plan.container.size());
  EXPECT_EQ(IndexOf<Execute>(plan) + 1, plan.container.size());
}

TEST(PlanTest, CapabilitiesAreThoseThatWereAskedFor) {
  Spec spec = Wanted();
  spec.cap_drop = kAllCapabilities;
  spec.cap_add = uint64_t{1} << CAP_KILL;
  Plan plan = MakePlan(spec, Inputs());
  EXPECT_EQ(All<LimitBoundingSet>(plan.container)[0].capabilities, uint64_t{1} << CAP_KILL);
  EXPECT_EQ(All<LimitCapabilities>(plan.container)[0].capabilities, uint64_t{1} << CAP_KILL);
}

TEST(PlanTest, OwnInitIsNotFiltered) {
  Spec spec = Wanted();
  spec.init = true;
  PlanInputs inputs = Inputs();
  inputs.seccomp = {{{}}};
  Plan plan = MakePlan(spec, inputs);
  EXPECT_EQ(IndexOf<StayAsInit>(plan) + 1, IndexOf<FilterSystemCalls>(plan));
  EXPECT_EQ(IndexOf<FilterSystemCalls>(plan) + 2, plan.container.size());
}

TEST(PlanTest, OwnIdsAreEnteredFirstAndTheDaemonShiftsOwners) {
  PlanInputs inputs = Inputs();
  inputs.identity.method = Identity::Method::kSubordinate;
  inputs.identity.uids = inputs.identity.gids = {{0, 1000, 1}, {1, 100000, 10}};
  inputs.identity.inner_uids = inputs.identity.inner_gids = {{0, 3, 5}};
  inputs.identity.slice = IdSlice{2, 5};
  const Plan plan = MakePlan(Wanted(), inputs);
  EXPECT_NE(All<StartInit>(plan.helper)[0].namespaces & CLONE_NEWUSER, 0u);
  EXPECT_EQ(IndexOf<EnterOwnIds>(plan), 0u);
  EXPECT_TRUE(All<EnterOwnIds>(plan.container)[0].become_root);
  EXPECT_THAT(All<StartDaemon>(plan.helper)[0].words[3], HasSubstr(",uidmapping=0:3:5,gidmapping=0:3:5"));
  EXPECT_EQ(All<TakeIds>(plan.host).size(), 1u);
  EXPECT_EQ(plan.UidsOnHost()[0].outside, 100002u);
  EXPECT_EQ(All<EnterOwnIds>(MakePlan(Wanted(), Inputs()).container).size(), 0u);
}

TEST(PlanTest, WithTheHostsIdsNothingOpensDevices) {
  PlanInputs inputs = Inputs();
  inputs.identity.method = Identity::Method::kHost;
  Spec spec = Wanted();
  spec.userns.mode = UsernsSpec::Mode::kHost;
  spec.volumes = {{"/a", "/b", false}};
  const Plan plan = MakePlan(spec, inputs);
  EXPECT_EQ(All<MountUnion>(plan.helper)[0].attributes, unsigned{MOUNT_ATTR_NODEV});
  EXPECT_TRUE(All<BindVolume>(plan.container)[0].no_devices);
  EXPECT_EQ(All<MapIds>(plan.helper).size(), 0u);
  EXPECT_EQ(All<LeaveHostsMounts>(plan.helper).size(), 1u);
  EXPECT_EQ(plan.Capabilities(), kDefaultCapabilities & ~(uint64_t{1} << CAP_MKNOD));
  spec.cap_add = uint64_t{1} << CAP_MKNOD;
  EXPECT_EQ(MakePlan(spec, inputs).Capabilities(), kDefaultCapabilities);
}

TEST(PlanTest, IdsAreFakedOnlyWhereTheyAreNotThere) {
  Spec spec = Wanted();
  spec.fake_ids = true;
  Plan plan = MakePlan(spec, Inputs());
  EXPECT_LT(IndexOf<BecomeUser>(plan), IndexOf<FakeOwnIds>(plan));
  EXPECT_LT(IndexOf<FakeOwnIds>(plan), IndexOf<LimitCapabilities>(plan));
  EXPECT_TRUE(All<BecomeUser>(plan.container)[0].fake);
  EXPECT_THAT(All<StartDaemon>(plan.helper)[0].words[3], HasSubstr(",xattr_permissions=2"));
  PlanInputs inputs = Inputs();
  inputs.identity.method = Identity::Method::kMirror;
  plan = MakePlan(spec, inputs);
  EXPECT_EQ(All<FakeOwnIds>(plan.container).size(), 0u);
  EXPECT_FALSE(All<BecomeUser>(plan.container)[0].fake);
}

}  // namespace
}  // namespace acetate::launcher
