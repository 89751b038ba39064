#include "launcher/launch_fixture.h"

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pty.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

#include <algorithm>
#include <filesystem>
#include <sstream>
#include <stdexcept>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/temp_dir.h"
#include "launcher/arguments.h"
#include "launcher/files.h"

namespace acetate::launcher {
namespace {

namespace fs = std::filesystem;

constexpr char kBusybox[] = "/usr/bin/busybox";
constexpr uid_t kLoneId = 61234;

void Check(bool good, const std::string& what) {
  if (!good) throw std::runtime_error(absl::StrCat(what, ": ", strerrordesc_np(errno)));
}

UniqueFd Pipe(UniqueFd* writing) {
  int ends[2];
  Check(pipe2(ends, O_CLOEXEC) == 0, "pipe");
  writing->Reset(ends[1]);
  return UniqueFd(ends[0]);
}

}  // namespace

std::string NameOf(Who who) {
  switch (who) {
    case Who::kRoot:
      return "Root";
    case Who::kPlain:
      return "Plain";
    case Who::kLone:
      return "Lone";
  }
  return "";
}

std::ostream& operator<<(std::ostream& stream, const Result& result) {
  return stream << "status " << result.status << "\nstdout: " << result.out << "\nstderr: " << result.err;
}

LaunchFixture::LaunchFixture(Who who) {
  if (geteuid() != 0) throw std::runtime_error("run as root, who can become the users that these tests need");
  if (who == Who::kPlain) {
    const passwd* user = getpwnam("acetate");
    if (user == nullptr) throw std::runtime_error("there is no user acetate: run tests/setup.sh");
    uid_ = user->pw_uid;
    gid_ = user->pw_gid;
  } else if (who == Who::kLone) {
    uid_ = gid_ = kLoneId;
  }
  // Not TEST_TMPDIR, which only root can reach.
  path_ = "/tmp/acetate-launch-XXXXXX";
  Check(mkdtemp(path_.data()) != nullptr, path_);
  Own(path_);
  for (const char* program : {"launcher/launch", "fusefs/fusefs"}) {
    fs::copy_file(fs::canonical(program), path_ + "/" + fs::path(program).filename().string());
  }
  for (const char* name : {"data", "run"}) MakeDirectory(name);
  Check(chmod((path_ + "/run").c_str(), 0700) == 0, "chmod");
  MakeImage();
  environment_ = {{"PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"},
                  {"HOME", path_},
                  {"XDG_DATA_HOME", path_ + "/data"},
                  {"XDG_RUNTIME_DIR", path_ + "/run"}};
}

LaunchFixture::~LaunchFixture() {
  std::error_code ignored;
  // What a test that failed left running, lives on otherwise.
  if (!fs::is_empty(store() + "/running", ignored) && !ignored) {
    try {
      std::vector<std::string> words = {"rm", "-f"};
      for (const auto& entry : fs::directory_iterator(store() + "/containers"))
        words.push_back(entry.path().filename());
      if (words.size() > 2) Launch(words);
    } catch (const std::exception&) {  // the test has failed already
    }
  }
  fs::remove_all(path_, ignored);
}

// A base with BusyBox and what a Debian root has of directories, and a layer above that changes a file.
void LaunchFixture::MakeImage() {
  if (!fs::exists(kBusybox)) throw std::runtime_error("busybox-static is not installed: run tests/setup.sh");
  for (const char* name : {"bin", "dev", "etc", "proc", "root", "sys", "tmp"}) {
    MakeDirectory(absl::StrCat("image/base/", name));
  }
  fs::copy_file(kBusybox, path_ + "/image/base/bin/busybox");
  for (const char* applet : {"cat", "dd",    "echo",  "env",  "grep", "head",  "hostname", "id", "ip",  "kill",
                             "ls",  "mkdir", "mount", "od",   "ps",   "pwd",   "readlink", "rm", "seq", "stty",
                             "tty", "sh",    "sleep", "sort", "stat", "touch", "true",     "wc"}) {
    fs::create_symlink("busybox", absl::StrCat(path_, "/image/base/bin/", applet));
  }
  Write("image/base/etc/hostname", "image\n");
  Write("image/base/etc/motd", "base\n");
  Write("image/base/etc/passwd",
        "root:x:0:0:root:/root:/bin/sh\nwww:x:33:34:www:/var/www:/bin/sh\nnohome:x:44:44:::\n");
  Write("image/base/etc/group", "root:x:0:\nwww:x:34:\nextra:x:50:www,other\nstaff:x:60:www\n");
  Write("image/top:layer/etc/motd", "top\n");
  Write("image/layers.list", "# base first\nbase\ntop:layer\n");
  for (const auto& entry : fs::recursive_directory_iterator(path_ + "/image")) Own(entry.path());
}

void LaunchFixture::Own(const std::string& path) const {
  Check(lchown(path.c_str(), uid_, gid_) == 0, absl::StrCat("chown ", path));
}

void LaunchFixture::MakeDirectory(const std::string& name) {
  for (size_t end = name.find('/');; end = name.find('/', end + 1)) {
    std::string path = path_ + "/" + name.substr(0, end);
    if (mkdir(path.c_str(), 0755) == 0) Own(path);
    if (end == std::string::npos) return;
  }
}

void LaunchFixture::Write(const std::string& name, const std::string& contents, unsigned mode) {
  size_t slash = name.rfind('/');
  if (slash != std::string::npos) MakeDirectory(name.substr(0, slash));
  WriteFile(path_ + "/" + name, contents, mode);
  Own(path_ + "/" + name);
}

std::vector<std::string> LaunchFixture::WithProgram(const std::vector<std::string>& words) const {
  std::vector<std::string> all = {path_ + "/launch"};
  all.insert(all.end(), words.begin(), words.end());
  return all;
}

Result LaunchFixture::Run(const std::vector<std::string>& flags, const std::vector<std::string>& command) {
  std::vector<std::string> words = {"--image", image()};
  words.insert(words.end(), flags.begin(), flags.end());
  words.push_back("--");
  words.insert(words.end(), command.begin(), command.end());
  return Launch(words);
}

Result LaunchFixture::Shell(const std::vector<std::string>& flags, const std::string& script) {
  return Run(flags, {"sh", "-c", script});
}

Running LaunchFixture::Start(const std::vector<std::string>& words) {
  std::vector<std::string> settings = Settings();
  std::vector<char*> argv = ArgumentPointers(words);
  std::vector<char*> envp = ArgumentPointers(settings);

  Running running;
  UniqueFd out, err;
  running.out = Pipe(&out);
  running.err = Pipe(&err);
  UniqueFd null(open("/dev/null", O_RDWR | O_CLOEXEC));
  running.pid = fork();
  Check(running.pid >= 0, "fork");
  if (running.pid == 0) {
    dup2(null.get(), 0);
    dup2(out.get(), 1);
    dup2(err.get(), 2);
    Become(argv.data(), envp.data());
  }
  return running;
}

pid_t LaunchFixture::StartOnTerminal(const std::vector<std::string>& words, int rows, int columns, UniqueFd* master) {
  std::vector<std::string> settings = Settings();
  std::vector<char*> argv = ArgumentPointers(words);
  std::vector<char*> envp = ArgumentPointers(settings);
  winsize size = {static_cast<unsigned short>(rows), static_cast<unsigned short>(columns), 0, 0};
  int fd;
  pid_t pid = forkpty(&fd, nullptr, nullptr, &size);
  Check(pid >= 0, "forkpty");
  if (pid == 0) Become(argv.data(), envp.data());
  master->Reset(fd);
  Check(fcntl(fd, F_SETFD, FD_CLOEXEC) == 0 && fcntl(fd, F_SETFL, O_NONBLOCK) == 0, "fcntl");
  return pid;
}

std::vector<std::string> LaunchFixture::Settings() const {
  std::vector<std::string> settings;
  settings.reserve(environment_.size());
  for (const auto& [name, value] : environment_) settings.push_back(absl::StrCat(name, "=", value));
  return settings;
}

void LaunchFixture::Become(char* const* argv, char* const* envp) const {
  // A terminal belongs to who uses it; of other streams the attempt changes nothing.
  if (isatty(0) == 1 && fchown(0, uid_, static_cast<gid_t>(-1)) != 0) _exit(98);
  bool became = setgroups(0, nullptr) == 0 && setresgid(gid_, gid_, gid_) == 0 && setresuid(uid_, uid_, uid_) == 0;
  // A test that dies takes what it started along. (Becoming another user clears the request.)
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (became && chdir("/") == 0) execvpe(argv[0], argv, envp);
  _exit(99);
}

Result LaunchFixture::Wait(Running running) {
  Result result;
  pollfd fds[2] = {{running.out.get(), POLLIN, 0}, {running.err.get(), POLLIN, 0}};
  std::string* texts[2] = {&result.out, &result.err};
  while (fds[0].fd >= 0 || fds[1].fd >= 0) {
    if (poll(fds, 2, 120000) <= 0) {
      kill(running.pid, SIGKILL);
      result.err += "\n(the test gave up waiting)";
      break;
    }
    for (int i = 0; i < 2; ++i) {
      if (fds[i].revents == 0) continue;
      char buffer[4096];
      ssize_t n = read(fds[i].fd, buffer, sizeof(buffer));
      if (n > 0) texts[i]->append(buffer, static_cast<size_t>(n));
      if (n <= 0) fds[i].fd = -1;
    }
  }
  int status;
  Check(waitpid(running.pid, &status, 0) == running.pid, "wait");
  result.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return result;
}

std::string LaunchFixture::Describe(const std::string& directory) {
  std::vector<std::string> lines;
  if (!fs::exists(directory)) return "(absent)";
  for (const auto& entry : fs::recursive_directory_iterator(directory)) {
    struct stat st;
    Check(lstat(entry.path().c_str(), &st) == 0, entry.path());
    std::string line = entry.path().lexically_relative(directory);
    absl::StrAppend(&line, " mode ", st.st_mode, " owner ", st.st_uid, ":", st.st_gid);
    if (S_ISREG(st.st_mode)) {
      absl::StrAppend(&line, " size ", st.st_size, " mtime ", st.st_mtim.tv_sec, ".", st.st_mtim.tv_nsec, " hash ",
                      std::hash<std::string>()(ReadFile(entry.path())));
    }
    if (S_ISCHR(st.st_mode)) absl::StrAppend(&line, " device ", major(st.st_rdev), ":", minor(st.st_rdev));
    if (S_ISLNK(st.st_mode)) absl::StrAppend(&line, " -> ", fs::read_symlink(entry.path()).string());
    lines.push_back(line);
  }
  std::sort(lines.begin(), lines.end());
  std::ostringstream text;
  for (const std::string& line : lines) text << line << "\n";
  return text.str();
}

std::string LaunchFixture::OnlyContainer() const {
  std::vector<std::string> found;
  for (const auto& entry : fs::directory_iterator(store() + "/containers")) found.push_back(entry.path());
  if (found.size() != 1) throw std::runtime_error(absl::StrCat(found.size(), " containers are kept"));
  return found[0];
}

std::vector<pid_t> ChildrenOf(pid_t pid) {
  std::vector<pid_t> children;
  std::string text = ReadFileOrEmpty(absl::StrCat("/proc/", pid, "/task/", pid, "/children"));
  for (absl::string_view word : absl::StrSplit(text, ' ', absl::SkipWhitespace())) {
    int child;
    if (absl::SimpleAtoi(word, &child)) children.push_back(child);
  }
  return children;
}

std::string ProgramOf(pid_t pid) {
  std::string text = ReadFileOrEmpty(absl::StrCat("/proc/", pid, "/comm"));
  return text.substr(0, text.find('\n'));
}

std::vector<std::string> CgroupsOf(const std::string& short_id) {
  std::vector<std::string> found;
  std::error_code ignored;
  for (auto it = fs::recursive_directory_iterator("/sys/fs/cgroup", ignored); it != fs::end(it);
       it.increment(ignored)) {
    const std::string name = it->path().filename();
    if (name.starts_with("acetate-" + short_id)) found.push_back(it->path());
  }
  return found;
}

}  // namespace acetate::launcher
