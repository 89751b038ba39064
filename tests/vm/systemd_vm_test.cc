// Limits where systemd has the cgroups: launch asks it for a scope, as a user whose session is in none that is
// delegated, and as root. systemd, its bus and the user's own are those of this machine, in a virtual one with an older
// kernel. All cases run in one boot; what each does is in guest/cases.sh.
#include <gtest/gtest.h>

#include <filesystem>
#include <stdexcept>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "common/temp_dir.h"
#include "tests/vm/guest.h"

namespace acetate {
namespace {

namespace fs = std::filesystem;

// What systemd runs instead of what a machine is for: the cases, as a user and as root, in services as a session of
// ssh would have them.
constexpr char kPrepare[] =
    "[Unit]\nDefaultDependencies=no\n[Service]\nType=oneshot\nRemainAfterExit=yes\n"
    "ExecStart=/bin/sh /guest/prepare.sh\nStandardOutput=file:/dev/console\nStandardError=file:/dev/console\n";
constexpr char kCases[] =
    "[Unit]\nDefaultDependencies=no\nRequires=prepare.service dbus.socket user@1000.service\n"
    "After=prepare.service dbus.socket user@1000.service\n[Service]\nType=oneshot\n"
    "StandardOutput=file:/dev/console\nStandardError=file:/dev/console\nEnvironment=PATH=/bin\n";
// Without the modules of PAM, which the session's name would be for.
constexpr char kWithoutPam[] = "[Service]\nPAMName=\nEnvironment=XDG_RUNTIME_DIR=/run/user/%i\n";

// The files of a directory of units, without what enables them, and links between them.
void AddUnits(const std::string& directory, Initramfs* root) {
  for (const auto& entry : fs::directory_iterator(directory)) {
    const std::string path = entry.path();
    if (entry.is_symlink() && !absl::StartsWith(fs::read_symlink(entry.path()).string(), "/")) {
      root->AddLink(path, fs::read_symlink(entry.path()));
    } else if (entry.is_regular_file()) {
      root->AddFile(path, ReadFile(path));
    }
  }
}

std::string SystemdRoot(const MachineKernel& kernel) {
  Initramfs root = GuestRoot(kernel);
  // Absent ones are of other versions of systemd.
  for (const char* name : {"systemd", "systemd-executor", "systemd-user-runtime-dir"}) {
    const std::string path = absl::StrCat("/usr/lib/systemd/", name);
    if (fs::exists(path)) root.AddProgram(path, path);
  }
  for (const char* name : {"dbus-daemon", "systemctl", "systemd-run"}) {
    const std::string path = absl::StrCat("/usr/bin/", name);
    if (!fs::exists(path)) throw std::runtime_error(absl::StrCat("there is no ", path, ": run tests/setup.sh"));
    root.AddProgram(path, path);
    root.AddLink(absl::StrCat("/bin/", name), path);
  }
  for (const char* name : {"system", "user"}) AddUnits(absl::StrCat("/usr/lib/systemd/", name), &root);
  for (const char* name : {"system.conf", "session.conf", "system.d/org.freedesktop.systemd1.conf"}) {
    root.AddCopy(absl::StrCat("/usr/share/dbus-1/", name), absl::StrCat("/usr/share/dbus-1/", name));
  }
  root.AddLink("/usr/lib/systemd/user/sockets.target.wants/dbus.socket", "../dbus.socket");
  root.AddFile("/etc/systemd/system/user@.service.d/pam.conf", kWithoutPam);
  root.AddFile("/etc/systemd/system/prepare.service", kPrepare);
  root.AddFile("/etc/systemd/system/cases.service",
               absl::StrCat(kCases,
                            "Environment=HOME=/data/home/1000 XDG_RUNTIME_DIR=/run/user/1000\nUser=user\n"
                            "WorkingDirectory=/data/home/1000\nExecStart=/bin/sh /guest/cases.sh user scope\n"));
  root.AddFile("/etc/systemd/system/root-cases.service",
               absl::StrCat(kCases,
                            "Environment=HOME=/data/home/0\nWorkingDirectory=/data/home/0\n"
                            "ExecStart=/bin/sh /guest/cases.sh root root_scope\n"
                            "ExecStartPost=/bin/sh -c 'echo guest done with all'\nExecStopPost=/bin/reboot -f\n"
                            "[Unit]\nWants=cases.service\nAfter=cases.service\n"));
  root.AddFile("/etc/machine-id", "0123456789abcdef0123456789abcdef\n");
  root.AddFile("/guest/systemd", "");
  return root.Finish();
}

const Guest& TheGuest() {
  static const auto* const guest = new Guest(SystemdRoot);
  return *guest;
}

class MachineTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!TheGuest().missing().empty()) GTEST_SKIP() << TheGuest().missing();
  }
};

class SystemdVmTest : public MachineTest, public ::testing::WithParamInterface<const char*> {};

TEST_P(SystemdVmTest, Case) { EXPECT_EQ(TheGuest().Case(GetParam()), "ok"); }

TEST_F(MachineTest, ItRanToItsEnd) { EXPECT_EQ(TheGuest().Trouble(), ""); }

INSTANTIATE_TEST_SUITE_P(Scopes, SystemdVmTest,
                         ::testing::Values("user own_scope", "user memory_in_scope", "user not_delegated",
                                           "user delegated_scope", "root own_scope", "root memory_in_scope"),
                         [](const auto& info) {
                           return absl::StrReplaceAll(info.param, {{" ", "_"}});
                         });

}  // namespace
}  // namespace acetate
