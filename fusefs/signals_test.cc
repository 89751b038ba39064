#include "fusefs/signals.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

#include "common/unique_fd.h"
#include "fusefs/libfuse.h"

namespace acetate::fusefs {
namespace {

class SignalsTest : public ::testing::Test {
 protected:
  SignalsTest() {
    char name[] = "fusefs";
    char* argv[] = {name, nullptr};
    fuse_args args = FUSE_ARGS_INIT(1, argv);
    fuse_lowlevel_ops operations = {};
    session_ = fuse_session_new(&args, &operations, sizeof(operations), nullptr);
    fuse_opt_free_args(&args);
  }
  ~SignalsTest() override {
    fuse_session_destroy(session_);
    for (int signal : {SIGHUP, SIGINT, SIGTERM, SIGALRM, SIGPIPE}) ::signal(signal, SIG_DFL);
  }

  fuse_session* session_ = nullptr;
};

TEST_F(SignalsTest, EachEndsTheSession) {
  for (int signal : {SIGHUP, SIGINT, SIGTERM}) {
    ::signal(signal, SIG_DFL);
    fuse_session_reset(session_);
    EndOnSignals end(session_);
    EXPECT_FALSE(fuse_session_exited(session_));
    raise(signal);
    EXPECT_TRUE(fuse_session_exited(session_)) << signal;
  }
}

TEST_F(SignalsTest, ASignalJustBeforeReadInterruptsItAllTheSame) {
  int fds[2];
  ASSERT_EQ(pipe(fds), 0);
  UniqueFd read_end(fds[0]), write_end(fds[1]);
  EndOnSignals end(session_);
  raise(SIGTERM);
  char byte;
  EXPECT_EQ(read(read_end.get(), &byte, 1), -1);
  EXPECT_EQ(errno, EINTR);
}

TEST_F(SignalsTest, WhatWasIgnoredStaysIgnored) {
  signal(SIGHUP, SIG_IGN);
  EndOnSignals end(session_);
  raise(SIGHUP);
  EXPECT_FALSE(fuse_session_exited(session_));
}

TEST_F(SignalsTest, AfterwardsNothingInterrupts) {
  { EndOnSignals end(session_); }
  fuse_session_reset(session_);
  raise(SIGTERM);
  raise(SIGPIPE);
  EXPECT_FALSE(fuse_session_exited(session_));
}

}  // namespace
}  // namespace acetate::fusefs
