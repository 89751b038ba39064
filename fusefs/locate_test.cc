// Objects of layers are found though hardly a directory of them stays open, and only where they are.
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <string>

#include "absl/strings/str_cat.h"
#include "fusefs/union_fs_fixture.h"

namespace acetate::fusefs {
namespace {

class LocateTest : public UnionFsTest {
 protected:
  LocateTest() {
    getrlimit(RLIMIT_NOFILE, &before_);
    const struct rlimit few = {64, before_.rlim_max};
    setrlimit(RLIMIT_NOFILE, &few);
    for (int i = 0; i < kOthers; ++i) Put(absl::StrCat("lower/other", i, "/file"), "other");
  }
  ~LocateTest() override { setrlimit(RLIMIT_NOFILE, &before_); }

  // All others are opened, so that what was open before is closed.
  void LookElsewhere() {
    for (int i = 0; i < kOthers; ++i) EXPECT_EQ(Contents(absl::StrCat("other", i, "/file")), "other");
  }

  ErrnoOr<size_t> Read(NodeId node) {
    char buffer[64];
    return fs_->Read(node, buffer, sizeof(buffer), 0);
  }

  static constexpr int kOthers = 40;

 private:
  struct rlimit before_ = {};
};

TEST_F(LocateTest, FarBelow) {
  Put("lower/a/b/c/d/file", "far below");
  Start();
  const NodeId node = Node("a/b/c/d/file");
  LookElsewhere();
  EXPECT_EQ(*Read(node), 9U);
  // So deep that no path leads there.
  std::string deep = "lower";
  for (int i = 0; i < 12; ++i) absl::StrAppend(&deep, "/", std::string(250, 'x'));
  Put(deep + "/file", "deep");
  for (int i = 12; i < 24; ++i) {
    const std::string name(250, 'x');
    std::filesystem::create_directories(*this / ("upper/" + name));
    std::filesystem::rename(*this / ("lower/" + name), *this / ("upper/" + name + "/" + name));
    std::filesystem::rename(*this / ("upper/" + name), *this / ("lower/" + name));
  }
  Restart();
  std::string path;
  for (int i = 0; i < 24; ++i) absl::StrAppend(&path, std::string(250, 'x'), "/");
  const NodeId deepest = Node(path + "file");
  LookElsewhere();
  EXPECT_EQ(*Read(deepest), 4U);
}

TEST_F(LocateTest, NotThroughSymlinks) {
  Put("lower/a/b/c/d/file", "the file");
  Put("lower/elsewhere/c/d/file", "another one");
  Start();
  const NodeId node = Node("a/b/c/d/file");
  LookElsewhere();
  std::filesystem::rename(*this / "lower/a/b", *this / "lower/a/was");
  std::filesystem::create_symlink("../elsewhere", *this / "lower/a/b");
  EXPECT_EQ(Read(node).error().value(), ENOTDIR);
  std::filesystem::remove(*this / "lower/a/b");
  std::filesystem::rename(*this / "lower/a/was", *this / "lower/a/b");
  EXPECT_EQ(*Read(node), 8U);
}

// What may not be read may still be gone through: by its owner, who has no privilege here.
TEST_F(LocateTest, ThroughWhatMayNotBeRead) {
  Put("lower/a/b/c/file", "behind");
  Start();
  const NodeId node = Node("a/b/c/file");
  LookElsewhere();
  std::filesystem::permissions(*this / "lower/a/b/c", std::filesystem::perms::owner_exec);
  EXPECT_EQ(*Read(node), 6U);
  std::filesystem::permissions(*this / "lower/a/b/c", std::filesystem::perms::owner_all);
}

}  // namespace
}  // namespace acetate::fusefs
