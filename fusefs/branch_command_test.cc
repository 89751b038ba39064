// `fusefs branch` and `fusefs whence` on real mounts, as root and as a user through fusermount3.
#include "fusefs/branch_command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <filesystem>

#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "fusefs/program_scene.h"

namespace acetate::fusefs {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

#define SKIP_WITHOUT(user) \
  if (const std::string obstacle = ProgramScene::Obstacle(user); !obstacle.empty()) GTEST_SKIP() << obstacle

class BranchCommandTest : public ::testing::TestWithParam<bool> {
 protected:
  uid_t user() const { return GetParam() ? 0 : PlainUser(); }

  // A directory of the scene with a file in it, the user's own.
  void Layer(ProgramScene& scene, const std::string& name, const std::string& file, const std::string& contents) {
    MakeDirs(scene / name);
    WriteFile(scene / (name + "/" + file), contents);
    ASSERT_EQ(chown((scene / name).c_str(), user(), user()), 0);
    ASSERT_EQ(chown((scene / (name + "/" + file)).c_str(), user(), user()), 0);
  }
  // "MODE DIR" of each branch, from the top.
  std::vector<std::string> Branches(ProgramScene& scene) {
    const Finished listed = scene.Run({"fusefs", "branch", "mnt", "list"});
    EXPECT_EQ(listed.status, 0) << listed.err;
    std::vector<std::string> branches;
    for (absl::string_view line : absl::StrSplit(listed.out, '\n', absl::SkipEmpty())) {
      const std::vector<std::string> words = absl::StrSplit(line, ' ', absl::SkipEmpty());
      branches.push_back(words[1] + " " + words[2].substr(words[2].rfind('/') + 1));
    }
    return branches;
  }
  // Waits until the process has a file open whose path ends so; false after a minute.
  static bool AwaitOpen(pid_t pid, const std::string& end) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes(1);
    while (std::chrono::steady_clock::now() < deadline) {
      std::error_code error;
      for (const auto& fd : std::filesystem::directory_iterator("/proc/" + std::to_string(pid) + "/fd", error)) {
        if (absl::EndsWith(std::filesystem::read_symlink(fd, error).string(), end)) return true;
      }
      usleep(10000);
    }
    return false;
  }
  Finished Branch(ProgramScene& scene, std::vector<std::string> words) {
    std::vector<std::string> command = {"fusefs", "branch", "mnt"};
    command.insert(command.end(), words.begin(), words.end());
    return scene.Run(command);
  }
};

INSTANTIATE_TEST_SUITE_P(As, BranchCommandTest, ::testing::Bool(),
                         [](const auto& info) { return info.param ? "Root" : "User"; });

TEST_P(BranchCommandTest, BranchesComeAndGoUnderAMount) {
  SKIP_WITHOUT(user());
  ProgramScene scene(user());
  Layer(scene, "c", "fa", "from c");
  Layer(scene, "c", "fc", "C");
  ASSERT_EQ(scene.Run({"fusefs", "--branches=upper=rw:a=ro:b=ro", "mnt"}).status, 0);
  EXPECT_THAT(Branches(scene), ElementsAre("rw upper", "ro a", "ro b"));
  EXPECT_EQ(scene.Run({"cat", "mnt/fa"}).out, "A");
  EXPECT_NE(scene.Run({"cat", "mnt/fc"}).status, 0);  // the kernel remembers that there is none

  const Finished added = Branch(scene, {"add", "c=ro+wh", "--at=1"});
  EXPECT_EQ(added.err, "");
  EXPECT_THAT(Branches(scene), ElementsAre("rw upper", "ro+wh c", "ro a", "ro b"));
  EXPECT_EQ(scene.Run({"cat", "mnt/fa", "mnt/fc"}).out, "from cC");

  EXPECT_EQ(Branch(scene, {"move", "c", "bottom"}).err, "");
  EXPECT_THAT(Branches(scene), ElementsAre("rw upper", "ro a", "ro b", "ro+wh c"));
  EXPECT_EQ(scene.Run({"cat", "mnt/fa", "mnt/fc"}).out, "AC");

  EXPECT_EQ(Branch(scene, {"remove", "3"}).err, "");
  EXPECT_THAT(Branches(scene), ElementsAre("rw upper", "ro a", "ro b"));
  EXPECT_NE(scene.Run({"cat", "mnt/fc"}).status, 0);
}

TEST_P(BranchCommandTest, AnOpenFileGoesOnAndKeepsItsBranch) {
  SKIP_WITHOUT(user());
  ProgramScene scene(user());
  MakeDirs(scene / "c");
  Layer(scene, "c/d", "fc", "C");
  ASSERT_EQ(scene.Run({"fusefs", "-o", scene.Writable(), "mnt"}).status, 0);
  ASSERT_EQ(Branch(scene, {"add", "c"}).err, "");
  // Somebody who holds the file open: a tail that follows it.
  const pid_t tail = scene.Start({"tail", "-f", "mnt/d/fc"});
  ASSERT_TRUE(AwaitOpen(tail, "/mnt/d/fc"));
  const Finished refused = Branch(scene, {"remove", "c"});
  EXPECT_EQ(refused.status, 1);
  EXPECT_THAT(refused.err, AllOf(HasSubstr("is in use"), HasSubstr("/d/fc")));
  kill(tail, SIGKILL);
  scene.Await(tail);
  EXPECT_EQ(Branch(scene, {"remove", "c"}).err, "");
}

