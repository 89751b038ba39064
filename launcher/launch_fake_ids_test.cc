// --fake_ids: programs that change their ids and give files away, in containers that have a single id. The last tests
// install a real package in the Debian image that tests/setup.sh makes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <memory>

#include "absl/strings/str_cat.h"
#include "common/temp_dir.h"
#include "launcher/each_user_test.h"
#include "launcher/files.h"

namespace acetate::launcher {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::Not;

class FakeIdsInContainerTest : public EachUserTest {
 protected:
  // launch --fake_ids ... sh -c SCRIPT in a container that stays, with what it prints on both streams.
  Result Fake(const std::string& script, std::vector<std::string> flags = {}) {
    flags.push_back("--fake_ids");
    return host_->Shell(flags, "exec 2>&1; " + script);
  }

  // The owner that the only container's layer records for a path; empty: none.
  std::string Recorded(const std::string& path) const {
    char value[128];
    const std::string file = host_->OnlyContainer() + "/upper" + path;
    const ssize_t size = lgetxattr(file.c_str(), "user.containers.override_stat", value, sizeof(value));
    return size < 0 ? "" : std::string(value, static_cast<size_t>(size));
  }

  bool IsLone() const { return GetParam() == Who::kLone; }
};

ACETATE_FOR_EACH_USER(FakeIdsInContainerTest);

// For everybody alike: where the ids are there, they are the real ones.
TEST_P(FakeIdsInContainerTest, FilesAreGivenAwayAndItIsRecorded) {
  const Result result = Fake(
      "set -e; touch /file /other; mkdir /dir; busybox ln -s file /link; busybox chown 33:34 /file; busybox chown -h "
      "33:34 /link; busybox chown 35:36 /other; busybox chown 33:34 /dir /etc/motd; cat "
      "/etc/motd; cd /dir; touch x; busybox chown 1:2 x ../dir/x; busybox chown 0:0 /dir; echo well");
  EXPECT_EQ(result.out, "top\nwell\n") << result;
  EXPECT_EQ(Recorded("/file"), "33:34:0644:file");
  EXPECT_EQ(Recorded("/other"), "35:36:0644:file");
  EXPECT_EQ(Recorded("/etc/motd"), "33:34:0644:file");
  EXPECT_EQ(Recorded("/dir/x"), "1:2:0644:file");
  EXPECT_EQ(Recorded("/dir"), "0:0:0755:dir");
  // On disk all is the user's.
  struct stat st;
  ASSERT_EQ(stat((host_->OnlyContainer() + "/upper/file").c_str(), &st), 0);
  EXPECT_EQ(st.st_uid, host_->uid());
}

TEST_P(FakeIdsInContainerTest, WithoutItTheKernelRefusesWhatIsNotMapped) {
  if (!IsLone()) GTEST_SKIP() << "has the ids";
  EXPECT_THAT(host_->Shell({"--rm"}, "exec 2>&1; busybox chown 33 /etc/motd").out, HasSubstr("Invalid argument"));
  EXPECT_EQ(host_->Shell({"--rm", "-u", "33:34"}, "true").status, 125);
}

TEST_P(FakeIdsInContainerTest, TheUserThatIsAskedForIsBelievedIn) {
  const Result result = Fake("id -u; id -g; id -G; busybox sh -c 'id -u'; (busybox id -u)", {"-u", "www"});
  EXPECT_EQ(result.out, "33\n34\n34 50 60\n33\n33\n") << result;
}

TEST_P(FakeIdsInContainerTest, ACommandThatIsAddedHasItToo) {
  ASSERT_EQ(host_->Run({"-d", "--name", "box", "--fake_ids"}, {"sleep", "1000"}).status, 0);
  const Result result =
      host_->Launch({"exec", "-u", "www", "box", "sh", "-c", "id -u; touch /tmp/made; busybox chown 33:34 /tmp/made"});
  EXPECT_THAT(result.out, HasSubstr("33\n"));
  const Result root = host_->Launch({"exec", "box", "sh", "-c", "touch /x && busybox chown 7:8 /x && echo given"});
  EXPECT_EQ(root.out, "given\n") << root;
  EXPECT_EQ(Recorded("/x"), "7:8:0644:file");
  EXPECT_EQ(host_->Launch({"rm", "-f", "box"}).status, 0);
}

// What is not on the union has no place for a record.
TEST_P(FakeIdsInContainerTest, ElsewhereItSucceedsAndNothingIsRecorded) {
  if (!IsLone()) GTEST_SKIP() << "has the ids";
  const Result result =
      Fake("busybox chown 33:34 /dev/shm && echo well; busybox chown 33 /no/such; stat -c %u /dev/shm");
  EXPECT_EQ(result.out, "well\nchown: /no/such: No such file or directory\n0\n") << result;
}

// The links of an image lead nowhere but into the container, also for the process that answers.
TEST_P(FakeIdsInContainerTest, PathsAreResolvedWithinTheCallersRoot) {
  const std::string outside = *host_ / "outside";
  host_->Write("outside", "");
  fs::create_symlink(outside, host_->image() + "/base/out");
  fs::create_symlink("../../../../../../.." + outside, host_->image() + "/base/up");
  const Result result = Fake(
      "busybox chown 33 /out; busybox chown 33 /up; mkdir -p /jail/bin /jail/etc; cp /bin/busybox "
      "/jail/bin/; touch /jail/etc/motd; busybox chroot /jail /bin/busybox chown 5:6 /etc/motd "
      "/../etc/motd && echo inside");
  EXPECT_EQ(result.out, "chown: /out: No such file or directory\nchown: /up: No such file or directory\ninside\n")
      << result;
  EXPECT_EQ(Recorded("/jail/etc/motd"), "5:6:0644:file");
  EXPECT_EQ(Recorded("/etc/motd"), "");
  struct stat st;
  ASSERT_EQ(stat(outside.c_str(), &st), 0);
  EXPECT_EQ(st.st_uid, host_->uid());
}

TEST_P(FakeIdsInContainerTest, WhatNoUserMayDoInsideFailsAsEver) {
  const Result result = Fake("busybox chown 33 /etc/motd && echo given; touch /x", {"--read-only", "--rm"});
  EXPECT_THAT(result.out, HasSubstr("Read-only file system"));
  EXPECT_THAT(result.out, Not(HasSubstr("given")));
  EXPECT_THAT(Fake("busybox chown 33 /etc/motd && echo given", {"--cap-drop", "CHOWN", "--rm"}).out,
              Not(HasSubstr("given")));
}

TEST_P(FakeIdsInContainerTest, TheAnswersEndWithTheContainer) {
  ASSERT_EQ(host_->Run({"-d", "--name", "box", "--fake_ids"}, {"sleep", "1000"}).status, 0);
  EXPECT_EQ(host_->Launch({"exec", "box", "id", "-u"}).out, "0\n");
  EXPECT_EQ(host_->Launch({"rm", "-f", "box"}).status, 0);
  EXPECT_TRUE(fs::is_empty(host_->runtime()));
  for (const auto& entry : fs::directory_iterator("/proc")) {
    std::error_code ignored;
    const std::string program = fs::read_symlink(entry.path() / "exe", ignored).string();
    EXPECT_THAT(program, Not(HasSubstr(host_->path()))) << entry.path();
  }
}

TEST_P(FakeIdsInContainerTest, ItExcludesWhatMakesNoSense) {
  for (const char* mode : {"keep-id", "auto"}) {
    const Result result = host_->Run({"--fake_ids", "--userns", mode}, {"true"});
    EXPECT_EQ(result.status, 125) << result;
    EXPECT_THAT(result.err, HasSubstr(GetParam() == Who::kPlain || mode[0] == 'k' ? "exclude each other" : "--"));
  }
  EXPECT_THAT(host_->Run({"--fake_ids", "--ulimit", "locks=1"}, {"true"}).err,
              HasSubstr("launch: --ulimit locks and --fake_ids exclude each other"));
}

// ---- Debian, as a user with a single id

class DebianTest : public ::testing::Test {
 protected:
  // One for all: the image is copied, since it is to be the user's.
  static void SetUpTestSuite() {
    try {
      host_ = std::make_unique<LaunchFixture>(Who::kLone);
    } catch (const std::exception& reason) {
      missing_ = reason.what();
      return;
    }
    const char* images = getenv("ACETATE_IMAGES");
    const std::string debian = absl::StrCat(images != nullptr ? images : "", "/quickstart/debian");
    if (!fs::exists(debian)) {
      missing_ = "there is no Debian image: run tests/setup.sh";
      return;
    }
    ASSERT_EQ(Shell(absl::StrCat("cp -a ", debian, " ", image(), " && chown -hR ", host_->uid(), ":", host_->uid(), " ",
                                 image())),
              0);
    MakePackage();
  }
  static void TearDownTestSuite() { host_.reset(); }

