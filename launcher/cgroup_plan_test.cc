#include "launcher/cgroup_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/xattr.h>

#include "absl/strings/str_cat.h"
#include "common/temp_dir.h"

namespace acetate::launcher {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr pid_t kSelf = 77;

// A directory that looks like a v2 cgroup.
void MakeUnified(const std::string& path, const std::string& controllers, const std::string& passed_on,
                 const std::string& processes) {
  MakeDirs(path);
  WriteFile(path + "/cgroup.type", "domain\n");
  WriteFile(path + "/cgroup.procs", processes);
  WriteFile(path + "/cgroup.controllers", controllers);
  WriteFile(path + "/cgroup.subtree_control", passed_on);
}

CgroupView UnifiedAt(const TempDir& dir, const std::string& own) {
  CgroupView view;
  view.unified_mount = dir.path();
  view.unified = dir.path() + own;
  view.self = kSelf;
  return view;
}

ResourceLimits Memory(uint64_t bytes) {
  ResourceLimits limits;
  limits.memory_bytes = bytes;
  return limits;
}

ResourceLimits Pids(uint64_t number) {
  ResourceLimits limits;
  limits.pids_limit = number;
  return limits;
}

SystemdQuestions NoSystemd() {
  return {[](absl::string_view) { return absl::UnavailableError("no bus"); }, [](absl::string_view) { return false; }};
}

SystemdQuestions NotToBeAsked() {
  return {[](absl::string_view) {
            ADD_FAILURE() << "systemd was asked for a scope";
            return absl::UnavailableError("");
          },
          [](absl::string_view unit) {
            ADD_FAILURE() << "systemd was asked about " << unit;
            return false;
          }};
}

absl::StatusOr<CgroupPlan> Plan(const CgroupView& view, const ResourceLimits& limits,
                                const SystemdQuestions& systemd = NoSystemd()) {
  return PlanCgroups(view, "0123", limits, systemd);
}

std::string ErrorOf(const CgroupView& view, const ResourceLimits& limits,
                    const SystemdQuestions& systemd = NoSystemd()) {
  return std::string(Plan(view, limits, systemd).status().message());
}

// "VALUE > FILE" of each, relative to the directory.
std::vector<std::string> Written(const CgroupPlan& plan, const TempDir& dir) {
  std::vector<std::string> lines;
  for (const CgroupLimit& limit : plan.limits) {
    for (const CgroupLimit::Setting& setting : limit.settings) {
      lines.push_back(absl::StrCat(setting.value, " > ", setting.file.substr(dir.path().size() + 1)));
    }
  }
  return lines;
}

TEST(CgroupPlanTest, ADelegatedParentThatPassesTheControllersOnIsUsed) {
  TempDir dir;
  MakeUnified(dir.path(), "cpu memory pids\n", "cpu memory pids\n", "");
  MakeUnified(dir / "app", "memory pids\n", "memory pids\n", "");
  MakeUnified(dir / "app/term", "memory pids\n", "\n", "1\n2\n");
  ResourceLimits limits = Memory(64 << 20);
  limits.pids_limit = 10;
  CgroupPlan plan = *Plan(UnifiedAt(dir, "/app/term"), limits);
  EXPECT_EQ(plan.unified, dir / "app/acetate-0123");
  EXPECT_THAT(plan.v1, IsEmpty());
  EXPECT_EQ(plan.enable_in, "");
  EXPECT_EQ(plan.leaf, "");
  EXPECT_THAT(Written(plan, dir),
              ElementsAre("67108864 > app/acetate-0123/memory.max", "67108864 > app/acetate-0123/memory.swap.max",
                          "10 > app/acetate-0123/pids.max"));
  EXPECT_TRUE(plan.limits[1].optional);
  EXPECT_EQ(plan.oom_events, dir / "app/acetate-0123/memory.events");
}

TEST(CgroupPlanTest, EachLimitOfV2IsWrittenInItsWords) {
  TempDir dir;
  MakeUnified(dir.path(), "cpu cpuset io memory pids\n", "cpu cpuset io memory pids\n", "");
  WriteFile(dir / "cpuset.cpus.effective", "0-3\n");
  WriteFile(dir / "cpuset.mems.effective", "0\n");
  ResourceLimits limits = Memory(64 << 20);
  limits.memory_swap = 100 << 20;
  limits.memory_reservation = 32 << 20;
  limits.cpu_quota_us = 150000;
  limits.cpu_shares = 262144;
  limits.cpuset_cpus = "1-2";
  limits.cpuset_mems = "0";
  limits.blkio_weight = 1000;
  CgroupPlan plan = *Plan(UnifiedAt(dir, "/own"), limits);
  EXPECT_THAT(
      Written(plan, dir),
      ElementsAre("67108864 > acetate-0123/memory.max", "37748736 > acetate-0123/memory.swap.max",
                  "33554432 > acetate-0123/memory.low", "150000 100000 > acetate-0123/cpu.max",
                  "10000 > acetate-0123/cpu.weight", "1-2 > acetate-0123/cpuset.cpus", "0 > acetate-0123/cpuset.mems",
                  "1000 > acetate-0123/io.bfq.weight", "10000 > acetate-0123/io.weight"));
  for (const CgroupLimit& limit : plan.limits) EXPECT_FALSE(limit.optional) << limit.flag;
  limits.memory_swap = kUnlimitedSwap;
  EXPECT_EQ(Plan(UnifiedAt(dir, "/own"), limits)->limits[1].settings[0].value, "max");
}

TEST(CgroupPlanTest, EachLimitOfV1IsWrittenInItsWords) {
  TempDir dir;
  CgroupView view;
  for (const char* name : {"memory", "pids", "cpu", "cpuset", "blkio", "freezer"}) {
    MakeDirs(dir / name);
    WriteFile(dir / (std::string(name) + "/cgroup.procs"), "");
    view.v1[name] = dir / name;
  }
  WriteFile(dir / "cpuset/cpuset.cpus", "0-3\n");
  WriteFile(dir / "cpuset/cpuset.mems", "0-1\n");
  ResourceLimits limits = Memory(64 << 20);
  limits.memory_swap = kUnlimitedSwap;
  limits.memory_reservation = 32 << 20;
  limits.pids_limit = 5;
  limits.cpu_quota_us = 50000;
  limits.cpu_shares = 512;
  limits.cpuset_cpus = "3";
  limits.blkio_weight = 10;
  CgroupPlan plan = *Plan(view, limits);
  EXPECT_THAT(Written(plan, dir),
              ElementsAre("67108864 > memory/acetate-0123/memory.limit_in_bytes",
                          "-1 > memory/acetate-0123/memory.memsw.limit_in_bytes",
                          "33554432 > memory/acetate-0123/memory.soft_limit_in_bytes", "5 > pids/acetate-0123/pids.max",
                          "100000 > cpu/acetate-0123/cpu.cfs_period_us", "50000 > cpu/acetate-0123/cpu.cfs_quota_us",
                          "512 > cpu/acetate-0123/cpu.shares", "0-1 > cpuset/acetate-0123/cpuset.mems",
                          "3 > cpuset/acetate-0123/cpuset.cpus", "10 > blkio/acetate-0123/blkio.bfq.weight",
                          "10 > blkio/acetate-0123/blkio.weight"));
  // Without a v2 tree the freezer is what stops and kills it as a whole.
  EXPECT_EQ(plan.Whole(), dir / "freezer/acetate-0123");
  EXPECT_EQ(plan.v1.size(), 6u);
}

TEST(CgroupPlanTest, ControllersAreSwitchedOnWhereNoProcessForbidsIt) {
  TempDir dir;
  MakeUnified(dir.path(), "memory pids\n", "\n", "");
  MakeUnified(dir / "own", "memory pids\n", "\n", "1\n");
  CgroupPlan plan = *Plan(UnifiedAt(dir, "/own"), Pids(10));
  EXPECT_EQ(plan.unified, dir / "acetate-0123");
  EXPECT_EQ(plan.enable_in, dir / "cgroup.subtree_control");
  EXPECT_EQ(plan.enable, "+pids");
}

TEST(CgroupPlanTest, AloneInItsCgroupLaunchStepsAside) {
  TempDir dir;
  MakeUnified(dir / "own", "memory pids\n", "\n", absl::StrCat(kSelf, "\n"));
  CgroupPlan plan = *Plan(UnifiedAt(dir, "/own"), Pids(10));
  EXPECT_EQ(plan.leaf, dir / "own/acetate-0123.launch");
  EXPECT_EQ(plan.unified, dir / "own/acetate-0123");
  EXPECT_EQ(plan.enable_in, dir / "own/cgroup.subtree_control");
}

TEST(CgroupPlanTest, OtherProcessesAreNotMovedAndTheErrorSaysHowTheyCanBe) {
  TempDir dir;
  MakeUnified(dir / "own", "memory pids\n", "\n", absl::StrCat("5\n", kSelf, "\n"));
  WriteFile(dir / "cgroup.controllers", "memory pids\n");
  EXPECT_THAT(ErrorOf(UnifiedAt(dir, "/own"), Pids(10)),
              AllOf(HasSubstr("--pids-limit cannot be enforced: "), HasSubstr("as long as other processes"),
                    HasSubstr(absl::StrCat("mkdir ", dir / "own/others;"))));
}

TEST(CgroupPlanTest, WithoutLimitsTheOwnCgroupIsParentAndSystemdIsNotAsked) {
  TempDir dir;
  MakeUnified(dir / "own", "\n", "\n", "1\n");
  CgroupPlan plan = *Plan(UnifiedAt(dir, "/own"), {}, NotToBeAsked());
  EXPECT_EQ(plan.unified, dir / "own/acetate-0123");
  EXPECT_THAT(plan.limits, IsEmpty());
  EXPECT_EQ(plan.oom_events, "");
}

TEST(CgroupPlanTest, NothingWritableIsAnErrorOnlyWhenLimitsAreAsked) {
  CgroupView view;
  view.unified_mount = "/no/such";
  view.unified = "/no/such/own";
  EXPECT_THAT(Plan(view, {})->Directories(), IsEmpty());
  EXPECT_THAT(ErrorOf(view, Pids(5)),
              AllOf(HasSubstr("--pids-limit cannot be enforced"), HasSubstr("systemd-run --user --scope"),
                    HasSubstr("echo +pids > /no/such/cgroup.subtree_control")));
  view.under_systemd = true;
  EXPECT_THAT(ErrorOf(view, Pids(5)), AllOf(HasSubstr("(no bus); start launch under: systemd-run --user --scope")));
  EXPECT_THAT(ErrorOf({}, Memory(8 << 20)), HasSubstr("--memory cannot be enforced: no cgroup hierarchy"));
}

TEST(CgroupPlanTest, AControllerThatTheKernelLacksIsNamed) {
  TempDir dir;
  MakeUnified(dir.path(), "memory\n", "memory\n", "");
  ResourceLimits limits;
  limits.blkio_weight = 100;
  EXPECT_THAT(ErrorOf(UnifiedAt(dir, "/own"), limits),
              AllOf(HasSubstr("--blkio-weight cannot be enforced: there is no io controller in"),
                    HasSubstr(dir / "cgroup.controllers")));
}

TEST(CgroupPlanTest, BestEffortEnforcesTheRestAndTells) {
  TempDir dir;
  MakeUnified(dir.path(), "memory pids\n", "memory pids\n", "");
  ResourceLimits limits = Memory(64 << 20);
  limits.cpu_quota_us = 10000;
  limits.pids_limit = 9;
  EXPECT_THAT(ErrorOf(UnifiedAt(dir, "/own"), limits), HasSubstr("--cpus cannot be enforced"));
  limits.best_effort = true;
  CgroupPlan plan = *Plan(UnifiedAt(dir, "/own"), limits);
  EXPECT_THAT(plan.unenforced, ElementsAre(HasSubstr("--cpus cannot be enforced")));
  EXPECT_EQ(plan.limits.size(), 3u);
}

TEST(CgroupPlanTest, CpusThatAreNotThereAreAnError) {
  TempDir dir;
  MakeUnified(dir.path(), "cpuset\n", "cpuset\n", "");
  WriteFile(dir / "cpuset.cpus.effective", "0-1\n");
  ResourceLimits limits;
  limits.cpuset_cpus = "1-3";
  EXPECT_THAT(ErrorOf(UnifiedAt(dir, "/own"), limits),
              HasSubstr("--cpuset-cpus cannot be enforced: 2,3 of 1-3 cannot be had here; there is 0-1"));
  CgroupView v1;
  MakeDirs(dir / "v1");
  WriteFile(dir / "v1/cgroup.procs", "");
  WriteFile(dir / "v1/cpuset.cpus", "0\n");
  v1.v1 = {{"cpuset", dir / "v1"}};
  limits.cpuset_cpus = "1";
  EXPECT_THAT(ErrorOf(v1, limits), HasSubstr("1 of 1 cannot be had here; there is 0"));
}

// A user's session as systemd makes it: a terminal's scope that is systemd's own, all of it writable.
class SystemdTest : public ::testing::Test {
 protected:
  SystemdTest() {
    MakeUnified(dir_.path(), "cpu io memory pids\n", "cpu io memory pids\n", "");
    MakeUnified(dir_ / "user@1.service", "memory pids\n", "memory pids\n", "");
    MakeUnified(dir_ / "user@1.service/app.slice", "memory pids\n", "memory pids\n", "");
    MakeUnified(dir_ / kTerm, "memory pids\n", "\n", absl::StrCat(kSelf, "\n"));
    Delegate("user@1.service");
  }

