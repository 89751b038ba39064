// A virtual machine for one test: an older kernel, cgroups of version 2 alone and users as a test wants them, whatever
// the machine below it has. QEMU emulates the processor, so that it works where there is no virtualisation.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "tests/vm/initramfs.h"

namespace acetate {

// The kernel that tests/setup.sh has fetched.
class MachineKernel {
 public:
  // Throws std::runtime_error with the reason when there is none, or no QEMU to run it.
  MachineKernel();

  std::string image() const { return directory_ + "/vmlinuz"; }
  // Adds a module, such as "fs/fuse/fuse", to the machine as /modules/fuse.ko.
  void AddModule(const std::string& name, Initramfs* root) const;

 private:
  std::string directory_;
};

struct MachineRun {
  bool ended = false;              // by itself, within the time
  std::vector<std::string> lines;  // of its serial console
  std::chrono::milliseconds time{0};
};

// Boots a kernel with this root, whose /init is PID 1, on two processors, and waits until it switches itself off; kills
// it after `limit`.
MachineRun RunMachine(const MachineKernel& kernel, const std::string& root, std::chrono::seconds limit);

}  // namespace acetate
