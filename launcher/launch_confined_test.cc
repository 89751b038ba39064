// fusefs, as launch runs it, taken over: what it could reach with the rights of who launched, and does not.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "common/syscalls.h"
#include "common/temp_dir.h"
#include "launcher/each_user_test.h"
#include "launcher/files.h"
#include "launcher/injected_call.h"
#include "launcher/launch_fixture.h"

namespace acetate::launcher {
namespace {

using ::testing::HasSubstr;

namespace fs = std::filesystem;

class ConfinedTest : public EachUserTest {
 protected:
  void SetUp() override {
    if (sys::LandlockVersion() < 2) GTEST_SKIP() << "this kernel has no Landlock of version 2 or later";
    EachUserTest::SetUp();
  }

  // Starts a container; its fusefs.
  pid_t StartFusefs() {
    StartBox();
    for (const auto& entry : fs::directory_iterator("/proc")) {
      // Of others not even the command line may be asked for: it can be on a filesystem that hangs.
      if (ReadFileOrEmpty(entry.path().string() + "/comm") != "fusefs\n") continue;
      const std::string command = ReadFileOrEmpty(entry.path().string() + "/cmdline");
      if (command.rfind(*host_ / "fusefs", 0) == 0) return atoi(entry.path().filename().c_str());
    }
    ADD_FAILURE() << "fusefs does not run";
    return 0;
  }
};

ACETATE_FOR_EACH_USER(ConfinedTest);

TEST_P(ConfinedTest, EachThreadReachesTheLayersAlone) {
  if (!kCanInject) GTEST_SKIP() << "calls are injected on x86-64 only";
  const pid_t fusefs = StartFusefs();
  const std::string container = host_->OnlyContainer();
  // Others of the user's own files, the store and another container among them.
  host_->Write("private", "");
  host_->Write("data/acetate/containers/other/upper/file", "");
  const std::vector<pid_t> threads = ThreadsOf(fusefs);
  ASSERT_GE(threads.size(), 2u);
  for (const pid_t tid : threads) {
    SCOPED_TRACE(ReadFileOrEmpty(absl::StrCat("/proc/", tid, "/comm")));
    EXPECT_EQ(InjectedOpen(tid, *host_ / "image/base/etc/motd", O_RDONLY), 0);
    EXPECT_EQ(InjectedOpen(tid, *host_ / "image/base/etc/motd", O_RDWR), EACCES);
    EXPECT_EQ(InjectedOpen(tid, container + "/upper/new", O_RDWR | O_CREAT), 0);
    for (const std::string& path : {std::string("/etc/passwd"), std::string("/dev/null"), *host_ / "private",
                                    *host_ / "launch", host_->store() + "/containers",
                                    host_->store() + "/containers/other/upper/file", container + "/config.json"}) {
      EXPECT_EQ(InjectedOpen(tid, path, O_RDONLY), EACCES) << path;
    }
  }
  // It serves as before.
  EXPECT_EQ(host_->Launch({"exec", "box", "cat", "/etc/motd"}).out, "top\n");
}

TEST_P(ConfinedTest, ItServesAsEver) {
  // Copies, renames from directory to directory, links, whiteouts, opaque directories, truncation and what was removed.
  const Result result = host_->Shell(
      {},
      "set -e; echo more >>/etc/passwd; mkdir -p /a/b; busybox mv /etc/passwd /a/b/moved; busybox ln /a/b/moved "
      "/tmp/linked;"
      "busybox mv /a/b /root/b; rm /etc/hostname; rm -r /etc; mkdir /etc; echo new >/etc/new; : >/root/b/moved;"
      "busybox mkfifo /fifo; busybox chmod 600 /tmp/linked; exec 5<>/gone; rm /gone; echo kept >&5;"
      "stat -c %s /tmp/linked; ls /etc; cat /proc/self/fd/5; busybox cp /bin/busybox /copy; stat -c %s /copy");
  EXPECT_EQ(result.err, "");
  EXPECT_EQ(result.out, absl::StrCat("0\nnew\nkept\n", fs::file_size(*host_ / "image/base/bin/busybox"), "\n"));
}

TEST_P(ConfinedTest, NoBranchIsAddedToIt) {
  StartBox();
  host_->MakeDirectory("more");
  fs::path directory = *fs::directory_iterator(host_->runtime());
  const Result result =
      host_->Exec({*host_ / "fusefs", "branch", absl::StrCat("--control=", (directory / "fusefs.sock").string()), "add",
                   *host_ / "more"});
  EXPECT_EQ(result.status, 1) << result;
  EXPECT_THAT(result.err, HasSubstr("confined to the branches that it was started with"));
}

}  // namespace
}  // namespace acetate::launcher
