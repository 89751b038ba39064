// What launch says and leaves when something is wrong: one line on stderr, the right status, and nothing made.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <memory>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "launcher/launch_fixture.h"

namespace acetate::launcher {
namespace {

using ::testing::HasSubstr;

namespace fs = std::filesystem;

class FailureTest : public ::testing::Test {
 protected:
  void SetUp() override {
    try {
      host_ = std::make_unique<LaunchFixture>(Who::kPlain);
    } catch (const std::exception& reason) {
      GTEST_SKIP() << reason.what();
    }
    // A store with a container in it, which has to stay as it is.
    Result result = host_->Shell({"--name", "kept"}, "touch /kept");
    ASSERT_EQ(result.status, 0) << result;
    before_ = LaunchFixture::Describe(host_->store());
  }

  void ExpectFailure(const Result& result, int status, const std::string& text) {
    EXPECT_EQ(result.status, status) << result;
    EXPECT_EQ(result.out, "");
    EXPECT_TRUE(absl::StartsWith(result.err, "launch: ")) << result;
    EXPECT_EQ(result.err.find('\n'), result.err.size() - 1) << "not one line: " << result.err;
    EXPECT_THAT(result.err, HasSubstr(text));
    EXPECT_EQ(LaunchFixture::Describe(host_->store()), before_);
    EXPECT_TRUE(fs::is_empty(host_->runtime()));
  }

  // Runs a script as root of a user namespace of the user's own, where the machine can be made to lack things. $@ is
  // launch with its arguments.
  Result Inside(const std::string& script) {
    return host_->Exec({"unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, "sh", *host_ / "launch",
                        "--image", host_->image(), "true"});
  }

