// What the end of a container means for the one who launched it. Values in, values out.
#pragma once

#include <signal.h>

#include <cstdint>
#include <optional>
#include <string>

#include "launcher/init.h"
#include "launcher/plan.h"

namespace acetate::launcher {

// What is known of the end.
struct ContainerEnd {
  std::string start_failure;                // what kept the command from being started; empty: nothing
  std::optional<InitReport> failure;        // what PID 1 could not do
  siginfo_t init = {};                      // of waitid(2)
  std::optional<siginfo_t> daemon_failure;  // likewise, of a fusefs that did not end in order
  std::string daemon_output;                // what fusefs has said that nobody was shown
  int ended_by = 0;                         // the signal whose default action was taken in the kernel's place
  uint64_t oom_kills = 0;                   // processes that the kernel killed at the memory limit
};

struct Outcome {
  bool started = false;  // the command was executed
  int exit_status = 0;
  std::string message;  // one line for stderr; empty: nothing to say
};

// Whether the end of fusefs is the reason, and PID 1's failure at most what came of it.
bool IsFusefsToBlame(const ContainerEnd& end);

// All but whether the command was executed.
Outcome JudgeEnd(const Plan& plan, const ContainerEnd& end);

}  // namespace acetate::launcher
