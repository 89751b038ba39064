// What one request costs, by who reads it: clients look up names that are missing and that the kernel may not remember,
// in mounts whose handler answers at once. Each mount is served another way; the rounds take turns, so that what else
// the machine does meets all alike.
//
//     round_trip [ROUNDS [MILLISECONDS]]
//
// As root, on a quiet machine. Each line: microseconds per lookup of all clients together, the median of the rounds,
// and how that compares with libfuse's multi-threaded loop. Before them, what no daemon can go below: the time that a
// byte takes to another process and back.
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <new>
#include <string>
#include <thread>
#include <vector>

#include "common/temp_dir.h"
#include "fusefs/libfuse.h"
#include "fusefs/session_loop.h"

namespace acetate {
namespace {

using Clock = std::chrono::steady_clock;

constexpr double kForEver = 1e9;

struct stat Directory(fuse_ino_t node) {
  struct stat st = {};
  st.st_ino = node;
  st.st_mode = S_IFDIR | 0755;
  st.st_nlink = 2;
  return st;
}

// Each client has a directory of its own, named by one digit.
void Lookup(fuse_req_t req, fuse_ino_t parent, const char* name) {
  if (parent != FUSE_ROOT_ID || name[0] < '0' || name[0] > '9') {
    fuse_reply_err(req, ENOENT);
    return;
  }
  fuse_entry_param entry = {};
  entry.ino = static_cast<fuse_ino_t>(2 + name[0] - '0');
  entry.attr = Directory(entry.ino);
  entry.attr_timeout = kForEver;
  entry.entry_timeout = kForEver;
  fuse_reply_entry(req, &entry);
}

void GetAttr(fuse_req_t req, fuse_ino_t node, fuse_file_info*) {
  const struct stat st = Directory(node);
  fuse_reply_attr(req, &st, kForEver);
}

enum class Loop { kLibfuseThreads, kLibfuseOne, kThreads, kUring };

const char* NameOf(Loop loop) {
  switch (loop) {
    case Loop::kLibfuseThreads:
      return "loop_mt";
    case Loop::kLibfuseOne:
      return "loop";
    case Loop::kThreads:
      return "threads";
    case Loop::kUring:
      return "uring";
  }
  return "";
}

// Serves a mount until it is unmounted.
int Serve(Loop loop, const std::string& mountpoint) {
  fuse_lowlevel_ops ops = {};
  ops.lookup = Lookup;
  ops.getattr = GetAttr;
  std::vector<std::string> strings = {"round_trip", "-ofsname=round_trip"};
  if (loop == Loop::kUring) strings.push_back("-oio_uring");
  std::vector<char*> argv;
  for (std::string& argument : strings) argv.push_back(argument.data());
  fuse_args args = FUSE_ARGS_INIT(static_cast<int>(argv.size()), argv.data());
  fuse_session* session = fuse_session_new(&args, &ops, sizeof(ops), nullptr);
  if (session == nullptr || fuse_session_mount(session, mountpoint.c_str()) != 0) return 1;
  switch (loop) {
    case Loop::kLibfuseThreads: {
      fuse_loop_config* config = fuse_loop_cfg_create();
      return fuse_session_loop_mt(session, config);
    }
    case Loop::kLibfuseOne:
      return fuse_session_loop(session);
    case Loop::kThreads:
      return fusefs::RunLoop(session, /*uring=*/false);
    case Loop::kUring:
      return fusefs::RunLoop(session, /*uring=*/true);
  }
  return 1;
}

template <typename Run>
pid_t Fork(const Run& run) {
  const pid_t pid = fork();
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    _exit(run());
  }
  return pid;
}

struct Mount {
  Loop loop;
  std::string path;
  pid_t server;
};

Mount Start(Loop loop, const std::string& path) {
  mkdir(path.c_str(), 0755);
  struct stat before, now;
  stat(path.c_str(), &before);
  const pid_t server = Fork([&] { return Serve(loop, path); });
  const auto deadline = Clock::now() + std::chrono::seconds(10);
  do {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  } while ((stat(path.c_str(), &now) != 0 || now.st_dev == before.st_dev) && Clock::now() < deadline);
  return {loop, path, server};
}

struct Setting {
  int clients;
  int busy;  // loops beside them
};

// Microseconds per lookup.
double Measure(const Mount& mount, const Setting& setting, std::chrono::milliseconds time) {
  void* memory = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  auto* lookups = new (memory) std::atomic<long>(0);
  auto* counting = new (static_cast<char*>(memory) + 128) std::atomic<int>(0);
  std::vector<pid_t> busy, clients;
  for (int i = 0; i < setting.busy; ++i) {
    busy.push_back(Fork([]() -> int {
      for (std::atomic<unsigned> n = 0;; n.store(1, std::memory_order_relaxed)) {
      }
    }));
  }
  for (int i = 0; i < setting.clients; ++i) {
    clients.push_back(Fork([&]() -> int {
      const std::string name = mount.path + "/" + std::to_string(i) + "/missing";
      struct stat st;
      long own = 0;
      while (counting->load() != 2) {
        stat(name.c_str(), &st);
        if (counting->load() == 1) ++own;
      }
      lookups->fetch_add(own);
      return 0;
    }));
  }
  // What adapts has time to.
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  const auto begin = Clock::now();
  counting->store(1);
  std::this_thread::sleep_for(time);
  counting->store(2);
  const double us = std::chrono::duration<double, std::micro>(Clock::now() - begin).count();
  for (pid_t pid : clients) waitpid(pid, nullptr, 0);
  for (pid_t pid : busy) {
    kill(pid, SIGKILL);
    waitpid(pid, nullptr, 0);
  }
  const double result = us / static_cast<double>(std::max(lookups->load(), 1L));
  munmap(memory, 4096);
  return result;
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

void PinTo(int cpu) {
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(cpu, &one);
  sched_setaffinity(0, sizeof(one), &one);
}

// Microseconds for a byte through a pipe to a process on `cpu`, and for its answer.
double MeasurePipe(int own_cpu, int cpu, std::chrono::milliseconds time) {
  int there[2], back[2];
  if (pipe(there) != 0 || pipe(back) != 0) return 0;
  char byte = 0;
  const pid_t echo = Fork([&]() -> int {
    PinTo(cpu);
    while (read(there[0], &byte, 1) == 1 && write(back[1], &byte, 1) == 1) {
    }
    return 0;
  });
  cpu_set_t before;
  sched_getaffinity(0, sizeof(before), &before);
  PinTo(own_cpu);
  long trips = 0;
  const auto begin = Clock::now();
  for (; Clock::now() - begin < time; ++trips) {
    if (write(there[1], &byte, 1) != 1 || read(back[0], &byte, 1) != 1) break;
  }
  const double us = std::chrono::duration<double, std::micro>(Clock::now() - begin).count();
  sched_setaffinity(0, sizeof(before), &before);
  kill(echo, SIGKILL);
  waitpid(echo, nullptr, 0);
  for (int fd : {there[0], there[1], back[0], back[1]}) close(fd);
  return us / static_cast<double>(std::max(trips, 1L));
}

void PrintFloor(int rounds, std::chrono::milliseconds time) {
  const int cpu = sched_getcpu();
  const int other = (cpu + 1) % static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN));
  std::vector<double> same, across;
  for (int round = 0; round < rounds; ++round) {
    same.push_back(MeasurePipe(cpu, cpu, time));
    across.push_back(MeasurePipe(cpu, other, time));
  }
  printf("a byte through a pipe and back: %.1f us on one CPU, %.1f us to another\n", Median(same), Median(across));
}