  std::unique_ptr<LaunchFixture> host_;
  std::string before_;
};

TEST_F(FailureTest, OfTheCommandLine) {
  const std::pair<std::vector<std::string>, const char*> rows[] = {
      {{"--bogus"}, "unknown flag --bogus"},
      {{"-x"}, "unknown flag -x"},
      {{"-e", "=x"}, "--env \"=x\" has no name"},
      {{"-v", "/tmp"}, "--volume \"/tmp\" is not HOST:CONTAINER"},
      {{"-v", "/tmp:relative"}, "--volume"},
      {{"-v", "/no/such/source:/mnt"}, "--volume: /no/such/source: No such file"},
      {{"-m", "12q"}, "--memory \"12q\" is not a size"},
      {{"-m", "1k"}, "--memory \"1k\" is less than"},
      {{"--pids-limit", "x"}, "--pids-limit \"x\""},
      {{"-u", "a b"}, "--user \"a b\""},
      {{"-u", "4294967295"}, "--user \"4294967295\""},
      {{"-u", "4000000"}, "outside of the ids you may use"},
      {{"-u", "no-such-user"}, "no user no-such-user"},
      {{"-w", "relative"}, "--workdir \"relative\""},
      {{"-h", "not a name"}, "--hostname"},
      {{"--name", "../x"}, "--name \"../x\""},
      {{"--name", "kept"}, "the name kept is in use by container"},
  };
  for (const auto& [flags, text] : rows) {
    SCOPED_TRACE(text);
    ExpectFailure(host_->Run(flags, {"true"}), 125, text);
  }
  ExpectFailure(host_->Launch({"true"}), 125, "--image is missing");
  ExpectFailure(host_->Launch({"--image", host_->image()}), 125, "no command");
}

TEST_F(FailureTest, OfTheImage) {
  host_->Write("file", "");
  host_->MakeDirectory("closed");
  ASSERT_EQ(chmod((*host_ / "closed").c_str(), 0), 0);
  host_->MakeDirectory("lists/base");
  auto image = [&](const std::string& directory) { return host_->Launch({"--image", directory, "true"}); };
  ExpectFailure(image("/no/such/image"), 125, "image /no/such/image: No such file");
  ExpectFailure(image(*host_ / "file"), 125, "file is not a directory");
  ExpectFailure(image(*host_ / "closed"), 125, "closed cannot be read: Permission denied");
  const std::pair<const char*, const char*> rows[] = {
      {"", "layers.list names no layer"},
      {"base\nmissing\n", "layers.list:2: layer \"missing\" does not exist"},
      {"base\nbase/\n", "layers.list:2: layer \"base/\" is the same directory as that of line 1"},
      {"base\n../closed\n", "layers.list:2: layer \"../closed\" leads out of the image"},
  };
  for (const auto& [list, text] : rows) {
    host_->Write("lists/layers.list", list);
    ExpectFailure(image(*host_ / "lists"), 125, text);
  }
  ExpectFailure(image("/"), 125, "lies inside the image's layer");
}

TEST_F(FailureTest, OfTheCommand) {
  host_->Write("image/base/bin/plain", "echo hi\n", 0644);
  host_->Write("image/base/bin/text", "echo hi\n", 0755);
  host_->Write("image/base/bin/script", "#!/usr/bin/perl -w\n", 0755);
  host_->Write("image/base/bin/dos", "#!/bin/sh\r\necho hi\r\n", 0755);
  auto run = [&](const std::string& command) { return host_->Run({}, {command}); };
  ExpectFailure(run("no-such-command"), 127, "no-such-command: command not found in PATH (/usr/local/sbin:");
  ExpectFailure(run("/no/such/command"), 127, "/no/such/command: command not found");
  ExpectFailure(run("plain"), 126, "/bin/plain cannot be executed: Permission denied");
  ExpectFailure(run("/etc"), 126, "/etc cannot be executed: it is a directory");
  ExpectFailure(run("text"), 126, "/bin/text cannot be executed: it is neither a binary nor a script");
  ExpectFailure(run("script"), 126, "/bin/script cannot be executed: its interpreter /usr/bin/perl is missing");
  ExpectFailure(run("dos"), 126, "carriage return");
  fs::copy_file("/usr/bin/env", *host_ / "image/base/bin/dynamic");
  host_->Own(*host_ / "image/base/bin/dynamic");
  ExpectFailure(run("dynamic"), 126, "its interpreter /lib64/ld-linux-x86-64.so.2 is missing in the image");
}

TEST_F(FailureTest, UserNamespacesForbidden) {
  ExpectFailure(Inside("echo 0 >/proc/sys/user/max_user_namespaces; exec \"$@\""), 125,
                "user namespaces are switched off: sysctl -w user.max_user_namespaces");
}

TEST_F(FailureTest, FuseDeviceMissing) {
  ExpectFailure(Inside("mount -t tmpfs none /dev; exec \"$@\""), 125, "/dev/fuse: No such file or directory; load it");
}

TEST_F(FailureTest, FuseDeviceForbidden) {
  Result result = Inside(
      "touch $XDG_DATA_HOME/node; chmod 0 $XDG_DATA_HOME/node; mount --bind $XDG_DATA_HOME/node /dev/fuse;"
      "exec setpriv --bounding-set=-all --inh-caps=-all \"$@\"");
  ExpectFailure(result, 125, "/dev/fuse: Permission denied; allow it with chmod 0666 /dev/fuse");
}

TEST_F(FailureTest, ProcPartlyCovered) {
  ExpectFailure(Inside("mount -t tmpfs none /proc/tty; exec \"$@\""), 125,
                "mount proc on /proc: Operation not permitted; a container around this one covers parts");
}

TEST_F(FailureTest, NewuidmapMissing) {
  host_->environment()["PATH"] = "/nowhere";
  ExpectFailure(host_->Run({}, {"true"}), 125, "newuidmap is not in your PATH; install the package uidmap");
}

TEST_F(FailureTest, FusefsMissingOrBroken) {
  host_->environment()["ACETATE_FUSEFS"] = "/no/such/program";
  ExpectFailure(host_->Run({}, {"true"}), 125, "ACETATE_FUSEFS names no program: /no/such/program");
  host_->environment()["ACETATE_FUSEFS"] = "/bin/false";
  ExpectFailure(host_->Run({}, {"true"}), 125, "fusefs, which serves the container's root, exited with status 1");
  host_->Write("complains", "#!/bin/sh\necho first >&2; echo the reason >&2; exit 3\n", 0755);
  host_->environment()["ACETATE_FUSEFS"] = *host_ / "complains";
  ExpectFailure(host_->Run({}, {"true"}), 125, "exited with status 3: the reason");
}

TEST_F(FailureTest, AStoreThatOthersCanReach) {
  ASSERT_EQ(chmod(host_->store().c_str(), 0755), 0);
  ExpectFailure(host_->Run({}, {"true"}), 125, "must be a directory of your own with mode 0700");
}

TEST_F(FailureTest, LimitsThatCannotBeEnforced) {
  Result result = host_->Run({"-m", "64m"}, {"true"});
  if (result.status == 0) GTEST_SKIP() << "here this user can limit memory";
  ExpectFailure(result, 125, "--memory cannot be enforced");
  ExpectFailure(host_->Run({"--pids-limit", "5"}, {"true"}), 125, "--pids-limit cannot be enforced");
}

}  // namespace
}  // namespace acetate::launcher
