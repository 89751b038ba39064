// Runs the scenes as one of three:
//   --as=root    as root (the default)
//   --as=user    as the user `acetate`: mounts go through fusermount3
//   --as=userns  as `acetate` in a user and mount namespace of its own, where it mounts directly
#include <gflags/gflags.h>
#include <grp.h>
#include <gtest/gtest.h>
#include <pwd.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>

#include "tests/fixture/mounted_union.h"

DEFINE_string(as, "root", "Who runs the scenes: root, user or userns.");

namespace acetate::conformance {
namespace {

void Require(bool ok, const std::string& what) {
  if (!ok) throw std::runtime_error(what + ": " + strerror(errno));
}

// The build tree is often closed to others: the user gets a copy of the program, and /tmp for the layers.
void ShareProgram() {
  char directory[] = "/tmp/acetate-conformance-XXXXXX";
  Require(mkdtemp(directory) != nullptr && chmod(directory, 0755) == 0, "mkdtemp");
  const std::string copy = std::string(directory) + "/fusefs";
  std::filesystem::copy_file(FusefsProgram(), copy);
  Require(chmod(copy.c_str(), 0755) == 0, "chmod " + copy);
  setenv("ACETATE_FUSEFS", copy.c_str(), 1);
  unsetenv("TEST_TMPDIR");
}

void BecomeUser() {
  errno = 0;
  const passwd* user = getpwnam("acetate");
  Require(user != nullptr, "no user 'acetate': tests/setup.sh makes it");
  Require(initgroups("acetate", user->pw_gid) == 0 && setgid(user->pw_gid) == 0 && setuid(user->pw_uid) == 0,
          "become acetate");
  // The change of user closed /proc/self to the new one.
  Require(prctl(PR_SET_DUMPABLE, 1) == 0, "prctl");
  setenv("HOME", user->pw_dir, 1);
  unsetenv("XDG_RUNTIME_DIR");
  Require(chdir("/") == 0, "chdir /");
}

void WriteTo(const std::string& path, const std::string& text) {
  std::ofstream out(path);
  out << text << std::flush;
  Require(out.good(), "write " + path);
}

void EnterNamespaces() {
  const std::string uid_map = "0 " + std::to_string(getuid()) + " 1";
  const std::string gid_map = "0 " + std::to_string(getgid()) + " 1";
  Require(unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0, "unshare");
  WriteTo("/proc/self/setgroups", "deny");
  WriteTo("/proc/self/uid_map", uid_map);
  WriteTo("/proc/self/gid_map", gid_map);
  Require(mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0, "make / private");
}

void Become(const std::string& who) {
  EnterPrivateMountNamespace();
  if (who == "root") {
    Require(geteuid() == 0, "not root");
    return;
  }
  ShareProgram();
  BecomeUser();
  if (who == "userns") EnterNamespaces();
}

}  // namespace
}  // namespace acetate::conformance

int main(int argc, char** argv) {
  // No files that the user could not write.
  testing::GTEST_FLAG(output) = "";
  unsetenv("TEST_PREMATURE_EXIT_FILE");
  testing::InitGoogleTest(&argc, argv);
  gflags::ParseCommandLineFlags(&argc, &argv, true);
  try {
    acetate::conformance::Become(FLAGS_as);
  } catch (const std::exception& error) {
    fprintf(stderr, "conformance: %s\n", error.what());
    return 2;
  }
  return RUN_ALL_TESTS();
}
