// Runs the scenes as one of four:
//   --as=root    as root (the default)
//   --as=user    as the user `acetate`: mounts go through fusermount3
//   --as=userns  as `acetate` in a user and mount namespace of its own, where it mounts directly and has one id
//   --as=subids  the same with the subordinate ids of the user, as container engines do it
// and all with one more option, as --with=passthrough, where a union can be mounted with it.
#include <gflags/gflags.h>
#include <grp.h>
#include <gtest/gtest.h>
#include <pwd.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>

#include "common/temp_dir.h"
#include "tests/fixture/mounted_union.h"

DECLARE_string(with);

DEFINE_string(as, "root", "Who runs the scenes: root, user, userns or subids.");

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

// Maps id 0 to the user, and to those from 1 on the ids that /etc/subuid or /etc/subgid gives it.
void MapSubordinateIds(pid_t pid, const std::string& program, const std::string& ids, unsigned own) {
  std::ifstream lines(ids);
  std::string line;
  while (std::getline(lines, line) && line.rfind("acetate:", 0) != 0) {
  }
  unsigned first = 0, count = 0;
  Require(sscanf(line.c_str(), "acetate:%u:%u", &first, &count) == 2, "subordinate ids in " + ids);
  const std::string command = program + " " + std::to_string(pid) + " 0 " + std::to_string(own) + " 1 1 " +
                              std::to_string(first) + " " + std::to_string(count);
  Require(system(command.c_str()) == 0, command);
}

void EnterNamespaces(bool subordinate_ids) {
  const uid_t uid = getuid();
  const gid_t gid = getgid();
  int ready[2];
  Require(pipe(ready) == 0, "pipe");
  const pid_t self = getpid();
  // The setuid programs that map further ids have to be started from outside.
  const pid_t mapper = subordinate_ids ? fork() : 0;
  if (subordinate_ids && mapper == 0) {
    char byte;
    close(ready[1]);
    if (read(ready[0], &byte, 1) == 1) {
      MapSubordinateIds(self, "newuidmap", "/etc/subuid", uid);
      MapSubordinateIds(self, "newgidmap", "/etc/subgid", gid);
    }
    _exit(0);
  }
  Require(unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0, "unshare");
  if (subordinate_ids) {
    int status = 0;
    Require(write(ready[1], "", 1) == 1 && waitpid(mapper, &status, 0) == mapper && status == 0, "map ids");
    Require(setresgid(0, 0, 0) == 0 && setgroups(0, nullptr) == 0 && setresuid(0, 0, 0) == 0, "become root");
  } else {
    WriteTo("/proc/self/setgroups", "deny");
    WriteTo("/proc/self/uid_map", "0 " + std::to_string(uid) + " 1");
    WriteTo("/proc/self/gid_map", "0 " + std::to_string(gid) + " 1");
  }
  close(ready[0]);
  close(ready[1]);
  Require(mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0, "make / private");
}

void Become(const std::string& who) {
  EnterPrivateMountNamespace();
  // It may lie where the user cannot go.
  unsetenv("TEST_TMPDIR");
  if (who == "root") {
    Require(geteuid() == 0, "not root");
    return;
  }
  ShareProgram();
  BecomeUser();
  if (who == "userns" || who == "subids") EnterNamespaces(who == "subids");
}

// Skips everything where nothing can be mounted with --with.
class WithOption : public testing::Environment {
 public:
  void SetUp() override {
    if (FLAGS_with.empty()) return;
    const TempDir dir;
    UnionOptions options = MakeUnionDirs(dir.path(), 1);
    options.mount_options.push_back(FLAGS_with);
    try {
      MountedUnion(options).Unmount();
    } catch (const std::runtime_error& error) {
      GTEST_SKIP() << error.what();
    }
  }
};

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
  testing::AddGlobalTestEnvironment(new acetate::conformance::WithOption);  // GoogleTest deletes it
  return RUN_ALL_TESTS();
}
