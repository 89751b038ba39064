#include "fusefs/control.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>

#include "common/temp_dir.h"

namespace acetate::fusefs {
namespace {

using ::testing::HasSubstr;
using IfServed = ControlServer::IfServed;

std::string Echo(absl::string_view request) { return "got " + std::string(request); }

// Relative to `dir`, which becomes the current directory: sun_path is shorter than a test's temporary directory may be.
sockaddr_un RelativeAddress(const std::string& dir, const std::string& name) {
  EXPECT_EQ(chdir(dir.c_str()), 0);
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  strncpy(address.sun_path, name.c_str(), sizeof(address.sun_path) - 1);
  return address;
}

std::unique_ptr<ControlServer> MustStart(const std::string& path, IfServed if_served = IfServed::kRefuse) {
  absl::StatusOr<std::unique_ptr<ControlServer>> server = ControlServer::Start(path, if_served, Echo);
  EXPECT_TRUE(server.ok()) << server.status();
  return server.ok() ? *std::move(server) : nullptr;
}

TEST(ControlTest, AnswersAndIsRemovedAtTheEnd) {
  TempDir temp;
  const std::string path = ControlPath(temp.path(), 0, 57);
  EXPECT_EQ(path, temp / "fusefs-0:57.sock");
  std::unique_ptr<ControlServer> server = MustStart(path);
  EXPECT_EQ(*AskControl(path, "stats"), "got stats");
  EXPECT_EQ(*AskControl(path, "again"), "got again");
  struct stat st;
  ASSERT_EQ(stat(path.c_str(), &st), 0);
  EXPECT_EQ(st.st_mode, S_IFSOCK | 0600u);
  server.reset();
  EXPECT_NE(access(path.c_str(), F_OK), 0);
  EXPECT_EQ(AskControl(path, "stats").status().code(), absl::StatusCode::kNotFound);
}

TEST(ControlTest, PathsLongerThanSunPath) {
  TempDir temp;
  const std::string dir = temp / (std::string(100, 'd') + "/" + std::string(100, 'e'));
  MakeDirs(dir);
  std::unique_ptr<ControlServer> server = MustStart(dir + "/c.sock");
  EXPECT_EQ(*AskControl(dir + "/c.sock", "x"), "got x");
}

TEST(ControlTest, ASocketThatNobodyServesIsReplaced) {
  TempDir temp;
  const std::string path = temp / "c.sock";
  const sockaddr_un address = RelativeAddress(temp.path(), "c.sock");
  UniqueFd abandoned(socket(AF_UNIX, SOCK_STREAM, 0));
  ASSERT_EQ(bind(abandoned.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  abandoned.Reset();
  std::unique_ptr<ControlServer> server = MustStart(path);
  EXPECT_EQ(*AskControl(path, "x"), "got x");
}

TEST(ControlTest, AServedSocketIsReplacedOnlyOnDemand) {
  TempDir temp;
  const std::string path = temp / "c.sock";
  std::unique_ptr<ControlServer> first = MustStart(path);
  EXPECT_THAT(std::string(ControlServer::Start(path, IfServed::kRefuse, Echo).status().message()),
              HasSubstr("in use by another process"));
  std::unique_ptr<ControlServer> second = MustStart(path, IfServed::kReplace);
  first.reset();  // leaves the socket, which is the second's
  EXPECT_EQ(*AskControl(path, "x"), "got x");
}

TEST(ControlTest, WhatIsNoSocketStays) {
  TempDir temp;
  WriteFile(temp / "precious", "text");
  EXPECT_THAT(std::string(ControlServer::Start(temp / "precious", IfServed::kReplace, Echo).status().message()),
              HasSubstr("no socket"));
  EXPECT_EQ(ReadFile(temp / "precious"), "text");
  EXPECT_FALSE(ControlServer::Start(temp / "none/c.sock", IfServed::kRefuse, Echo).ok());
  EXPECT_FALSE(ControlServer::Start(temp.path() + "/", IfServed::kRefuse, Echo).ok());
}

TEST(ControlTest, ASilentClientDoesNotHoldTheServer) {
  TempDir temp;
  const std::string path = temp / "c.sock";
  std::unique_ptr<ControlServer> server = MustStart(path);
  const sockaddr_un address = RelativeAddress(temp.path(), "c.sock");
  UniqueFd silent(socket(AF_UNIX, SOCK_STREAM, 0));
  ASSERT_EQ(connect(silent.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  silent.Reset();  // says nothing and goes
  EXPECT_EQ(*AskControl(path, "x"), "got x");
}

TEST(ControlTest, OtherUsersGetNothing) {
  if (geteuid() != 0) GTEST_SKIP() << "becomes another user, which needs root";
  unsetenv("TEST_TMPDIR");  // may lie where another user cannot go
  TempDir temp;
  const std::string path = temp / "c.sock";
  std::unique_ptr<ControlServer> server = MustStart(path);
  // Even where the modes would let them.
  ASSERT_EQ(chmod(temp.path().c_str(), 0755), 0);
  ASSERT_EQ(chmod(path.c_str(), 0666), 0);
  const pid_t child = fork();
  if (child == 0) {
    if (setuid(65534) != 0 || access(path.c_str(), R_OK | W_OK) != 0) _exit(2);
    _exit(AskControl(path, "x").ok() ? 1 : 0);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace acetate::fusefs
