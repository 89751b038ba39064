// launch itself as what a container attacks: the program's file, by way of processes that execute it inside, and the
// memory of the process that stays PID 1.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>

#include "common/temp_dir.h"
#include "launcher/attack_test.h"
#include "launcher/files.h"

namespace acetate::launcher {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

namespace fs = std::filesystem;

class OwnProgramTest : public AttackTest {
 protected:
  void SetUp() override {
    AttackTest::SetUp();
    // The worst case: whoever launches may write the program.
    if (host_ != nullptr) host_->Own(*host_ / "launch");
  }

  unsigned ModeOfProgram() const {
    struct stat st;
    return stat((*host_ / "launch").c_str(), &st) == 0 ? st.st_mode & 07777 : 0;
  }
};

ACETATE_FOR_EACH_USER(OwnProgramTest);

// The trick of CVE-2019-5736: what is to be executed in the container leads back to the launcher's own file, which a
// process beside it then takes hold of.
TEST_P(OwnProgramTest, CannotBeTakenHoldOfByAnImageThatHasItExecuted) {
  fs::create_symlink("/proc/self/exe", *host_ / "image/base/bin/link");
  host_->Write("image/base/bin/script", "#!/proc/self/exe run\n", 0755);
  const unsigned mode = ModeOfProgram();
  const size_t size = fs::file_size(*host_ / "launch");
  StartBox({}, {"attacker", "catch-programs"});
  for (int i = 0; i < 5; ++i) {
    for (const char* command : {"link", "/bin/link", "script", "/proc/self/exe"})
      Exec({}, {command, "--image", "/tmp"});
  }
  // The last of them has ended: who waits to write has its time.
  usleep(300000);
  Exec({}, {"touch", "/tmp/enough"});  // which may be killed by the end that it brings about
  EXPECT_EQ(host_->Launch({"wait", "box"}).out, "0\n");
  const std::string log = host_->Launch({"logs", "box"}).out;
  EXPECT_THAT(log, HasSubstr("caught ")) << "the attack saw nothing, so it proves nothing";
  EXPECT_THAT(log, Not(HasSubstr("write: done"))) << log;
  EXPECT_EQ(ModeOfProgram(), mode);
  EXPECT_EQ(fs::file_size(*host_ / "launch"), size);
}

TEST_P(OwnProgramTest, IsNotTakenForSafeOnAWord) {
  host_->environment()["ACETATE_LAUNCH_PROGRAM"] = *host_ / "launch";
  const Result result = host_->Run({}, {"true"});
  EXPECT_EQ(result.status, 125);
  EXPECT_EQ(result.err, "launch: ACETATE_LAUNCH_PROGRAM is set, which launch does for itself; unset it\n");
}

TEST_P(OwnProgramTest, MayBeOneThatCanOnlyBeExecuted) {
  if (HasOneId()) GTEST_SKIP() << "who writes its own id map has to be able to read its program";
  ASSERT_EQ(chown((*host_ / "launch").c_str(), 0, 0), 0);
  ASSERT_EQ(chmod((*host_ / "launch").c_str(), 0111), 0);
  EXPECT_EQ(host_->Run({"--rm"}, {"true"}).status, 0);
}

TEST_P(OwnProgramTest, PidOneOfInitIsClosedToAll) {
  // Even to who may trace others, and to who is not filtered.
  const std::vector<std::vector<std::string>> rows = {
      {"--init"},
      {"--init", "--cap-add", "SYS_PTRACE"},
      {"--init", "--cap-add", "ALL", "--security-opt", "seccomp=unconfined"}};
  for (const std::vector<std::string>& flags : rows) {
    const std::string out = Attack(flags, {"look-at", "1"});
    EXPECT_EQ(out,
              "exe: EACCES\nroot/: EACCES\ncwd/: EACCES\nmem: EACCES\nenviron: EACCES\nmaps: EACCES\nauxv: EACCES\n"
              "write exe: EACCES\nwrite mem: EACCES\nfd: nothing\nmap_files: nothing\nptrace: EPERM\n")
        << flags.back();
  }
}

TEST_P(OwnProgramTest, PidOneOfInitHasTheRightsOfItsCommandAndNoFds) {
  StartBox({"--init"}, {"sleep", "1000"});
  const std::string fields = "grep -E 'Cap|NoNewPrivs|Uid|Gid|Groups' /proc/";
  const std::string own = Exec({}, {"sh", "-c", fields + "self/status"}).out;
  EXPECT_THAT(own, HasSubstr("NoNewPrivs:\t1"));
  EXPECT_EQ(Exec({}, {"sh", "-c", fields + "1/status"}).out, own);
  // Only the host's root can look.
  const std::string pid = host_->Launch({"ps", "--json"}).out;
  const size_t at = pid.find("\"pid\":");
  ASSERT_NE(at, std::string::npos) << pid;
  const std::string proc = "/proc/" + std::to_string(atoi(pid.c_str() + at + 6));
  ASSERT_EQ(ReadFileOrEmpty(proc + "/comm"), "launch-init\n");
  EXPECT_TRUE(fs::is_empty(proc + "/fd"));
}

// The helper keeps the fds of the container's namespaces and its terminal.
TEST_P(OwnProgramTest, TheHelperIsClosedToTheUsersOtherProcesses) {
  if (GetParam() == Who::kRoot) GTEST_SKIP() << "root of the machine may look at everything";
  StartBox({}, {"sleep", "1000"});
  const Result result =
      host_->Exec({"sh", "-c",
                   "for p in /proc/[0-9]*; do test \"$(cat $p/comm 2>/dev/null)\" = launch || continue;"
                   "grep -qz '^'$HOME'/launch' $p/cmdline || continue; echo found;"
                   "for f in environ maps mem; do cat $p/$f >/dev/null 2>&1 && echo read $f; done;"
                   "ls $p/fd >/dev/null 2>&1 && echo listed; readlink $p/root $p/exe; done"});
  EXPECT_EQ(result.out, "found\n") << result;
}

}  // namespace
}  // namespace acetate::launcher
