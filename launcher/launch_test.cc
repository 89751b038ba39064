// What a command finds in its container, and what it leaves behind, for each kind of user who launches.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/temp_dir.h"
#include "launcher/each_user_test.h"
#include "launcher/launch_fixture.h"

namespace acetate::launcher {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::Not;

namespace fs = std::filesystem;

std::vector<std::string> Lines(const std::string& text) { return absl::StrSplit(text, '\n', absl::SkipEmpty()); }

class LaunchTest : public EachUserTest {
 protected:
  bool HasOneId() const { return GetParam() == Who::kLone; }

  // The output of a script that has to end well.
  std::string Out(const std::vector<std::string>& flags, const std::string& script) {
    Result result = host_->Shell(flags, script);
    EXPECT_EQ(result.status, 0) << result;
    EXPECT_EQ(result.err, "") << result;
    return result.out;
  }
};

ACETATE_FOR_EACH_USER(LaunchTest);

TEST_P(LaunchTest, ACommandRunsAsRootOfItsOwnWorldAndTheImageStaysAsItWas) {
  std::string before = LaunchFixture::Describe(host_->image());
  std::string out = Out({}, "id -u; hostname; echo $$; ls /; touch /new; rm /etc/hostname; cat /etc/motd");
  std::vector<std::string> lines = Lines(out);
  ASSERT_GT(lines.size(), 3u);
  EXPECT_EQ(lines[0], "0");
  EXPECT_THAT(lines[1], MatchesRegex("[0-9a-f]+"));
  EXPECT_EQ(lines[1].size(), 12u);
  EXPECT_EQ(lines[2], "1");
  EXPECT_THAT(out, HasSubstr("bin\ndev\netc\nproc\nroot\nsys\ntmp\ntop\n"));
  EXPECT_EQ(LaunchFixture::Describe(host_->image()), before);

  std::vector<std::string> upper = Lines(LaunchFixture::Describe(host_->OnlyContainer() + "/upper"));
  ASSERT_EQ(upper.size(), 3u) << LaunchFixture::Describe(host_->OnlyContainer() + "/upper");
  EXPECT_THAT(upper[0], HasSubstr("etc mode"));
  EXPECT_THAT(upper[1], AllOf(HasSubstr("etc/hostname"), HasSubstr("device 0:0")));
  EXPECT_THAT(upper[2], HasSubstr("new mode"));
  EXPECT_EQ(fs::path(host_->OnlyContainer()).filename().string().substr(0, 12), lines[1]);
}

TEST_P(LaunchTest, EveryNamespaceIsItsOwn) {
  for (const char* name : {"user", "mnt", "pid", "net", "uts", "ipc", "cgroup"}) {
    std::string link = absl::StrCat("/proc/self/ns/", name);
    std::string out = Out({"--rm"}, absl::StrCat("readlink ", link));
    EXPECT_THAT(out, HasSubstr(absl::StrCat(name, ":[")));
    EXPECT_NE(out, fs::read_symlink(link).string() + "\n") << name;
  }
}

TEST_P(LaunchTest, OnlyTheStandardFdsAreOpen) {
  Result result = host_->Exec({"sh", "-c", "exec 7</etc/passwd 9>/dev/null; exec \"$@\"", "sh", *host_ / "launch",
                               "--rm", "--image", host_->image(), "sh", "-c", "ls /proc/1/fd; true"});
  EXPECT_EQ(result.out, "0\n1\n2\n") << result;
}

TEST_P(LaunchTest, ClosedStandardFdsAreNoWayIn) {
  Result result = host_->Exec({"sh", "-c", "exec 0<&- 2>&-; exec \"$@\"", "sh", *host_ / "launch", "--rm", "--image",
                               host_->image(), "sh", "-c", "readlink /proc/1/fd/0; readlink /proc/1/fd/2; true"});
  EXPECT_EQ(result.out, "/dev/null\n/dev/null\n") << result;
}

TEST_P(LaunchTest, PrivilegesAreDockersFourteenCapabilitiesAndNoNewOnes) {
  EXPECT_EQ(Out({"--rm"}, "grep -E 'Cap|NoNewPrivs' /proc/self/status"),
            "CapInh:\t0000000000000000\n"
            "CapPrm:\t00000000a80425fb\n"
            "CapEff:\t00000000a80425fb\n"
            "CapBnd:\t00000000a80425fb\n"
            "CapAmb:\t0000000000000000\n"
            "NoNewPrivs:\t1\n");
}

TEST_P(LaunchTest, WhatIsMountedIsWhatWasPlanned) {
  std::string mounts = Out({"--rm"}, "cat /proc/self/mountinfo");
  std::vector<std::string> seen;
  for (const std::string& line : Lines(mounts)) {
    std::vector<std::string> fields = absl::StrSplit(line, ' ');
    std::string point = fields[4];
    seen.push_back(point);
    bool read_only = fields[5].substr(0, 2) == "ro";
    bool wants = point == "/sys" || point == "/proc/sys" || point == "/proc/irq" || point == "/proc/bus" ||
                 point == "/proc/fs" || point == "/proc/sysrq-trigger";
    if (wants) {
      EXPECT_TRUE(read_only) << line;
    }
  }
  EXPECT_EQ(seen[0], "/");
  for (const char* point : {"/proc", "/sys", "/dev", "/dev/null", "/dev/pts", "/dev/shm", "/dev/mqueue", "/proc/sys"}) {
    EXPECT_THAT(seen, ::testing::Contains(point));
  }
  // Nothing of the host's tree.
  for (const std::string& point : seen) {
    EXPECT_TRUE(point == "/" || point.substr(0, 5) == "/proc" || point.substr(0, 4) == "/sys" ||
                point.substr(0, 4) == "/dev")
        << point;
  }
}

TEST_P(LaunchTest, TheKernelsSettingsAreOutOfReach) {
  std::string out = Out({"--rm"},
                        "for f in /proc/sysrq-trigger /proc/sys/kernel/panic /sys/power/state; do\n"
                        "  (echo 1 >$f) 2>/dev/null && echo wrote $f\n"
                        "done\n"
                        "cat /proc/kcore /proc/keys /proc/timer_list 2>/dev/null | wc -c; ls /sys/firmware | wc -l");
  EXPECT_EQ(out, "0\n0\n");
}

TEST_P(LaunchTest, DevicesWork) {
  EXPECT_EQ(Out({"--rm"},
                "echo x >/dev/null; dd if=/dev/zero bs=10 count=1 2>/dev/null | wc -c\n"
                "dd if=/dev/urandom bs=10 count=1 2>/dev/null | wc -c\n"
                "echo shared >/dev/shm/x; cat /dev/shm/x; readlink /dev/ptmx; stat -f -c %T /dev/pts; ls /dev/stdin"),
            "10\n10\nshared\npts/ptmx\ndevpts\n/dev/stdin\n");
  EXPECT_THAT(Out({"--rm"}, "ls /dev"), Not(HasSubstr("fuse")));
}

TEST_P(LaunchTest, TheLoopbackInterfaceIsUpAndAlone) {
  std::string out = Out({"--rm"}, "ip -o link");
  EXPECT_EQ(Lines(out).size(), 1u) << out;
  EXPECT_THAT(out, AllOf(HasSubstr(" lo:"), HasSubstr("LOOPBACK,UP")));
}

TEST_P(LaunchTest, TheEnvironmentIsSmallAndTheCallersOwnStaysOut) {
  host_->environment()["SECRET"] = "1";
  host_->environment()["PASSED"] = "on";
  EXPECT_EQ(Out({"--rm", "-e", "B=2 3", "-e", "PASSED", "-e", "UNSET"}, "env | grep -v -E '^(PWD|SHLVL)=' | sort"),
            "B=2 3\nHOME=/root\nPASSED=on\nPATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n");
  EXPECT_EQ(Out({"--rm", "-e", "PATH=/bin", "-e", "HOME=/h"}, "echo $PATH $HOME"), "/bin /h\n");
}

TEST_P(LaunchTest, TheCommandIsLookedUpInTheContainersPath) {
  host_->Write("image/base/opt/tool", "#!/bin/sh\necho found\n", 0755);
  EXPECT_EQ(host_->Run({"--rm", "-e", "PATH=/none:/opt:/bin"}, {"tool"}).out, "found\n");
  EXPECT_EQ(host_->Run({"--rm"}, {"tool"}).status, 127);
}

TEST_P(LaunchTest, TheWorkingDirectoryIsMadeWhenMissing) {
  EXPECT_EQ(Out({"--rm"}, "pwd"), "/\n");
  EXPECT_EQ(Out({"--rm", "-w", "/srv/new/dir"}, "pwd; readlink /proc/self/cwd"), "/srv/new/dir\n/srv/new/dir\n");
  Result result = host_->Shell({"--rm", "-w", "/etc/motd"}, "pwd");
  EXPECT_EQ(result.status, 125);
  EXPECT_EQ(result.err, "launch: enter /etc/motd: Not a directory\n");
}

TEST_P(LaunchTest, TheHostNameCanBeChosen) { EXPECT_EQ(Out({"--rm", "-h", "box.local"}, "hostname"), "box.local\n"); }

TEST_P(LaunchTest, AnotherUserIsTakenByNumberOrName) {
  if (HasOneId()) {
    Result number = host_->Shell({"--rm", "-u", "1000"}, "id");
    EXPECT_EQ(number.status, 125);
    EXPECT_THAT(number.err, HasSubstr("/etc/subuid"));
    Result name = host_->Shell({"--rm", "-u", "www"}, "id");
    EXPECT_EQ(name.status, 125);
    EXPECT_THAT(name.err, HasSubstr("--user: 33:34 is outside of the ids you may use"));
    EXPECT_EQ(Out({"--rm", "-u", "root"}, "id -u; echo $HOME"), "0\n/root\n");
    return;
  }
  EXPECT_EQ(Out({"--rm", "-u", "1000"}, "id -u; id -g; id -G; echo $HOME; pwd"), "1000\n0\n0\n/\n/\n");
  EXPECT_EQ(Out({"--rm", "-u", "1000:1001"}, "id -u; id -g; id -G"), "1000\n1001\n1001\n");
  EXPECT_EQ(Out({"--rm", "-u", "www"}, "id -u; id -g; id -G; echo $HOME"), "33\n34\n34 50 60\n/var/www\n");
  EXPECT_EQ(Out({"--rm", "-u", "33:extra"}, "id -u; id -G"), "33\n50\n");
  EXPECT_EQ(Out({"--rm", "-u", "www"}, "grep -E 'CapPrm|CapEff' /proc/self/status"),
            "CapPrm:\t0000000000000000\nCapEff:\t0000000000000000\n");
}

TEST_P(LaunchTest, AnUnknownUserOrGroupIsAnErrorOfOneLine) {
  Result user = host_->Shell({"--rm", "-u", "nobody-here"}, "id");
  EXPECT_EQ(user.status, 125);
  EXPECT_EQ(user.err, "launch: --user: there is no user nobody-here in the image's /etc/passwd\n");
  Result group = host_->Shell({"--rm", "-u", "root:none"}, "id");
  EXPECT_EQ(group.status, 125);
  EXPECT_EQ(group.err, "launch: --user: there is no group none in the image's /etc/group\n");
}

TEST_P(LaunchTest, VolumesShowTheHostsFiles) {
  host_->Write("shared/file", "from the host\n");
  std::string source = *host_ / "shared";
  EXPECT_EQ(Out({"--rm", "-v", source + ":/mnt/in"}, "cat /mnt/in/file; echo back >/mnt/in/back"), "from the host\n");
  EXPECT_EQ(ReadFile(*host_ / "shared/back"), "back\n");
  EXPECT_EQ(
      Out({"--rm", "-v", source + "/file:/etc/one:ro"}, "cat /etc/one; (echo x >/etc/one) 2>&1 | grep -c Read-only"),
      "from the host\n1\n");
  EXPECT_EQ(ReadFile(*host_ / "shared/file"), "from the host\n");
}

TEST_P(LaunchTest, AVolumesTargetIsFoundInsideOfTheContainer) {
  host_->MakeDirectory("shared");
  host_->MakeDirectory("outside");
  // Links of the image that would lead to the host.
  fs::create_symlink(*host_ / "outside", *host_ / "image/base/out");
  fs::create_symlink("../../../../../..", *host_ / "image/base/up");
  Result result = host_->Shell({"--rm", "-v", *host_ / "shared:/out/x"}, "ls");
  EXPECT_EQ(result.status, 125) << result;
  EXPECT_TRUE(fs::is_empty(*host_ / "outside"));
  EXPECT_EQ(Out({"--rm", "-v", *host_ / "shared:/up/made"}, "stat -c %F /made"), "directory\n");
}

TEST_P(LaunchTest, AReadOnlyRootIsWrittenByNoOneButVolumesAndTmpfsAre) {
  host_->MakeDirectory("shared");
  EXPECT_EQ(Out({"--rm", "--read-only", "-w", "/srv", "--tmpfs", "/run:size=1m,mode=700", "-v", *host_ / "shared:/mnt"},
                "(echo x >/etc/motd) 2>&1 | grep -c Read-only; echo t >/run/x; cat /run/x; echo v >/mnt/x; cat /mnt/x\n"
                "stat -c %a /run; pwd; echo s >/dev/shm/x; cat /dev/shm/x"),
            "1\nt\nv\n700\n/srv\ns\n");
}

TEST_P(LaunchTest, ATmpfsIsEmptyAndNothingInItRunsUnlessThatIsAsked) {
  EXPECT_EQ(Out({"--rm", "--tmpfs", "/etc"}, "ls /etc | wc -l"), "0\n");
  EXPECT_THAT(Out({"--rm", "--tmpfs", "/t"}, "grep ' /t ' /proc/mounts"), HasSubstr("nosuid,nodev,noexec"));
  EXPECT_THAT(Out({"--rm", "--tmpfs", "/t:exec"}, "grep ' /t ' /proc/mounts"), Not(HasSubstr("noexec")));
}

TEST_P(LaunchTest, ResourceLimitsAreSet) {
  EXPECT_EQ(Out({"--rm", "--ulimit", "nofile=77:99", "--ulimit=core=0"}, "ulimit -Sn; ulimit -Hn; ulimit -c"),
            "77\n99\n0\n");
}

TEST_P(LaunchTest, WithRmNothingStays) {
  Out({"--rm", "--name", "a"}, "touch /x; mkdir -p /d/d 2>/dev/null; sleep 0; true");
  std::string store = LaunchFixture::Describe(host_->store());
  EXPECT_EQ(Lines(store).size(), 3u) << store;  // containers, names, running
  EXPECT_TRUE(fs::is_empty(host_->runtime()));
}

TEST_P(LaunchTest, AnotherUsersFilesAreRemovedToo) {
  if (HasOneId()) GTEST_SKIP() << "this user has no other ids";
  Out({"--rm", "-u", "1000"}, "cd /dev/shm; true");
  Out({"--rm"},
      "cd /tmp; busybox mkdir -p a/b; busybox touch a/b/c; busybox chown -R 1000:1000 a; busybox chmod 0 a/b a");
  EXPECT_TRUE(fs::is_empty(host_->store() + "/containers"));
}

TEST_P(LaunchTest, ANameIsTakenAsLongAsItsContainerIsKept) {
  Out({"--name", "web"}, "true");
  std::string before = LaunchFixture::Describe(host_->store());
  Result result = host_->Shell({"--name", "web"}, "true");
  EXPECT_EQ(result.status, 125);
  EXPECT_THAT(result.err, MatchesRegex("launch: the name web is in use by container [0-9a-f]+\n"));
  EXPECT_EQ(LaunchFixture::Describe(host_->store()), before);
  Out({"--name", "once", "--rm"}, "true");
  Out({"--name", "once", "--rm"}, "true");
}

TEST_P(LaunchTest, MountPointsThatTheImageLacksAreMadeInTheUpper) {
  host_->MakeDirectory("bare/bin");
  fs::copy_file("/usr/bin/busybox", *host_ / "bare/bin/busybox");
  host_->Own(*host_ / "bare/bin/busybox");
  Result result = host_->Launch({"--image", *host_ / "bare", "/bin/busybox", "ls", "/"});
  EXPECT_EQ(result.out, "bin\ndev\nproc\nsys\n") << result;
  EXPECT_EQ(Lines(LaunchFixture::Describe(host_->OnlyContainer() + "/upper")).size(), 3u);
  EXPECT_FALSE(fs::exists(*host_ / "bare/proc"));
}

// Root's container has every id, and yet not the right to all extended attributes.
TEST_P(LaunchTest, ADirectoryOfTheImageCanBeRemovedAndMadeAnew) {
  EXPECT_EQ(Out({"--rm"}, "rm -r /etc; mkdir /etc; touch /etc/new; ls /etc"), "new\n");
}

TEST_P(LaunchTest, AMountPointThatIsALinkIsRefused) {
  fs::remove(*host_ / "image/base/proc");
  fs::create_symlink("etc", *host_ / "image/base/proc");
  Result result = host_->Shell({}, "true");
  EXPECT_EQ(result.status, 125);
  EXPECT_EQ(result.err, "launch: /proc is a symbolic link in the image; it must be a directory\n");
  EXPECT_TRUE(fs::is_empty(host_->store() + "/containers"));
}

TEST_P(LaunchTest, APlainDirectoryIsAnImage) {
  Result result = host_->Launch({"--rm", "--image", *host_ / "image/base", "cat", "/etc/motd"});
  EXPECT_EQ(result.out, "base\n") << result;
}

TEST_P(LaunchTest, ExplainPrintsThePlanAndMakesNothing) {
  Result result = host_->Run({"--explain", "-e", "A=1"}, {"sh"});
  EXPECT_EQ(result.status, 0) << result;
  nlohmann::json json = nlohmann::json::parse(result.out);
  EXPECT_EQ(json["image"]["layers_top_first"].size(), 2u);
  EXPECT_EQ(json["command"], nlohmann::json({"sh"}));
  EXPECT_FALSE(fs::exists(host_->store()));
}

TEST_P(LaunchTest, TwoAtOnceDoNotMeet) {
  std::vector<std::string> words = host_->WithProgram({"--image", host_->image(), "--rm", "--", "sh", "-c",
                                                       "echo mine >/etc/motd; sleep 0.3; cat /etc/motd; ls /proc"});
  Running first = host_->Start(words);
  Running second = host_->Start(words);
  Result one = host_->Wait(std::move(first));
  Result two = host_->Wait(std::move(second));
  EXPECT_EQ(one.status, 0) << one;
  EXPECT_EQ(two.status, 0) << two;
  EXPECT_THAT(one.out, HasSubstr("mine\n1\n"));
  EXPECT_TRUE(fs::is_empty(host_->store() + "/containers"));
}

}  // namespace
}  // namespace acetate::launcher