  void Delegate(const std::string& path) {
    ASSERT_EQ(setxattr((dir_ / path).c_str(), "user.delegate", "1", 1, 0), 0) << strerror(errno);
  }

  CgroupView View() {
    CgroupView view = UnifiedAt(dir_, std::string("/") + kTerm);
    view.under_systemd = true;
    return view;
  }

  SystemdQuestions Systemd(const std::string& controllers, const std::string& delegated = "") {
    return {[this, controllers](absl::string_view unit) -> absl::StatusOr<ScopePlace> {
              return ScopePlace{dir_ / absl::StrCat("user@1.service/app.slice/", unit), controllers};
            },
            [delegated](absl::string_view unit) { return unit == delegated; }};
  }

  static constexpr char kTerm[] = "user@1.service/app.slice/term.scope";
  TempDir dir_;
};

TEST_F(SystemdTest, WhatIsSystemdsOwnIsLeftAloneAndAScopeAskedFor) {
  CgroupPlan plan = *Plan(View(), Pids(5), Systemd("memory pids\n"));
  const std::string scope = dir_ / "user@1.service/app.slice/acetate-0123.scope";
  EXPECT_EQ(plan.scope, "acetate-0123.scope");
  EXPECT_EQ(plan.scope_directory, scope);
  EXPECT_EQ(plan.leaf, scope + "/acetate-0123.launch");
  EXPECT_EQ(plan.unified, scope + "/acetate-0123");
  EXPECT_EQ(plan.enable_in, scope + "/cgroup.subtree_control");
  EXPECT_EQ(plan.enable, "+pids");
}

TEST_F(SystemdTest, AUnitThatWasDelegatedIsUsedWithoutAsking) {
  Delegate(kTerm);
  CgroupPlan plan = *Plan(View(), Pids(5), NotToBeAsked());
  EXPECT_EQ(plan.scope, "");
  EXPECT_EQ(plan.unified, dir_ / kTerm + "/acetate-0123");
  EXPECT_EQ(plan.leaf, dir_ / kTerm + "/acetate-0123.launch");
}

// Not every systemd of a user's marks it.
TEST_F(SystemdTest, AUnitThatSystemdSaysItDelegatedIsUsed) {
  CgroupPlan plan = *Plan(View(), Pids(5), Systemd("memory pids\n", "term.scope"));
  EXPECT_EQ(plan.scope, "");
  EXPECT_EQ(plan.unified, dir_ / kTerm + "/acetate-0123");
}

TEST_F(SystemdTest, AControllerThatUsersAreNotGivenIsAnErrorWithTheDropIn) {
  ResourceLimits limits;
  limits.cpu_quota_us = 10000;
  EXPECT_THAT(ErrorOf(View(), limits, Systemd("memory pids\n")),
              AllOf(HasSubstr("--cpus cannot be enforced: systemd does not delegate the cpu controller"),
                    HasSubstr("user@.service.d/delegate.conf"), HasSubstr("Delegate=cpu cpuset io memory pids")));
}

TEST_F(SystemdTest, WhereItCannotBeAskedItsOwnPlacesAreBetterThanNone) {
  WriteFile(dir_ / kTerm + "/cgroup.procs", absl::StrCat("5\n", kSelf, "\n"));
  CgroupPlan plan = *Plan(View(), Pids(5));
  EXPECT_EQ(plan.scope, "");
  EXPECT_EQ(plan.unified, dir_ / "user@1.service/app.slice/acetate-0123");
}

TEST(CgroupPlanTest, OnHybridTheLimitsAreOnV1AndTheKillOnV2) {
  TempDir dir;
  for (const char* name : {"memory/own", "pids"}) {
    MakeDirs(dir / name);
    WriteFile(dir / (std::string(name) + "/cgroup.procs"), "");
  }
  MakeUnified(dir / "unified", "\n", "\n", "1\n");
  CgroupView view = UnifiedAt(dir, "/unified");
  view.v1 = {{"memory", dir / "memory/own"}, {"pids", dir / "pids"}};
  ResourceLimits limits = Memory(64 << 20);
  limits.pids_limit = 10;
  CgroupPlan plan = *Plan(view, limits);
  EXPECT_THAT(plan.v1, ElementsAre(dir / "memory/own/acetate-0123", dir / "pids/acetate-0123"));
  EXPECT_EQ(plan.unified, dir / "unified/acetate-0123");
  EXPECT_EQ(plan.Whole(), plan.unified);
  EXPECT_THAT(Written(plan, dir), ElementsAre("67108864 > memory/own/acetate-0123/memory.limit_in_bytes",
                                              "134217728 > memory/own/acetate-0123/memory.memsw.limit_in_bytes",
                                              "10 > pids/acetate-0123/pids.max"));
  EXPECT_EQ(plan.oom_events, dir / "memory/own/acetate-0123/memory.oom_control");
}

TEST(CgroupPlanTest, ControllersThatShareAHierarchyShareADirectory) {
  TempDir dir;
  MakeDirs(dir / "both");
  WriteFile(dir / "both/cgroup.procs", "");
  CgroupView view;
  view.v1 = {{"memory", dir / "both"}, {"pids", dir / "both"}};
  ResourceLimits limits = Memory(64 << 20);
  limits.pids_limit = 10;
  EXPECT_THAT(Plan(view, limits)->v1, ElementsAre(dir / "both/acetate-0123"));
}

TEST(CgroupPlanTest, V1ThatIsRootsIsAnErrorThatSaysSo) {
  CgroupView view;
  view.v1 = {{"memory", "/no/such/memory"}};
  EXPECT_THAT(ErrorOf(view, Memory(64 << 20)), HasSubstr("only root may use"));
}

TEST(CgroupPlanTest, AFileThatTheKernelLacksIsNamedWithTheCure) {
  EXPECT_EQ(LacksFile({"--blkio-weight", {{"/c/io.bfq.weight", "1"}, {"/c/io.weight", "1"}}}),
            "--blkio-weight cannot be enforced: this kernel's cgroups have no io.bfq.weight and no io.weight; as root: "
            "modprobe bfq");
}

}  // namespace
}  // namespace acetate::launcher
