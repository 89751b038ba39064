#include "fusefs/program_scene.h"

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/mountinfo.h"
#include "common/unique_fd.h"

namespace acetate::fusefs {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

// A test process's surroundings, prepared before its first scene. A user's programs cannot go where Bazel keeps a
// test's files. And a mount namespace that another process makes would hold copies of our mounts, whose daemons then
// live on.
void Prepare() {
  unsetenv("TEST_TMPDIR");
  static const bool is_apart = unshare(CLONE_NEWNS) == 0 && mount("", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0;
  if (!is_apart) throw std::runtime_error("cannot make a mount namespace");
  prctl(PR_SET_CHILD_SUBREAPER, 1);
}

int StatusOf(int wait_status) {
  return WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : 128 + WTERMSIG(wait_status);
}

std::vector<char*> Argv(const std::vector<std::string>& command) {
  std::vector<char*> argv;
  for (const std::string& argument : command) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  return argv;
}

template <typename Condition>
bool WithinAMinute(Condition condition) {
  const auto deadline = steady_clock::now() + seconds(60);
  while (!condition()) {
    if (steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(milliseconds(5));
  }
  return true;
}

// Reads both streams until they are closed.
void Drain(UniqueFd out_fd, UniqueFd err_fd, Finished* finished) {
  pollfd fds[2] = {{out_fd.get(), POLLIN, 0}, {err_fd.get(), POLLIN, 0}};
  std::string* texts[2] = {&finished->out, &finished->err};
  while (fds[0].fd >= 0 || fds[1].fd >= 0) {
    if (poll(fds, 2, 60000) == 0) throw std::runtime_error("a stream was kept open for a minute");
    for (int i = 0; i < 2; ++i) {
      if (fds[i].fd < 0 || fds[i].revents == 0) continue;
      char buffer[4096];
      const ssize_t got = read(fds[i].fd, buffer, sizeof(buffer));
      if (got <= 0) fds[i].fd = -1;
      if (got > 0) texts[i]->append(buffer, got);
    }
  }
}

}  // namespace

uid_t PlainUser() {
  const passwd* user = getpwnam("daemon");
  return user != nullptr ? user->pw_uid : 1;
}

std::string ProgramScene::Obstacle(uid_t user) {
  if (geteuid() != 0) return "mounts, and becomes other users: needs root";
  struct stat st;
  if (stat("/dev/fuse", &st) != 0) return "/dev/fuse is missing";
  if (user != 0 && (st.st_mode & 0006) != 0006) return "/dev/fuse is not open to all users (chmod 666 /dev/fuse)";
  if (user != 0 && access("/usr/bin/fusermount3", X_OK) != 0) return "fusermount3 is not installed";
  return "";
}

ProgramScene::ProgramScene(uid_t user) : user_(user), temp_((Prepare(), TempDir())) {
  const char* source = getenv("ACETATE_FUSEFS");
  std::filesystem::copy_file(source != nullptr ? source : "fusefs/fusefs", temp_ / "fusefs");
  for (const char* name : {"a", "b", "upper", "work", "mnt"}) MakeDirs(temp_ / name);
  WriteFile(temp_ / "a/fa", "A");
  WriteFile(temp_ / "b/fb", "B");
  for (const char* name : {"", "a", "b", "upper", "work", "mnt", "a/fa", "b/fb"}) {
    if (chown((temp_ / name).c_str(), user, user) != 0) throw std::runtime_error("chown");
  }
  if (chmod(path().c_str(), 0755) != 0 || chmod((temp_ / "fusefs").c_str(), 0755) != 0) {
    throw std::runtime_error("chmod");
  }
}

ProgramScene::~ProgramScene() {
  // Children, and through the subreaper their orphans; none but those of this scene.
  const std::string list = absl::StrCat("/proc/self/task/", getpid(), "/children");
  for (int round = 0; round < 3; ++round) {
    UniqueFd fd(open(list.c_str(), O_RDONLY | O_CLOEXEC));
    char text[4096] = {};
    if (!fd.valid() || read(fd.get(), text, sizeof(text) - 1) <= 0) break;
    for (char* p = text; long pid = strtol(p, &p, 10);) kill(static_cast<pid_t>(pid), SIGKILL);
    while (waitpid(-1, nullptr, 0) > 0) {
    }
  }
  for (const std::string& mount : Mounts()) umount2((temp_ / mount).c_str(), MNT_DETACH);
}

pid_t ProgramScene::Spawn(const std::vector<std::vector<std::string>>& setup, const std::vector<std::string>& command,
                          int out, int err) {
  const pid_t child = fork();
  if (child != 0) return child;
  // A test process has no threads here, so this child may do as it likes.
  if (chdir(path().c_str()) != 0) _exit(99);
  setenv("PATH", absl::StrCat(path(), ":/usr/sbin:/usr/bin:/sbin:/bin").c_str(), 1);
  unsetenv("XDG_RUNTIME_DIR");
  if (!setup.empty() && unshare(CLONE_NEWNS) != 0) _exit(98);
  for (const std::vector<std::string>& step : setup) {
    const pid_t pid = fork();
    if (pid == 0) {
      execvp(step[0].c_str(), Argv(step).data());
      _exit(127);
    }
    int status = 0;
    if (waitpid(pid, &status, 0) != pid || status != 0) _exit(97);
  }
  dup2(out, 1);
  dup2(err, 2);
  if (user_ != 0 && (setgroups(0, nullptr) != 0 || setgid(user_) != 0 || setuid(user_) != 0)) _exit(96);
  execvp(command[0].c_str(), Argv(command).data());
  _exit(127);
}

Finished ProgramScene::Run(const std::vector<std::string>& command) { return RunAfter({}, command); }

Finished ProgramScene::RunAfter(const std::vector<std::vector<std::string>>& setup,
                                const std::vector<std::string>& command) {
  int out[2], err[2];
  if (pipe2(out, O_CLOEXEC) != 0 || pipe2(err, O_CLOEXEC) != 0) throw std::runtime_error("pipe");
  UniqueFd out_read(out[0]), out_write(out[1]), err_read(err[0]), err_write(err[1]);
  const pid_t child = Spawn(setup, command, out_write.get(), err_write.get());
  out_write.Reset();
  err_write.Reset();
  Finished finished;
  Drain(std::move(out_read), std::move(err_read), &finished);
  int status = 0;
  waitpid(child, &status, 0);
  finished.status = StatusOf(status);
  return finished;
}

pid_t ProgramScene::Start(const std::vector<std::string>& command) {
  UniqueFd null(open("/dev/null", O_RDWR | O_CLOEXEC));
  return Spawn({}, command, null.get(), null.get());
}

int ProgramScene::Await(pid_t pid) {
  int status = -1;
  pid_t got = 0;
  WithinAMinute([&] { return (got = waitpid(pid, &status, WNOHANG)) != 0; });
  return got > 0 ? StatusOf(status) : -1;
}

std::string ProgramScene::Writable() const { return "lowerdir=a:b,upperdir=upper,workdir=work"; }

std::set<std::string> ProgramScene::Mounts() const {
  std::set<std::string> mounts;
  for (const MountInfo& mount : ReadMountInfo()) {
    absl::string_view point = mount.mount_point;
    if (absl::ConsumePrefix(&point, path() + "/")) mounts.emplace(point);
  }
  return mounts;
}

bool ProgramScene::AwaitMount(bool mounted) const {
  return WithinAMinute([&] { return (Mounts().count("mnt") != 0) == mounted; });
}

std::set<std::string> ProgramScene::Listing() const {
  std::set<std::string> listing;
  const std::set<std::string> mounts = Mounts();
  for (auto it = std::filesystem::recursive_directory_iterator(path()); it != end(it); ++it) {
    const std::string name = it->path().lexically_relative(path());
    if (mounts.count(name) != 0) {
      it.disable_recursion_pending();
      continue;
    }
    struct stat st;
    if (lstat(it->path().c_str(), &st) != 0) continue;
    listing.insert(absl::StrCat(name, " ", absl::Hex(st.st_mode), " ", S_ISREG(st.st_mode) ? st.st_size : 0));
  }
  return listing;
}

}  // namespace acetate::fusefs
