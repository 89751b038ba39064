// The daemon in each of the ways in which requests can reach it (--io): several clients at once, a branch that does not
// answer, and the end.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <fstream>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "common/temp_dir.h"
#include "fusefs/libfuse.h"
#include "tests/fixture/mounted_union.h"

namespace acetate {
namespace {

constexpr char kParameter[] = "/sys/module/fuse/parameters/enable_uring";

// A child that runs `run` and exits with what it returns.
class Child {
 public:
  template <typename Run>
  explicit Child(const Run& run) : pid_(fork()) {
    if (pid_ == 0) _exit(run());
  }
  ~Child() {
    if (pid_ <= 0) return;
    kill(pid_, SIGKILL);
    Wait();
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  int Wait() {
    int status = -1;
    while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }
  // Whether it ends within a minute, with status 0.
  bool EndsWell() {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes(1);
    int status = -1;
    while (waitpid(pid_, &status, WNOHANG) == 0) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    pid_ = -1;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
  }

 private:
  pid_t pid_;
};

// A filesystem with one file, `slow`, whose contents never come.
namespace slow {

constexpr fuse_ino_t kFile = 2;

struct stat AttrOf(fuse_ino_t node) {
  struct stat st = {};
  st.st_ino = node;
  st.st_mode = node == FUSE_ROOT_ID ? S_IFDIR | 0755 : S_IFREG | 0644;
  st.st_nlink = 1;
  st.st_size = 4096;
  return st;
}

void Lookup(fuse_req_t req, fuse_ino_t, const char* name) {
  fuse_entry_param entry = {};
  if (strcmp(name, "slow") == 0) {
    entry.ino = kFile;
    entry.attr = AttrOf(kFile);
  }
  fuse_reply_entry(req, &entry);
}

void GetAttr(fuse_req_t req, fuse_ino_t node, fuse_file_info*) {
  const struct stat st = AttrOf(node);
  fuse_reply_attr(req, &st, 0);
}

void ReadDir(fuse_req_t req, fuse_ino_t, size_t size, off_t offset, fuse_file_info*) {
  std::vector<char> buffer(size);
  size_t used = 0;
  if (offset == 0) {
    const struct stat st = AttrOf(kFile);
    used = fuse_add_direntry(req, buffer.data(), size, "slow", &st, 1);
  }
  fuse_reply_buf(req, buffer.data(), used);
}

void Open(fuse_req_t req, fuse_ino_t, fuse_file_info* info) { fuse_reply_open(req, info); }

void Read(fuse_req_t, fuse_ino_t, size_t, off_t, fuse_file_info*) {}

int Serve(const std::string& mountpoint) {
  fuse_lowlevel_ops ops = {};
  ops.lookup = Lookup;
  ops.getattr = GetAttr;
  ops.open = Open;
  ops.read = Read;
  ops.readdir = ReadDir;
  char name[] = "slow";
  char* argv[] = {name, nullptr};
  fuse_args args = FUSE_ARGS_INIT(1, argv);
  fuse_session* session = fuse_session_new(&args, &ops, sizeof(ops), nullptr);
  if (session == nullptr || fuse_session_mount(session, mountpoint.c_str()) != 0) return 1;
  return fuse_session_loop(session);
}

}  // namespace slow

// The parameter is the machine's: it is put back.
class PermitUring {
 public:
  PermitUring() {
    std::ifstream(kParameter) >> before_;
    if (before_ == "N") std::ofstream(kParameter) << "Y";
    std::string now;
    std::ifstream(kParameter) >> now;
    permitted_ = now == "Y";
  }
  ~PermitUring() {
    if (before_ == "N") std::ofstream(kParameter) << "N";
  }
  bool permitted() const { return permitted_; }

 private:
  std::string before_;
  bool permitted_ = false;
};

class IoTest : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs root, to mount filesystems";
    EnterPrivateMountNamespace();
    if (GetParam() != std::string("uring")) return;
    if (!ACETATE_LIBFUSE_HAS_URING) GTEST_SKIP() << "libfuse is older than 3.18, and has no io_uring";
    permit_ = std::make_unique<PermitUring>();
    if (!permit_->permitted()) GTEST_SKIP() << "FUSE's io_uring cannot be permitted here: " << kParameter;
  }

  UnionOptions Options() {
    UnionOptions options = MakeUnionDirs(dir_.path(), 1);
    options.arguments.push_back(std::string("--io=") + GetParam());
    return options;
  }

