#include "launcher/cgroup.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "common/temp_dir.h"

namespace acetate::launcher {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr char kHybridMounts[] =
    "34 30 0:31 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n"
    "38 30 0:35 / /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids\n"
    "31 30 0:28 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct\n"
    "40 30 0:37 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";

TEST(CgroupViewTest, HybridHasEachControllersDirectoryAndTheUnifiedOne) {
  CgroupView view = ParseCgroupView("8:pids:/\n4:memory:/a/b:c\n3:cpu,cpuacct:/x\n1:name=systemd:/s\n0::/u\n",
                                    ParseMountInfo(kHybridMounts));
  EXPECT_EQ(view.v1["pids"], "/sys/fs/cgroup/pids");
  EXPECT_EQ(view.v1["memory"], "/sys/fs/cgroup/memory/a/b:c");
  EXPECT_EQ(view.v1["cpuacct"], "/sys/fs/cgroup/cpu,cpuacct/x");
  EXPECT_EQ(view.unified, "/sys/fs/cgroup/unified/u");
  EXPECT_EQ(view.unified_mount, "/sys/fs/cgroup/unified");
}

TEST(CgroupViewTest, AMountOfASubtreeIsTakenOff) {
  CgroupView view =
      ParseCgroupView("0::/docker/abc/inner\n",
                      ParseMountInfo("40 30 0:37 /docker/abc /sys/fs/cgroup rw - cgroup2 cgroup rw,nsdelegate\n"));
  EXPECT_EQ(view.unified, "/sys/fs/cgroup/inner");
}

TEST(CgroupViewTest, ACgroupOutsideOfTheMountCannotBeReached) {
  auto mounts = ParseMountInfo("40 30 0:37 /docker/abc /sys/fs/cgroup rw - cgroup2 cgroup rw\n");
  EXPECT_EQ(ParseCgroupView("0::/docker/abcd\n", mounts).unified, "");
  EXPECT_EQ(ParseCgroupView("0::/../x\n", ParseMountInfo("1 1 0:1 / /c rw - cgroup2 c rw\n")).unified, "");
  EXPECT_EQ(ParseCgroupView("garbage\n0::/\n", {}).unified, "");
}

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
  return view;
}

TEST(CgroupPlanTest, ADelegatedParentThatPassesTheControllersOnIsUsed) {
  TempDir dir;
  MakeUnified(dir.path(), "cpu memory pids\n", "cpu memory pids\n", "");
  MakeUnified(dir / "app", "memory pids\n", "memory pids\n", "");
  MakeUnified(dir / "app/term", "memory pids\n", "\n", "1\n2\n");
  CgroupPlan plan = *PlanCgroups(UnifiedAt(dir, "/app/term"), "0123", 64 << 20, 10);
  EXPECT_EQ(plan.unified, dir / "app/acetate-0123");
  EXPECT_THAT(plan.v1, IsEmpty());
  EXPECT_EQ(plan.enable_in, "");
  ASSERT_EQ(plan.limits.size(), 3u);
  EXPECT_EQ(plan.limits[0].file, dir / "app/acetate-0123/memory.max");
  EXPECT_EQ(plan.limits[0].value, "67108864");
  EXPECT_TRUE(plan.limits[1].optional);
  EXPECT_EQ(plan.limits[2].file, dir / "app/acetate-0123/pids.max");
  EXPECT_EQ(plan.oom_events, dir / "app/acetate-0123/memory.events");
}

TEST(CgroupPlanTest, ControllersAreSwitchedOnWhereNoProcessForbidsIt) {
  TempDir dir;
  MakeUnified(dir.path(), "memory pids\n", "\n", "");
  MakeUnified(dir / "own", "memory pids\n", "\n", "1\n");
  CgroupPlan plan = *PlanCgroups(UnifiedAt(dir, "/own"), "0123", 0, 10);
  EXPECT_EQ(plan.unified, dir / "acetate-0123");
  EXPECT_EQ(plan.enable_in, dir / "cgroup.subtree_control");
  EXPECT_EQ(plan.enable, "+pids");
}

TEST(CgroupPlanTest, WithoutLimitsTheOwnCgroupIsParent) {
  TempDir dir;
  MakeUnified(dir / "own", "\n", "\n", "1\n");
  CgroupPlan plan = *PlanCgroups(UnifiedAt(dir, "/own"), "0123", 0, 0);
  EXPECT_EQ(plan.unified, dir / "own/acetate-0123");
  EXPECT_THAT(plan.limits, IsEmpty());
  EXPECT_EQ(plan.oom_events, "");
}

TEST(CgroupPlanTest, NothingWritableIsAnErrorOnlyWhenLimitsAreAsked) {
  CgroupView view;
  view.unified_mount = "/no/such";
  view.unified = "/no/such/own";
  EXPECT_THAT(PlanCgroups(view, "0123", 0, 0)->Directories(), IsEmpty());
  std::string message(PlanCgroups(view, "0123", 0, 5).status().message());
  EXPECT_THAT(message, HasSubstr("--pids-limit cannot be enforced"));
  EXPECT_THAT(message, HasSubstr("systemd-run --user --scope"));
  EXPECT_THAT(std::string(PlanCgroups({}, "0123", 8 << 20, 0).status().message()),
              HasSubstr("--memory cannot be enforced: no cgroup hierarchy"));
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
  CgroupPlan plan = *PlanCgroups(view, "0123", 64 << 20, 10);
  EXPECT_THAT(plan.v1, testing::ElementsAre(dir / "memory/own/acetate-0123", dir / "pids/acetate-0123"));
  EXPECT_EQ(plan.unified, dir / "unified/acetate-0123");
  EXPECT_EQ(plan.limits[0].file, dir / "memory/own/acetate-0123/memory.limit_in_bytes");
  EXPECT_EQ(plan.limits[1].value, "134217728");
  EXPECT_EQ(plan.limits[2].file, dir / "pids/acetate-0123/pids.max");
  EXPECT_EQ(plan.oom_events, dir / "memory/own/acetate-0123/memory.oom_control");
}

TEST(CgroupPlanTest, V1ThatIsRootsIsAnErrorThatSaysSo) {
  CgroupView view;
  view.v1 = {{"memory", "/no/such/memory"}};
  EXPECT_THAT(std::string(PlanCgroups(view, "0123", 64 << 20, 0).status().message()), HasSubstr("only root may use"));
}

TEST(CgroupTest, ReadsTheOomCounterOfBothVersions) {
  EXPECT_EQ(ParseOomKills("low 0\nhigh 0\nmax 12\noom 1\noom_kill 3\noom_group_kill 0\n"), 3u);
  EXPECT_EQ(ParseOomKills("oom_kill_disable 0\nunder_oom 0\noom_kill 1\n"), 1u);
  EXPECT_EQ(ParseOomKills(""), 0u);
}

TEST(CgroupTest, RemovingWhatIsGoneIsNoError) { EXPECT_TRUE(RemoveCgroup("/no/such/cgroup").ok()); }

}  // namespace
}  // namespace acetate::launcher