int Main(int argc, char** argv) {
  const int rounds = argc > 1 ? atoi(argv[1]) : 5;
  const std::chrono::milliseconds time(argc > 2 ? atoi(argv[2]) : 300);
  // Killed, it leaves no mounts.
  if (unshare(CLONE_NEWNS) != 0 || mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
    perror("round_trip: a mount namespace of its own (as root?)");
    return 1;
  }
  const TempDir temp;
  std::vector<Loop> loops = {Loop::kLibfuseThreads, Loop::kLibfuseOne, Loop::kThreads};
  if (fusefs::LookForUring().kernel_permits) {
    loops.push_back(Loop::kUring);
  } else {
    printf("no uring: /sys/module/fuse/parameters/enable_uring is not Y\n");
  }
  PrintFloor(rounds, time);
  std::vector<Mount> mounts;
  for (Loop loop : loops) mounts.push_back(Start(loop, temp.path() + "/" + NameOf(loop)));
  for (const Setting& setting : {Setting{1, 0}, {2, 0}, {4, 0}, {1, 1}, {1, 2}, {4, 2}}) {
    std::map<Loop, std::vector<double>> results;
    for (int round = 0; round < rounds; ++round) {
      for (const Mount& mount : mounts) results[mount.loop].push_back(Measure(mount, setting, time));
    }
    printf("%d clients, %d busy loops\n", setting.clients, setting.busy);
    const double base = Median(results[Loop::kLibfuseThreads]);
    for (const auto& [loop, values] : results) {
      const double median = Median(values);
      const auto [least, most] = std::minmax_element(values.begin(), values.end());
      printf("  %-8s %7.1f us (%.1f to %.1f)  %.2f of loop_mt\n", NameOf(loop), median, *least, *most, median / base);
    }
    fflush(stdout);
  }
  for (const Mount& mount : mounts) {
    umount2(mount.path.c_str(), MNT_DETACH);
    waitpid(mount.server, nullptr, 0);
  }
  return 0;
}

}  // namespace
}  // namespace acetate

int main(int argc, char** argv) { return acetate::Main(argc, argv); }