  const TempDir dir_;
  std::unique_ptr<PermitUring> permit_;
};

INSTANTIATE_TEST_SUITE_P(By, IoTest, testing::Values("auto", "threads", "uring"),
                         [](const auto& info) { return std::string(info.param); });

// Makes files and directories, reads, renames and removes them. Returns 0, or the number of the step that went wrong.
int LiveIn(const std::string& home) {
  if (mkdir(home.c_str(), 0755) != 0) return 1;
  for (int round = 0; round < 60; ++round) {
    const std::string name = home + "/file" + std::to_string(round);
    const std::string contents(static_cast<size_t>(1 + round * 997), static_cast<char>('a' + round % 26));
    WriteFile(name, contents);
    struct stat st;
    if (stat(name.c_str(), &st) != 0 || st.st_size != static_cast<off_t>(contents.size())) return 2;
    if (stat((name + ".missing").c_str(), &st) == 0 || errno != ENOENT) return 3;
    if (rename(name.c_str(), (name + ".new").c_str()) != 0) return 4;
    if (ReadFile(name + ".new") != contents) return 5;
    if (round % 2 == 0 && unlink((name + ".new").c_str()) != 0) return 6;
    if (mkdir((name + ".dir").c_str(), 0755) != 0 || rmdir((name + ".dir").c_str()) != 0) return 7;
  }
  return 0;
}

TEST_P(IoTest, ClientsWorkAtTheSameTime) {
  UnionOptions options = Options();
  WriteFile(options.lowers[0] + "/below", std::string(300000, 'b'));
  MountedUnion mounted(options);
  {
    std::vector<std::unique_ptr<Child>> clients;
    for (int i = 0; i < 6; ++i) {
      clients.push_back(std::make_unique<Child>([&] { return LiveIn(mounted / ("home" + std::to_string(i))); }));
    }
    // They all change one file of the lower layer, too.
    for (int i = 0; i < 4; ++i) {
      clients.push_back(std::make_unique<Child>([&] {
        const int fd = open((mounted / "below").c_str(), O_RDWR | O_CLOEXEC);
        const char byte = static_cast<char>('0' + i);
        for (int at = 0; at < 200; ++at) {
          if (pwrite(fd, &byte, 1, i * 1000 + at) != 1) return 1;
        }
        return 0;
      }));
    }
    for (const auto& client : clients) EXPECT_EQ(client->Wait(), 0) << mounted.Log();
  }
  std::string expected(300000, 'b');
  for (size_t i = 0; i < 4; ++i) expected.replace(i * 1000, 200, 200, static_cast<char>('0' + i));
  EXPECT_EQ(mounted.Unmount(), 0) << mounted.Log();
  EXPECT_EQ(ReadFile(options.upper + "/below"), expected);
  for (int i = 0; i < 6; ++i) {
    const std::string home = options.upper + "/home" + std::to_string(i);
    EXPECT_EQ(ReadFile(home + "/file1.new").size(), 1U + 997);
    EXPECT_NE(access((home + "/file2.new").c_str(), F_OK), 0);
  }
}

void PinTo(int cpu) {
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(cpu, &one);
  sched_setaffinity(0, sizeof(one), &one);
}

TEST_P(IoTest, ABranchThatDoesNotAnswerHoldsUpNobodyElse) {
  if (sysconf(_SC_NPROCESSORS_ONLN) < 2) GTEST_SKIP() << "needs two CPUs";
  UnionOptions options = Options();
  WriteFile(options.lowers[0] + "/quick", "q");
  const std::string branch = dir_ / "slow";
  MakeDirs(branch);
  struct stat before, now;
  ASSERT_EQ(stat(branch.c_str(), &before), 0);
  Child server([&] { return slow::Serve(branch); });
  do {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    ASSERT_EQ(stat(branch.c_str(), &now), 0);
  } while (now.st_dev == before.st_dev);
  options.lowers.push_back(branch);
  {
    MountedUnion mounted(options);
    // With io_uring each CPU has its own thread: who comes from another one is served.
    Child reader([&] {
      PinTo(0);
      const int fd = open((mounted / "slow").c_str(), O_RDONLY | O_CLOEXEC);
      char byte;
      return read(fd, &byte, 1) < 0 ? 0 : 1;
    });
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    Child others([&] {
      PinTo(1);
      struct stat st;
      for (int i = 0; i < 10000; ++i) {
        if (stat((mounted / ("missing" + std::to_string(i))).c_str(), &st) == 0) return 1;
      }
      return ReadFile(mounted / "quick") == "q" ? 0 : 2;
    });
    EXPECT_TRUE(others.EndsWell()) << mounted.Log();
    umount2(branch.c_str(), MNT_FORCE | MNT_DETACH);  // the read fails now
    EXPECT_EQ(reader.Wait(), 0);
    EXPECT_EQ(mounted.Unmount(), 0) << mounted.Log();
  }
}

// exec closes files, which writes what is cached of them; until that is answered, nobody can look at the process in
// /proc.
TEST_P(IoTest, WhatExecWritesIsAnswered) {
  UnionOptions options = Options();
  options.mount_options.push_back("writeback");
  MountedUnion mounted(options);
  const std::string file = mounted / "file";
  WriteFile(file, "x");
  for (int i = 0; i < 40; ++i) {
    Child client([&] {
      struct stat st;
      for (int missing = 0; missing < i % 8; ++missing) {
        if (stat((mounted / (std::to_string(i) + "." + std::to_string(missing))).c_str(), &st) == 0) return 1;
      }
      const int fd = open(file.c_str(), O_WRONLY | O_CLOEXEC);
      if (pwrite(fd, "y", 1, i * 4096) != 1) return 2;
      execl("/bin/true", "true", static_cast<char*>(nullptr));
      return 3;
    });
    const bool ended = client.EndsWell();
    EXPECT_TRUE(ended) << mounted.Log();
    if (ended) continue;
    umount2(options.mountpoint.c_str(), MNT_FORCE | MNT_DETACH);  // or it could not even be killed
    return;
  }
  EXPECT_EQ(mounted.Unmount(), 0) << mounted.Log();
}

TEST_P(IoTest, UnmountEndsIt) {
  for (int i = 0; i < 5; ++i) {
    MountedUnion mounted(Options());
    if (i % 2 != 0) WriteFile(mounted / "file", "x");
    EXPECT_EQ(mounted.Unmount(), 0) << mounted.Log();
  }
}

TEST_P(IoTest, ASignalEndsIt) {
  for (int i = 0; i < 5; ++i) {
    MountedUnion mounted(Options());
    WriteFile(mounted / "file", "x");
    // While it is busy, or has slept for a while.
    if (i % 2 != 0) std::this_thread::sleep_for(std::chrono::milliseconds(300));
    kill(mounted.pid(), SIGTERM);
    EXPECT_EQ(mounted.Unmount(), 0) << mounted.Log();
  }
}

}  // namespace
}  // namespace acetate
