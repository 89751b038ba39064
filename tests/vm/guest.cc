#include "tests/vm/guest.h"

#include <chrono>
#include <stdexcept>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/temp_dir.h"

namespace acetate {
namespace {

// Well beyond the minute that it takes, for machines that are busy otherwise.
constexpr std::chrono::seconds kLimit{280};
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

}  // namespace

Initramfs GuestRoot(const MachineKernel& kernel) {
  Initramfs root;
  for (const char* name : {"/new", "/proc", "/sys", "/dev", "/home", "/usr/lib", "/usr/lib64"}) root.AddDirectory(name);
  root.AddLink("/lib", "usr/lib");
  root.AddLink("/lib64", "usr/lib64");
  AddBusybox("/bin", &root);
  root.AddProgram("/bin/launch", "launcher/launch");
  root.AddProgram("/bin/fusefs", "fusefs/fusefs");
  for (const char* name : {"newuidmap", "newgidmap", "fusermount3"}) {
    root.AddProgram(absl::StrCat("/bin/", name), absl::StrCat("/usr/bin/", name));
  }
  for (const char* name : {"fs/fuse/fuse", "block/bfq", "drivers/block/loop"}) kernel.AddModule(name, &root);
  root.AddFile("/etc/passwd",
               "root:x:0:0::/data/home/0:/bin/sh\nmessagebus:x:100:100::/:/bin/sh\n"
               "user:x:1000:1000::/data/home/1000:/bin/sh\nother:x:1001:1001::/data/home/1001:/bin/sh\n");
  root.AddLink("/etc/mtab", "/proc/self/mounts");
  root.AddFile("/etc/group", "root:x:0:\nmessagebus:x:100:\nuser:x:1000:\nother:x:1001:\n");
  for (const char* name : {"/etc/subuid", "/etc/subgid"}) {
    root.AddFile(name, "user:100000:65536\nother:200000:65536\n");
  }
  AddBusybox("/image/bin", &root);
  for (const char* name : {"/image/dev", "/image/proc", "/image/sys", "/image/tmp"}) root.AddDirectory(name);
  root.AddFile("/image/etc/motd", "welcome\n");
  for (const char* name : {"init.sh", "prepare.sh", "cases.sh"}) {
    root.AddFile(absl::StrCat("/guest/", name), ReadFile(absl::StrCat("tests/vm/guest/", name)), 0755);
  }
  root.AddLink("/init", "guest/init.sh");
  return root;
}

Guest::Guest(const std::function<std::string(const MachineKernel&)>& make_root) {
  try {
    MachineKernel kernel;
    run_ = RunMachine(kernel, make_root(kernel), kLimit);
  } catch (const std::exception& reason) {
    missing_ = reason.what();
  }
}

std::string Guest::After(const std::string& words) const {
  for (absl::string_view line : run_.lines) {
    if (absl::ConsumePrefix(&line, words)) return std::string(line);
  }
  return "";
}

std::string Guest::Console() const { return absl::StrJoin(run_.lines, "\n"); }

std::string Guest::Case(const std::string& name) const {
  const std::string said = After(absl::StrCat("case ", name, " "));
  if (said.empty()) return absl::StrCat("the machine said nothing of it, but:\n", Console());
  return absl::StrReplaceAll(said, {{"|", "\n"}});
}

std::string Guest::Trouble() const {
  if (!run_.ended) return absl::StrCat("it was killed after ", kLimit.count(), " s:\n", Console());
  if (std::string lacks = After("guest lacks"); !lacks.empty()) return lacks;
  if (After("guest done with").empty()) return absl::StrCat("it ended before its cases did:\n", Console());
  return "";
}

}  // namespace acetate
