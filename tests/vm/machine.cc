#include "tests/vm/machine.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <stdexcept>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "common/temp_dir.h"
#include "common/unique_fd.h"

namespace acetate {
namespace {

using Clock = std::chrono::steady_clock;

constexpr char kQemu[] = "/usr/bin/qemu-system-x86_64";

pid_t Start(const std::vector<std::string>& words, int output) {
  std::vector<char*> argv;
  argv.reserve(words.size() + 1);
  for (const std::string& word : words) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  const pid_t pid = fork();
  if (pid != 0) return pid;
  // A test that dies takes it along.
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  dup2(open("/dev/null", O_RDONLY), STDIN_FILENO);
  dup2(output, STDOUT_FILENO);
  dup2(output, STDERR_FILENO);
  execv(argv[0], argv.data());
  _exit(127);
}

}  // namespace

MachineKernel::MachineKernel() {
  const char* directory = getenv("ACETATE_VM_KERNEL");
  if (directory == nullptr || !std::filesystem::exists(absl::StrCat(directory, "/vmlinuz"))) {
    throw std::runtime_error("there is no kernel for a virtual machine: run tests/setup.sh");
  }
  if (!std::filesystem::exists(kQemu)) throw std::runtime_error("qemu-system-x86 is not installed: run tests/setup.sh");
  directory_ = directory;
}

void MachineKernel::AddModule(const std::string& name, Initramfs* root) const {
  root->AddCopy(absl::StrCat("/modules", name.substr(name.rfind('/')), ".ko"),
                absl::StrCat(directory_, "/modules/kernel/", name, ".ko"));
}

MachineRun RunMachine(const MachineKernel& kernel, const std::string& root, std::chrono::seconds limit) {
  TempDir dir;
  WriteFile(dir / "root.cpio", root);
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) throw std::runtime_error("pipe");
  UniqueFd reading(ends[0]);
  UniqueFd writing(ends[1]);
  const Clock::time_point start = Clock::now();
  const pid_t pid = Start({kQemu, "-accel", "tcg,thread=multi", "-cpu", "max", "-m", "1024", "-smp", "2", "-nographic",
                           "-no-reboot", "-nic", "none", "-kernel", kernel.image(), "-initrd", dir / "root.cpio",
                           "-append", "console=ttyS0 panic=-1 loglevel=0"},
                          writing.get());
  if (pid < 0) throw std::runtime_error("fork");
  writing.Reset();
  MachineRun run;
  std::string text;
  for (;;) {
    pollfd readable = {reading.get(), POLLIN, 0};
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(start + limit - Clock::now());
    if (left.count() <= 0 || poll(&readable, 1, static_cast<int>(left.count())) <= 0) break;
    char buffer[4096];
    const ssize_t n = read(reading.get(), buffer, sizeof(buffer));
    if (n <= 0) {
      run.ended = true;
      break;
    }
    text.append(buffer, static_cast<size_t>(n));
  }
  if (!run.ended) kill(pid, SIGKILL);
  waitpid(pid, nullptr, 0);
  run.time = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - start);
  run.lines = absl::StrSplit(absl::StrReplaceAll(text, {{"\r", ""}}), '\n');
  return run;
}

}  // namespace acetate
