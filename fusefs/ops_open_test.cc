// Which files the kernel may read and write by itself.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fusefs/stack_scene.h"

namespace acetate::fusefs {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// The path, in the scene, of what is passed on; empty when the daemon is to be asked.
std::string Passed(StackScene& scene, const std::string& path, bool write) {
  const FdRef fd = scene.fs_->FileToPass(scene.Node(path), write);
  struct stat passed, st;
  if (fd == nullptr || fstat(fd->get(), &passed) != 0) return "";
  for (const char* branch : {"0/", "1/", "2/"}) {
    const std::string at = branch + path;
    if (stat((scene / at).c_str(), &st) == 0 && st.st_dev == passed.st_dev && st.st_ino == passed.st_ino) return at;
  }
  return "(elsewhere)";
}

TEST(OpsOpenTest, AFileThatCanBeCopiedUpIsNotPassedForReading) {
  StackScene scene({"rw", "ro"});
  scene.Put("1/f", "lower");
  scene.Start();
  EXPECT_EQ(Passed(scene, "f", /*write=*/false), "");
  EXPECT_THAT(scene.Held(0), IsEmpty());
}

TEST(OpsOpenTest, ItIsCopiedUpToBeWritten) {
  StackScene scene({"rw", "ro"});
  scene.Put("1/f", "lower");
  scene.Start();
  EXPECT_EQ(Passed(scene, "f", /*write=*/true), "0/f");
  EXPECT_EQ(ReadFile(scene / "0/f"), "lower");
  EXPECT_EQ(Passed(scene, "f", /*write=*/false), "0/f");
}

TEST(OpsOpenTest, AllFilesOfAUnionThatCannotChangeArePassed) {
  StackScene scene({"ro", "ro+wh"});
  scene.Put("0/set-id", "top", 06755);
  scene.Put("1/f", "lower");
  scene.Start();
  EXPECT_EQ(Passed(scene, "f", /*write=*/false), "1/f");
  EXPECT_EQ(Passed(scene, "set-id", /*write=*/false), "0/set-id");
}

TEST(OpsOpenTest, AMetadataOnlyCopyIsPassedOnceItHasItsContents) {
  StackScene scene({"rw", "ro"});
  scene.Put("1/f", "lower");
  scene.Start();
  ASSERT_EQ(scene.Chmod("f", 0600), 0);
  EXPECT_EQ(Passed(scene, "f", /*write=*/false), "");
  EXPECT_EQ(Passed(scene, "f", /*write=*/true), "0/f");
  EXPECT_EQ(scene.Contents("f"), "lower");
}

TEST(OpsOpenTest, ALargeFileIsNotWaitedFor) {
  StackScene scene({"rw", "ro"});
  scene.options_.lazy_copy_up_min = 1000;
  scene.Put("1/f", std::string(100000, 'l'));
  scene.Start();
  EXPECT_EQ(Passed(scene, "f", /*write=*/true), "");
  EXPECT_EQ(scene.Contents("f"), std::string(100000, 'l'));
}

TEST(OpsOpenTest, SetIdFilesAreTheDaemonsToWrite) {
  StackScene scene({"rw", "ro"});
  scene.Put("0/f", "upper", 04755);
  scene.Start();
  EXPECT_EQ(Passed(scene, "f", /*write=*/true), "");
  ASSERT_EQ(scene.Chmod("f", 0755), 0);
  EXPECT_EQ(Passed(scene, "f", /*write=*/true), "0/f");
}

TEST(OpsOpenTest, WhatWasPassedStaysInItsBranch) {
  StackScene scene({"rw", "rw"});
  scene.Put("0/target", "target");
  scene.Put("1/source", "source");
  scene.Start();
  EXPECT_EQ(Passed(scene, "source", /*write=*/true), "1/source");
  EXPECT_EQ(scene.Rename("source", "target"), EXDEV);
  EXPECT_THAT(scene.Held(0), ElementsAre("target"));
  EXPECT_THAT(scene.Held(1), ElementsAre("source"));
  EXPECT_TRUE(scene.WorkIsClean());
}

TEST(OpsOpenTest, AFileWithoutANameIsPassed) {
  StackScene scene({"rw", "ro"});
  scene.Put("1/f", "lower");
  scene.Start();
  const NodeId node = scene.Node("f");
  ASSERT_EQ(scene.Unlink("f"), 0);
  const FdRef fd = scene.fs_->FileToPass(node, /*write=*/true);
  ASSERT_NE(fd, nullptr);
  char text[6] = {};
  EXPECT_EQ(pread(fd->get(), text, 5, 0), 5);
  EXPECT_STREQ(text, "lower");
}

}  // namespace
}  // namespace acetate::fusefs
