// Limits, statistics, pause and kill where cgroups of version 2 rule alone: on an older kernel in a virtual machine, as
// root, as a user to whom a part of the tree is delegated, and as one to whom none is. All cases run in one boot; what
// each does is in guest/cases.sh.
#include <gtest/gtest.h>

#include <chrono>
#include <map>
#include <memory>
#include <stdexcept>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/temp_dir.h"
#include "tests/vm/initramfs.h"
#include "tests/vm/machine.h"

namespace acetate {
namespace {

constexpr std::chrono::seconds kLimit{150};
constexpr char kBusybox[] = "/usr/bin/busybox";
constexpr char kApplets[] =
    "[ awk cat chmod chown cp cut date dd echo env expr find grep head id insmod ip kill ln losetup ls mkdir mke2fs "
    "mount "
    "mv printf readlink reboot rm sed seq setsid sh sleep sort stat su switch_root tail test touch tr true truncate "
    "umount "
    "uname wc";

void AddBusybox(const std::string& directory, Initramfs* root) {
  root->AddCopy(directory + "/busybox", kBusybox);
  for (absl::string_view applet : absl::StrSplit(kApplets, ' ')) {
    root->AddLink(absl::StrCat(directory, "/", applet), "busybox");
  }
}

std::string MakeRoot(const MachineKernel& kernel) {
  Initramfs root;
  for (const char* name : {"/new", "/proc", "/sys", "/dev", "/home"}) root.AddDirectory(name);
  AddBusybox("/bin", &root);
  root.AddProgram("/bin/launch", "launcher/launch");
  root.AddProgram("/bin/fusefs", "fusefs/fusefs");
  for (const char* name : {"newuidmap", "newgidmap", "fusermount3"}) {
    root.AddProgram(absl::StrCat("/bin/", name), absl::StrCat("/usr/bin/", name));
  }
  for (const char* name : {"fs/fuse/fuse", "block/bfq", "drivers/block/loop"}) kernel.AddModule(name, &root);
  root.AddFile("/etc/passwd",
               "root:x:0:0::/data/home/0:/bin/sh\nuser:x:1000:1000::/data/home/1000:/bin/sh\n"
               "other:x:1001:1001::/data/home/1001:/bin/sh\n");
  root.AddLink("/etc/mtab", "/proc/self/mounts");
  root.AddFile("/etc/group", "root:x:0:\nuser:x:1000:\nother:x:1001:\n");
  for (const char* name : {"/etc/subuid", "/etc/subgid"}) {
    root.AddFile(name, "user:100000:65536\nother:200000:65536\n");
  }
  AddBusybox("/image/bin", &root);
  for (const char* name : {"/image/dev", "/image/proc", "/image/sys", "/image/tmp"}) root.AddDirectory(name);
  root.AddFile("/image/etc/motd", "welcome\n");
  for (const char* name : {"init.sh", "cases.sh"}) {
    root.AddFile(absl::StrCat("/guest/", name), ReadFile(absl::StrCat("tests/vm/guest/", name)), 0755);
  }
  root.AddLink("/init", "guest/init.sh");
  return root.Finish();
}

struct Boot {
  MachineRun run;
  std::string missing;  // why there was none
};

// One for all cases.
const Boot& TheBoot() {
  static const auto* const boot = [] {
    auto* made = new Boot;
    try {
      MachineKernel kernel;
      made->run = RunMachine(kernel, MakeRoot(kernel), kLimit);
    } catch (const std::exception& reason) {
      made->missing = reason.what();
    }
    return made;
  }();
  return *boot;
}

// What the machine said after these words; nothing when it did not.
std::string After(const std::string& words) {
  for (absl::string_view line : TheBoot().run.lines) {
    if (absl::ConsumePrefix(&line, words)) return std::string(line);
  }
  return "";
}

std::string Console() { return absl::StrJoin(TheBoot().run.lines, "\n"); }

class MachineTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!TheBoot().missing.empty()) GTEST_SKIP() << TheBoot().missing;
  }
};

// "USER NAME", of which there is one line "case USER NAME ..." each.
class LimitsVmTest : public MachineTest, public ::testing::WithParamInterface<const char*> {};

TEST_P(LimitsVmTest, Case) {
  const std::string said = After(absl::StrCat("case ", GetParam(), " "));
  if (said.empty()) FAIL() << "the machine said nothing of it, but:\n" << Console();
  EXPECT_EQ(said, "ok") << absl::StrJoin(absl::StrSplit(said, '|'), "\n");
}

std::string NameOfCase(const ::testing::TestParamInfo<const char*>& info) {
  return absl::StrJoin(absl::StrSplit(info.param, ' '), "_");
}

INSTANTIATE_TEST_SUITE_P(Root, LimitsVmTest,
                         ::testing::Values("root pids", "root memory", "root cpus", "root cpuset", "root shares",
                                           "root io_weight", "root daemon", "root statistics", "root pause"),
                         NameOfCase);
INSTANTIATE_TEST_SUITE_P(Delegated, LimitsVmTest,
                         ::testing::Values("user pids", "user memory", "user cpus", "user cpuset", "user shares",
                                           "user io_weight", "user daemon", "user statistics", "user pause",
                                           "user solo", "user crowd"),
                         NameOfCase);
INSTANTIATE_TEST_SUITE_P(OlderKernel, LimitsVmTest, ::testing::Values("user plain_container", "user plain_union"),
                         NameOfCase);
INSTANTIATE_TEST_SUITE_P(Undelegated, LimitsVmTest,
                         ::testing::Values("other refused", "other best_effort", "other without_limits"), NameOfCase);

TEST_F(MachineTest, ItRanToItsEnd) {
  EXPECT_TRUE(TheBoot().run.ended) << "it was killed after " << kLimit.count() << " s";
  EXPECT_EQ(After("guest lacks"), "");
  EXPECT_EQ(After("guest cannot"), "");
  EXPECT_NE(Console().find("\nguest done\n"), std::string::npos) << Console();
  RecordProperty("milliseconds", static_cast<int>(TheBoot().run.time.count()));
}

}  // namespace
}  // namespace acetate
