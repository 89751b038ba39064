// A hostile program for tests, run inside a container. Usage: attacker ATTACK [ARGUMENT...]
//
// Each attack prints what it got: a line for each try, with the name of the error that stopped it or "done". Nothing it
// does is of use to anybody but a test; it is linked statically, so that it runs in any image.
#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/keyctl.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <set>
#include <string>

namespace {

void Tell(const std::string& what, bool done) {
  printf("%s: %s\n", what.c_str(), done ? "done" : strerrorname_np(errno));
  fflush(stdout);
}

// ---- the ways into the kernel

struct Call {
  const char* name;
  long number;
  int number32;  // of i386
  long a, b, c;
};

// Calls that answer differently where nothing stops them: each is given arguments that are wrong in themselves.
const Call kCalls[] = {
    {"add_key", SYS_add_key, 286, 0, 0, 0},
    {"keyctl", SYS_keyctl, 288, KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 0},
    {"request_key", SYS_request_key, 287, 0, 0, 0},
    {"io_uring_setup", SYS_io_uring_setup, 425, 1, 0, 0},
    {"userfaultfd", SYS_userfaultfd, 374, 1 /* UFFD_USER_MODE_ONLY */, 0, 0},
    {"kcmp", SYS_kcmp, 349, 0, 0, 99},
    {"process_vm_readv", SYS_process_vm_readv, 347, 0, 0, 0},
    {"pidfd_getfd", SYS_pidfd_getfd, 438, -1, 0, 0},
    {"unshare", SYS_unshare, 310, 0, 0, 0},
    {"setns", SYS_setns, 346, -1, 0, 0},
    {"open_tree", SYS_open_tree, 428, -1, 0, 0},
    {"fsopen", SYS_fsopen, 430, 0, 0, 0},
    {"open_by_handle_at", SYS_open_by_handle_at, 342, -1, 0, 0},
    {"perf_event_open", SYS_perf_event_open, 336, 0, 0, 0},
};

#if defined(__x86_64__)
long ThirtyTwoBitCall(const Call& call) {
  long result;
  asm volatile("int $0x80"
               : "=a"(result)
               : "0"(static_cast<long>(call.number32)), "b"(call.a), "c"(call.b), "d"(call.c)
               : "memory", "r8", "r9", "r10", "r11");
  return result;
}
#endif

void Calls() {
  for (const Call& call : kCalls) Tell(call.name, syscall(call.number, call.a, call.b, call.c, 0L, 0L, 0L) >= 0);
}

// Makes each call in a child, which may be killed for it.
template <typename Make>
void EachInAChild(const Make& make) {
  for (const Call& call : kCalls) {
    const pid_t child = fork();
    if (child == 0) {
      Tell(call.name, make(call));
      _exit(0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    if (WIFSIGNALED(status)) printf("%s: %s\n", call.name, sigabbrev_np(WTERMSIG(status)));
  }
}

// The same through the door for 32-bit programs; a kernel without it raises SIGSEGV.
void Calls32() {
#if defined(__x86_64__)
  EachInAChild([](const Call& call) {
    const long result = ThirtyTwoBitCall(call);
    errno = static_cast<int>(-result);
    return result >= 0;
  });
#endif
}

// The same by the numbers of the x32 ABI.
void CallsX32() {
  constexpr long kX32 = 0x40000000;
  EachInAChild([](const Call& call) { return syscall(kX32 | call.number, call.a, call.b, call.c, 0L, 0L, 0L) >= 0; });
}

// Puts a character into the terminal that is stdin, by each spelling of the request.
void Type() {
  char byte = 'x';
  constexpr uint64_t kHigh = uint64_t{1} << 32;
  Tell("TIOCSTI", syscall(SYS_ioctl, 0L, uint64_t{TIOCSTI}, &byte) == 0);
  Tell("TIOCSTI with high bits", syscall(SYS_ioctl, 0L, uint64_t{TIOCSTI} | kHigh, &byte) == 0);
  Tell("TIOCSTI with all high bits", syscall(SYS_ioctl, 0L, uint64_t{TIOCSTI} | ~uint64_t{0xffffffff}, &byte) == 0);
  byte = 2;  // paste the selection
  Tell("TIOCLINUX", syscall(SYS_ioctl, 0L, uint64_t{TIOCLINUX}, &byte) == 0);
  Tell("TIOCLINUX with high bits", syscall(SYS_ioctl, 0L, uint64_t{TIOCLINUX} | kHigh, &byte) == 0);
  Tell("TIOCSCTTY", ioctl(0, TIOCSCTTY, 1) == 0);
}

void FindKey(const char* name) {
  Tell("key", syscall(SYS_keyctl, KEYCTL_SEARCH, KEY_SPEC_SESSION_KEYRING, "user", name, 0L) > 0);
}

// ---- files

// Writes nothing, but that, to all that is below a directory, and says what took it; not to what belongs to single
// processes. Root may open what nobody can write to.
void WriteAllBelow(const std::string& path, int depth) {
  DIR* dir = opendir(path.c_str());
  if (dir == nullptr) return;
  while (const dirent* entry = readdir(dir)) {
    const std::string name = entry->d_name;
    std::string child = path;
    child.append("/").append(name);
    const bool is_process = path == "/proc" && (strspn(name.c_str(), "0123456789") == name.size() || name == "self" ||
                                                name == "thread-self");
    if (name == "." || name == ".." || is_process) continue;
    struct stat st;
    if (lstat(child.c_str(), &st) != 0) continue;
    if (S_ISDIR(st.st_mode) && depth > 0) WriteAllBelow(child, depth - 1);
    if (!S_ISREG(st.st_mode)) continue;
    const int fd = open(child.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd >= 0 && write(fd, "", 0) >= 0) printf("wrote %s\n", child.c_str());
    if (fd >= 0) close(fd);
  }
  closedir(dir);
}

void MakeNodes(const std::string& directory) {
  const struct {
    const char* name;
    mode_t type;
    dev_t device;
  } kNodes[] = {{"mem", S_IFCHR, makedev(1, 1)},
                {"fuse", S_IFCHR, makedev(10, 229)},
                {"kmsg", S_IFCHR, makedev(1, 11)},
                {"disk", S_IFBLK, makedev(254, 0)}};
  for (const auto& node : kNodes) {
    const std::string path = directory + "/" + node.name;
    Tell("mknod " + path, mknod(path.c_str(), node.type | 0666, node.device) == 0);
  }
}

// The old way out of a chroot: one within it while the working directory is outside, then up.
void LeaveByChroot() {
  const bool moved = (mkdir("/tmp/inner", 0755) == 0 || errno == EEXIST) && chroot("/tmp/inner") == 0;
  for (int i = 0; moved && i < 64; ++i) {
    if (chdir("..") != 0) break;
  }
  Tell("chroot", moved && chroot(".") == 0);
  DIR* dir = opendir("/");
  while (const dirent* entry = dir != nullptr ? readdir(dir) : nullptr) printf("%s\n", entry->d_name);
}

// ---- other processes

// All that /proc has of a process, and what else looks into one.
void LookAt(const std::string& pid) {
  const std::string proc = "/proc/" + pid;
  for (const char* name : {"exe", "root/", "cwd/", "mem", "environ", "maps", "auxv"}) {
    const std::string path = proc + "/" + name;
    const int fd = open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    char byte;
    // Some check only when they are read.
    const bool read_all = fd >= 0 && (read(fd, &byte, 1) >= 0 || errno == EISDIR || errno == EIO);
    Tell(name, read_all);
    if (fd >= 0) close(fd);
  }
  for (const char* name : {"exe", "mem"}) {
    const int fd = open((proc + "/" + name).c_str(), O_WRONLY | O_CLOEXEC);
    Tell(std::string("write ") + name, fd >= 0);
    if (fd >= 0) close(fd);
  }
  // The directory itself may be opened by the user's own root.
  for (const char* name : {"fd", "map_files"}) {
    DIR* dir = opendir((proc + "/" + name).c_str());
    errno = 0;
    const dirent* entry = nullptr;
    while (dir != nullptr && (entry = readdir(dir)) != nullptr && entry->d_name[0] == '.') {
    }
    printf("%s: %s\n", name, entry != nullptr ? entry->d_name : "nothing");
    if (dir != nullptr) closedir(dir);
  }
  const int number = atoi(pid.c_str());
  const bool traced = ptrace(PTRACE_ATTACH, number, nullptr, nullptr) == 0;
  Tell("ptrace", traced);
  if (traced) ptrace(PTRACE_DETACH, number, nullptr, nullptr);
}

// Waits for processes that run a program from outside of the container and takes hold of it: its mode is changed and,
// once nobody executes it, it is written. Ends when /tmp/enough is there.
void CatchPrograms() {
  std::set<std::string> told;
  while (access("/tmp/enough", F_OK) != 0) {
    DIR* dir = opendir("/proc");
    while (const dirent* entry = dir != nullptr ? readdir(dir) : nullptr) {
      const std::string path = std::string("/proc/") + entry->d_name + "/exe";
      char target[4096];
      const ssize_t length = readlink(path.c_str(), target, sizeof(target) - 1);
      if (length <= 0) continue;
      target[length] = '\0';
      const char* name = strrchr(target, '/');
      if (name != nullptr && (strcmp(name, "/attacker") == 0 || strcmp(name, "/busybox") == 0)) continue;
      const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
      if (fd < 0) continue;
      if (told.insert(target).second) printf("caught %s\n", target);
      const bool changed = fchmod(fd, 04777) == 0;
      if (told.insert("chmod" + std::to_string(changed)).second) Tell("chmod", changed);
      const std::string again = "/proc/self/fd/" + std::to_string(fd);
      int writable = -1;
      for (int i = 0; i < 200 && writable < 0; ++i) {
        writable = open(again.c_str(), O_WRONLY | O_CLOEXEC);
        if (writable < 0 && errno != ETXTBSY) break;
        if (writable < 0) usleep(1000);
      }
      // As every program begins.
      const bool written = writable >= 0 && pwrite(writable, "\177", 1, 0) == 1;
      if (told.insert("write" + std::to_string(written ? 0 : errno)).second) Tell("write", written);
      if (writable >= 0) close(writable);
      close(fd);
    }
    if (dir != nullptr) closedir(dir);
  }
}

void SetGroups() {
  const gid_t groups[] = {0};
  Tell("setgroups", setgroups(1, groups) == 0);
  Tell("no groups", setgroups(0, nullptr) == 0);
  const int fd = open("/proc/self/setgroups", O_WRONLY | O_CLOEXEC);
  Tell("allow", fd >= 0 && write(fd, "allow", 5) == 5);
}

void ConnectToAbstract(const std::string& name) {
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  memcpy(address.sun_path + 1, name.data(), name.size());
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
  Tell("connect", connect(fd, reinterpret_cast<sockaddr*>(&address), size) == 0);
}

}  // namespace

int main(int argc, char** argv) {
  const std::string attack = argc > 1 ? argv[1] : "";
  const std::string argument = argc > 2 ? argv[2] : "";
  setvbuf(stdout, nullptr, _IOLBF, 0);
  if (attack == "calls") {
    Calls();
  } else if (attack == "calls32") {
    Calls32();
  } else if (attack == "callsx32") {
    CallsX32();
  } else if (attack == "type") {
    Type();
  } else if (attack == "find-key") {
    FindKey(argument.c_str());
  } else if (attack == "write-all") {
    WriteAllBelow(argument, 12);
  } else if (attack == "make-nodes") {
    MakeNodes(argument);
  } else if (attack == "leave-by-chroot") {
    LeaveByChroot();
  } else if (attack == "look-at") {
    LookAt(argument);
  } else if (attack == "catch-programs") {
    CatchPrograms();
  } else if (attack == "set-groups") {
    SetGroups();
  } else if (attack == "connect") {
    ConnectToAbstract(argument);
  } else {
    fprintf(stderr, "attacker: no attack is called '%s'\n", attack.c_str());
    return 2;
  }
  return 0;
}
