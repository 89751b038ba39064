#include "fusefs/stderr_capture.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>

namespace acetate::fusefs {
namespace {

TEST(StderrCaptureTest, TakesWhatThisProcessAndItsChildrenWrite) {
  ::testing::internal::CaptureStderr();
  fputs("before\n", stderr);
  std::string text;
  {
    StderrCapture capture;
    fputs("fuse: one\n", stderr);
    ASSERT_EQ(system("echo helper: two >&2"), 0);
    text = capture.Finish();
    fputs("after\n", stderr);
  }
  fputs("end\n", stderr);
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "before\nafter\nend\n");
  EXPECT_EQ(text, "fuse: one\nhelper: two\n");
  EXPECT_EQ(OneLine(text), "fuse: one; helper: two");
}

TEST(StderrCaptureTest, WithoutFinishStderrComesBack) {
  ::testing::internal::CaptureStderr();
  {
    StderrCapture capture;
    fputs("lost\n", stderr);
  }
  fputs("kept\n", stderr);
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "kept\n");
}

}  // namespace
}  // namespace acetate::fusefs