  void SetUp() override {
    if (!missing_.empty()) GTEST_SKIP() << missing_;
  }

  static std::string image() { return *host_ / "debian"; }
  static int Shell(const std::string& script) { return system(script.c_str()); }

  // A package whose files are a user's that its script makes, and who runs commands of it.
  static void MakePackage() {
    host_->Write("package/DEBIAN/control",
                 "Package: acetate-service\nVersion: 1.0\nArchitecture: all\nDepends: adduser\n"
                 "Maintainer: Nobody <nobody@example.org>\nDescription: a service with a user of its own\n");
    host_->Write("package/DEBIAN/postinst",
                 "#!/bin/sh\nset -e\n"
                 "adduser --system --group --home /var/lib/service service\n"
                 "chown -R service:service /var/lib/service\n"
                 "chown root /usr/share/service/secret\n"
                 "chgrp service /usr/share/service/secret\n"
                 "chmod 2750 /usr/share/service/secret\n"
                 "touch /var/lib/service/both && chown service /var/lib/service/both && chgrp root "
                 "/var/lib/service/both\n"
                 "runuser -u service -- sh -c 'echo runuser $(id -un) $(id -gn) > /var/lib/service/log'\n"
                 "su -s /bin/sh service -c 'echo su $(id -un) >> /var/lib/service/log'\n"
                 "setpriv --reuid service --regid service --init-groups sh -c "
                 "'echo setpriv $(id -un) >> /var/lib/service/log'\n"
                 "start-stop-daemon --start --pidfile /run/service.pid --chuid service --startas /bin/sh -- -c "
                 "'echo daemon $(id -un) >> /var/lib/service/log'\n",
                 0755);
    host_->Write("package/usr/share/service/secret", "secret\n");
    host_->Write("package/var/lib/service/data", "");
    ASSERT_EQ(Shell(absl::StrCat("dpkg-deb --root-owner-group --build ", *host_ / "package", " ",
                                 *host_ / "service.deb", " >/dev/null && chmod 644 ", *host_ / "service.deb")),
              0);
  }