TEST_P(BranchCommandTest, WhatIsMountedInsideStays) {
  SKIP_WITHOUT(user());
  if (!GetParam()) GTEST_SKIP() << "mounts a tmpfs, which needs root";
  ProgramScene scene(user());
  Layer(scene, "c", "fc", "C");
  MakeDirs(scene / "a/volume");
  ASSERT_EQ(scene.Run({"fusefs", "-o", scene.Writable(), "mnt"}).status, 0);
  ASSERT_EQ(mount("tmpfs", (scene / "mnt/volume").c_str(), "tmpfs", 0, nullptr), 0);
  WriteFile(scene / "mnt/volume/inside", "kept");
  EXPECT_EQ(Branch(scene, {"add", "c"}).err, "");
  EXPECT_EQ(scene.Run({"cat", "mnt/fc", "mnt/volume/inside"}).out, "Ckept");
  EXPECT_EQ(Branch(scene, {"move", "c", "bottom"}).err, "");
  EXPECT_EQ(Branch(scene, {"remove", "c"}).err, "");
  EXPECT_EQ(scene.Run({"cat", "mnt/volume/inside"}).out, "kept");
  EXPECT_EQ(umount((scene / "mnt/volume").c_str()), 0);
}

TEST_P(BranchCommandTest, AMountThatBeganReadOnlyStaysSo) {
  SKIP_WITHOUT(user());
  ProgramScene scene(user());
  Layer(scene, "c", "fc", "C");
  ASSERT_EQ(scene.Run({"fusefs", "-o", "lowerdir=a:b", "mnt"}).status, 0);
  EXPECT_THAT(Branch(scene, {"add", "c=rw"}).err, HasSubstr("mounted ro"));
  EXPECT_NE(access((scene / ".c.work").c_str(), F_OK), 0);
  EXPECT_EQ(Branch(scene, {"add", "c=ro"}).err, "");
}

TEST_P(BranchCommandTest, ModesChange) {
  SKIP_WITHOUT(user());
  ProgramScene scene(user());
  ASSERT_EQ(scene.Run({"fusefs", "--branches=upper=rw:a=ro:b=ro", "mnt"}).status, 0);
  EXPECT_EQ(Branch(scene, {"mode", "a", "rw"}).err, "");
  EXPECT_THAT(Branches(scene), ElementsAre("rw upper", "rw a", "ro b"));
  EXPECT_EQ(scene.Run({"truncate", "-s", "0", "mnt/fa"}).err, "");
  EXPECT_EQ(ReadFile(scene / "a/fa"), "");
  EXPECT_THAT(Branch(scene, {"mode", "a", "rw+dotwh"}).err, HasSubstr("make it ro"));
  EXPECT_EQ(Branch(scene, {"mode", "a", "ro+wh"}).err, "");
  EXPECT_EQ(Branch(scene, {"mode", "upper", "ro"}).err, "");
  EXPECT_THAT(scene.Run({"touch", "mnt/new"}).err, HasSubstr("Read-only"));
  // Its lock is free, and so is its work directory.
  EXPECT_EQ(Branch(scene, {"mode", "0", "rw"}).err, "");
  EXPECT_EQ(scene.Run({"touch", "mnt/new"}).err, "");
}

TEST_P(BranchCommandTest, WhenceTellsTheLayers) {
  SKIP_WITHOUT(user());
  ProgramScene scene(user());
  WriteFile(scene / "b/mnt2", "");  // no prefix of it is a mountpoint
  ASSERT_EQ(scene.Run({"fusefs", "-o", scene.Writable(), "mnt"}).status, 0);
  EXPECT_THAT(scene.Run({"fusefs", "whence", "mnt", "fb"}).out, HasSubstr("/b/fb: shown\n"));
  ASSERT_EQ(scene.Run({"rm", "mnt/fb"}).status, 0);
  EXPECT_THAT(scene.Run({"fusefs", "whence", "mnt", "mnt/fb"}).out,
              AllOf(HasSubstr("/upper/fb: whiteout\n"), HasSubstr("/b/fb: hidden\n")));
  EXPECT_THAT(scene.Run({"fusefs", "whence", "mnt", "mnt2"}).out, HasSubstr("/b/mnt2: shown"));
  EXPECT_THAT(scene.Run({"fusefs", "whence", "mnt", "none"}).err, HasSubstr("'none': No such file"));
  EXPECT_THAT(scene.Run({"fusefs", "whence", "--json", "mnt", "fa"}).out, HasSubstr(R"("what":"shown")"));
}

TEST_P(BranchCommandTest, BadInputIsOneLine) {
  SKIP_WITHOUT(user());
  ProgramScene scene(user());
  ASSERT_EQ(scene.Run({"fusefs", "-o", scene.Writable(), "mnt"}).status, 0);
  const std::vector<std::pair<std::vector<std::string>, std::string>> cases = {
      {{"add", "none"}, "'none': No such file"},
      {{"add", "a"}, "same directory"},
      {{"add", "a/../upper"}, "same directory"},
      {{"add", "mnt=up"}, "is not a mode"},
      {{"remove", "9"}, "no branch at position 9"},
      {{"remove", "work"}, "is no branch of this mount"},
      {{"move", "a", "sideways"}, "is no position"},
      {{"mode", "a"}, "mode DIR|POSITION MODE"},
      {{"shuffle"}, "must be list, add, remove, move or mode"},
  };
  for (const auto& [words, message] : cases) {
    const Finished refused = Branch(scene, words);
    EXPECT_EQ(refused.status, 1) << words[0];
    EXPECT_THAT(refused.err, HasSubstr(message));
    EXPECT_EQ(std::count(refused.err.begin(), refused.err.end(), '\n'), 1) << refused.err;
  }
  EXPECT_THAT(Branches(scene), ElementsAre("rw upper", "ro+wh a", "ro+wh b"));
}

}  // namespace
}  // namespace acetate::fusefs
