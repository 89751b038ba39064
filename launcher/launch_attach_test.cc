// What a container in the background reads and writes: its log, and who attaches to it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <filesystem>

#include "launcher/detached_test.h"
#include "launcher/launch_fixture.h"

namespace acetate::launcher {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::Not;
using ::testing::StartsWith;

namespace fs = std::filesystem;

using AttachTest = DetachedTest;

ACETATE_FOR_EACH_USER(AttachTest);

TEST_P(AttachTest, LogsCanBeCutStampedAndFollowed) {
  host_->MakeDirectory("shared");
  Detach({"--name", "a", "-v", *host_ / "shared:/mnt"},
         "echo one; echo two; echo three; while ! test -e /mnt/go; do sleep 0.05; done; echo four; printf five");
  ASSERT_TRUE(Logged("a", "three"));
  EXPECT_EQ(Out({"logs", "-n", "2", "a"}), "two\nthree\n");
  EXPECT_EQ(Out({"logs", "--tail=0", "a"}), "");
  EXPECT_EQ(Out({"logs", "--tail=all", "a"}), "one\ntwo\nthree\n");
  EXPECT_THAT(Out({"logs", "-t", "-n1", "a"}), MatchesRegex("2[0-9-]+T[0-9:.]+Z three\n"));
  Running follower = host_->Start(host_->WithProgram({"logs", "-f", "a"}));
  host_->Write("shared/go", "");
  Result result = host_->Wait(std::move(follower));
  EXPECT_EQ(result.status, 0) << result;
  EXPECT_EQ(result.out, "one\ntwo\nthree\nfour\nfive");
  // Following what has ended ends, too.
  EXPECT_EQ(Out({"logs", "-f", "-n", "1", "a"}), "five");
}

TEST_P(AttachTest, TheLogIsBounded) {
  Detach({"--name", "a", "--log-max-size", "8k"}, "seq 1 5000");
  EXPECT_EQ(Out({"wait", "a"}), "0\n");
  std::string out = Out({"logs", "a"});
  EXPECT_THAT(out, HasSubstr("\n4999\n5000\n"));
  EXPECT_LE(fs::file_size(host_->OnlyContainer() + "/log"), 8192u);
  EXPECT_LE(fs::file_size(host_->OnlyContainer() + "/log.1"), 8192u);
}

TEST_P(AttachTest, StdinIsThereForWhoAttaches) {
  Detach({"-i", "--name", "a"}, "echo ready; cat; exit 5");
  ASSERT_TRUE(Logged("a", "ready"));
  Result result = host_->Exec({"sh", "-c", "printf 'typed\\n' | exec \"$@\"", "sh", *host_ / "launch", "attach", "a"});
  EXPECT_EQ(result.status, 5) << result;
  EXPECT_EQ(result.out, "typed\n");
  EXPECT_EQ(Out({"logs", "a"}), "ready\ntyped\n");
}

TEST_P(AttachTest, WithoutInteractiveStdinIsEmpty) {
  Detach({"--name", "a"}, "cat; echo end");
  EXPECT_EQ(Out({"wait", "a"}), "0\n");
  EXPECT_EQ(Out({"logs", "a"}), "end\n");
}

TEST_P(AttachTest, AttachShowsBothStreamsAndPassesSignalsOn) {
  host_->MakeDirectory("shared");
  Detach({"--name", "a", "-v", *host_ / "shared:/mnt"},
         "trap 'echo caught >&2; exit 8' TERM; while :; do echo tick; sleep 0.05; done");
  Running attached = host_->Start(host_->WithProgram({"attach", "--no-stdin", "a"}));
  // It is attached once it prints.
  char byte;
  ASSERT_EQ(read(attached.out.get(), &byte, 1), 1);
  kill(attached.pid, SIGTERM);
  Result result = host_->Wait(std::move(attached));
  EXPECT_EQ(result.status, 8) << result;
  EXPECT_THAT(byte + result.out, StartsWith("tick\n"));
  EXPECT_EQ(result.err, "caught\n");
}

TEST_P(AttachTest, WithoutSigProxyOnlyAttachEnds) {
  Detach({"--name", "a"}, "while :; do echo tick; sleep 0.05; done");
  Running attached = host_->Start(host_->WithProgram({"attach", "--sig-proxy=false", "a"}));
  char byte;
  ASSERT_EQ(read(attached.out.get(), &byte, 1), 1);
  kill(attached.pid, SIGTERM);
  EXPECT_EQ(host_->Wait(std::move(attached)).status, 143);
  EXPECT_EQ(Inspect("a")["status"], "running");
  // A reader that goes away harms no one.
  Result result = host_->Exec({"sh", "-c", "\"$@\" | head -n 1", "sh", *host_ / "launch", "attach", "a"});
  EXPECT_EQ(result.out, "tick\n") << result;
  EXPECT_EQ(Inspect("a")["status"], "running");
  Out({"kill", "a"});
}

}  // namespace
}  // namespace acetate::launcher