  Result Debian(const std::vector<std::string>& flags, const std::string& script) {
    std::vector<std::string> words = {
        "--image", image(), "-e", "DEBIAN_FRONTEND=noninteractive", "-v", *host_ / "service.deb:/tmp/service.deb:ro"};
    words.insert(words.end(), flags.begin(), flags.end());
    words.insert(words.end(), {"--", "sh", "-c", "exec 2>&1; " + script});
    return host_->Launch(words);
  }

  std::string Recorded(const std::string& path) const {
    char value[128];
    const std::string file = host_->OnlyContainer() + "/upper" + path;
    const ssize_t size = lgetxattr(file.c_str(), "user.containers.override_stat", value, sizeof(value));
    return size < 0 ? "" : std::string(value, static_cast<size_t>(size));
  }

  static inline std::unique_ptr<LaunchFixture> host_;
  static inline std::string missing_;
};

TEST_F(DebianTest, APackageWithAUserOfItsOwnIsInstalled) {
  const Result result = Debian({"--fake_ids"}, "apt-get install -y /tmp/service.deb");
  EXPECT_EQ(result.status, 0) << result;
  const std::string upper = host_->OnlyContainer() + "/upper";
  EXPECT_EQ(ReadFileOrEmpty(upper + "/var/lib/service/log"),
            "runuser service service\nsu service\nsetpriv service\ndaemon service\n")
      << result;
  // Debian's first free ids of a system user and group.
  EXPECT_EQ(Recorded("/var/lib/service/data"), "100:101:0644:file");
  EXPECT_EQ(Recorded("/var/lib/service/both"), "100:0:0644:file");
  EXPECT_EQ(Recorded("/usr/share/service/secret"), "0:101:2750:file");
  const std::string status = ReadFileOrEmpty(upper + "/var/lib/dpkg/status");
  EXPECT_NE(status.find("Package: acetate-service\nStatus: install ok installed"), std::string::npos);
  // apt's own user, whom it downloads as.
  EXPECT_THAT(Recorded("/var/cache/apt/archives/partial"), HasSubstr("42:0:0700:dir"));
  EXPECT_THAT(result.out, Not(HasSubstr("failed")));
  EXPECT_EQ(host_->Launch({"rm", fs::path(host_->OnlyContainer()).filename().string()}).status, 0);
}

TEST_F(DebianTest, AptDropsRootAndIsConvincedOfIt) {
  const Result result = Debian({"--fake_ids", "--rm"}, "apt-get -o APT::Sandbox::Verify=1 install -y /tmp/service.deb");
  EXPECT_EQ(result.status, 0) << result;
}

TEST_F(DebianTest, WithoutFakedIdsItIsNotInstalled) {
  const Result result = Debian({"--rm"}, "apt-get install -y /tmp/service.deb");
  EXPECT_NE(result.status, 0);
  EXPECT_THAT(result.out, HasSubstr("setgroups"));
}

}  // namespace
}  // namespace acetate::launcher
