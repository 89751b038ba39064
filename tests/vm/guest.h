// What the virtual machines of the tests have in common: their programs, users and image, and how they tell what came
// of their cases. See guest/init.sh and guest/cases.sh.
#pragma once

#include <functional>
#include <string>

#include "tests/vm/initramfs.h"
#include "tests/vm/machine.h"

namespace acetate {

// A root with BusyBox, launch and fusefs of this build, the modules that they need, the users root, user (1000) and
// other (1001), who have subordinate ids, and /image. Its PID 1 is guest/init.sh.
Initramfs GuestRoot(const MachineKernel& kernel);

// One boot of a machine, for all tests of a process.
class Guest {
 public:
  // Boots what `make_root` makes. The reason why there was no boot is kept, not thrown.
  explicit Guest(const std::function<std::string(const MachineKernel&)>& make_root);

  // Why there was none; empty when there was.
  const std::string& missing() const { return missing_; }

  // "ok", or what is wrong with a case; `name` is "USER NAME".
  std::string Case(const std::string& name) const;
  // What is wrong with the boot as a whole: a machine that did not end, or lacked something; empty when nothing is.
  std::string Trouble() const;

 private:
  // The rest of the first line that begins so.
  std::string After(const std::string& words) const;
  std::string Console() const;

  MachineRun run_;
  std::string missing_;
};

}  // namespace acetate
