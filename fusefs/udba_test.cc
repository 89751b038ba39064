// udba=reval and udba=notify on real mounts: what others change in the branches is seen, at once or soon.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <functional>
#include <string>

#include "common/unique_fd.h"
#include "fusefs/program_scene.h"

namespace acetate::fusefs {
namespace {

// As root, whose mounts this process may look into.
class UdbaTest : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    if (const std::string obstacle = ProgramScene::Obstacle(0); !obstacle.empty()) GTEST_SKIP() << obstacle;
    const Finished mounted =
        scene_.Run({"fusefs", std::string("--udba=") + GetParam(), "--branches=upper=rw:a=ro+wh:b=ro+wh", "mnt"});
    ASSERT_EQ(mounted.status, 0) << mounted.err;
  }

  // With reval, now; with notify, within a minute.
  testing::AssertionResult Soon(const std::function<bool()>& holds) {
    const bool waits = std::string(GetParam()) == "notify";
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes(1);
    while (!holds()) {
      if (!waits) return testing::AssertionFailure() << "not seen at once";
      if (std::chrono::steady_clock::now() > deadline) return testing::AssertionFailure() << "not seen in a minute";
      usleep(10000);
    }
    return testing::AssertionSuccess();
  }
  bool Holds(const std::string& name, const std::string& contents) {
    struct stat st;
    return stat((scene_ / ("mnt/" + name)).c_str(), &st) == 0 && ReadFile(scene_ / ("mnt/" + name)) == contents;
  }
  bool IsGone(const std::string& name) { return access((scene_ / ("mnt/" + name)).c_str(), F_OK) != 0; }

  ProgramScene scene_;
};

INSTANTIATE_TEST_SUITE_P(By, UdbaTest, ::testing::Values("reval", "notify"),
                         [](const auto& info) { return std::string(info.param); });

TEST_P(UdbaTest, NamesComeAndGo) {
  EXPECT_TRUE(Holds("fa", "A"));
  EXPECT_TRUE(IsGone("new"));
  WriteFile(scene_ / "b/new", "n");
  EXPECT_TRUE(Soon([&] { return Holds("new", "n"); }));
  WriteFile(scene_ / "a/new", "over it");
  EXPECT_TRUE(Soon([&] { return Holds("new", "over it"); }));
  ASSERT_EQ(unlink((scene_ / "a/fa").c_str()), 0);
  EXPECT_TRUE(Soon([&] { return IsGone("fa"); }));
  ASSERT_EQ(rename((scene_ / "a/new").c_str(), (scene_ / "a/moved").c_str()), 0);
  EXPECT_TRUE(Soon([&] { return Holds("new", "n") && Holds("moved", "over it"); }));
}

TEST_P(UdbaTest, ContentsAndAttributesChange) {
  EXPECT_TRUE(Holds("fb", "B"));
  WriteFile(scene_ / "b/fb", "longer");
  EXPECT_TRUE(Soon([&] { return Holds("fb", "longer"); }));
  ASSERT_EQ(chmod((scene_ / "b/fb").c_str(), 0700), 0);
  struct stat st;
  EXPECT_TRUE(Soon([&] { return stat((scene_ / "mnt/fb").c_str(), &st) == 0 && (st.st_mode & 07777) == 0700; }));
  // In place: nothing but the contents tells, and the time, which is set since two writes may have the same.
  UniqueFd file(open((scene_ / "b/fb").c_str(), O_WRONLY | O_CLOEXEC));
  ASSERT_EQ(pwrite(file.get(), "L", 1, 0), 1);
  const struct timespec times[2] = {{1000, 0}, {1000, 0}};
  ASSERT_EQ(futimens(file.get(), times), 0);
  EXPECT_TRUE(Soon([&] { return Holds("fb", "Longer"); }));
}

TEST_P(UdbaTest, DirectoriesAreFollowed) {
  MakeDirs(scene_ / "b/d/e");
  EXPECT_TRUE(Soon([&] { return !IsGone("d/e"); }));
  WriteFile(scene_ / "b/d/e/f", "deep");
  EXPECT_TRUE(Soon([&] { return Holds("d/e/f", "deep"); }));
  MakeDirs(scene_ / "a/d/e");
  WriteFile(scene_ / "a/d/e/f", "above");
  EXPECT_TRUE(Soon([&] { return Holds("d/e/f", "above"); }));
}

TEST_P(UdbaTest, TheUnionsOwnChangesGoOn) {
  for (int i = 0; i < 50; ++i) {
    const std::string name = "mnt/own" + std::to_string(i);
    WriteFile(scene_ / name, name);
    ASSERT_EQ(rename((scene_ / name).c_str(), (scene_ / "mnt/renamed").c_str()), 0) << i;
    ASSERT_EQ(ReadFile(scene_ / "mnt/renamed"), name);
    ASSERT_EQ(access((scene_ / name).c_str(), F_OK), -1);
  }
  WriteFile(scene_ / "mnt/fa", "changed");
  EXPECT_EQ(ReadFile(scene_ / "mnt/fa"), "changed");
  EXPECT_EQ(ReadFile(scene_ / "upper/fa"), "changed");
}

}  // namespace
}  // namespace acetate::fusefs
